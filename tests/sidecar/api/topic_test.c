/* Topics over HTTP: requests, and how topics are rendered. */
#include "proto/filter.h"
#include "tests/sidecar/api/api_driver.h"

static const struct request *asks(struct driver *d, const char *method, const char *target, const char *body)
{
    driver_begin(d);
    if (driver_send(d, method, target, body) != API_COMMAND)
        fail_msg("%s %s: %.*s", method, target, (int)d->response.body.size, (const char *)d->response.body.data);
    return &d->command.u.call.request;
}

static void refuses(const char *method, const char *target, const char *body, const char *says)
{
    struct driver d;
    driver_begin(&d);
    assert_int_equal(driver_send(&d, method, target, body), API_RESPONSE);
    assert_says(&d, 400, says);
    driver_end(&d);
}

static void a_topic_is_put(void **state)
{
    struct driver d;
    (void)state;
    const struct request *r = asks(&d, "PUT", "/v1/topics/all", "");
    assert_true(r->call == CALL_PUT_TOPIC && !r->u.put_topic.has_unrouted);
    assert_string_equal(r->topic, "all");
    assert_string_equal(r->queue, "");
    driver_end(&d);
    r = asks(&d, "PUT", "/v1/topics/all", "{\"unrouted\":\"drop\"}");
    assert_true(r->u.put_topic.has_unrouted && r->u.put_topic.unrouted == UNROUTED_DROP);
    driver_end(&d);
    r = asks(&d, "PUT", "/v1/topics/all", "{\"unrouted\":{\"queue\":\"rest\"}}");
    assert_true(r->u.put_topic.unrouted == UNROUTED_QUEUE);
    assert_string_equal(r->u.put_topic.catch_all, "rest");
    driver_end(&d);
}

static void if_none_match_star_only_makes_a_topic(void **state)
{
    struct driver d;
    (void)state;
    for (int star = 0; star < 2; star++) {
        driver_begin(&d);
        driver_header(&d, "If-None-Match", star ? "*" : "\"tag\"");
        assert_int_equal(driver_send(&d, "PUT", "/v1/topics/all", ""), star ? API_COMMAND : API_RESPONSE);
        assert_true(d.command.u.call.request.u.put_topic.only_create == star);
        driver_end(&d);
    }
}

static void a_queue_is_bound_with_a_filter(void **state)
{
    struct driver d;
    (void)state;
    const struct request *r =
        asks(&d, "PUT", "/v1/topics/all/bindings/mail", "{\"filter\":{\"exact\":{\"type\":\"a\"}}}");
    assert_true(r->call == CALL_BIND && r->u.bind.filter.size > 0 && filter_valid(r->u.bind.filter));
    assert_string_equal(r->topic, "all");
    assert_string_equal(r->queue, "mail");
    driver_end(&d);
    assert_int_equal(asks(&d, "PUT", "/v1/topics/all/bindings/mail", "{}")->u.bind.filter.size, 0);
    driver_end(&d);
}

static void invalid_requests_are_refused(void **state)
{
    (void)state;
    refuses("PUT", "/v1/topics/all", "{\"unrouted\":\"lose\"}", "'unrouted' must be");
    refuses("PUT", "/v1/topics/all", "{\"unrouted\":{\"queue\":\"a b\"}}", "'unrouted' must be");
    refuses("PUT", "/v1/topics/all", "{\"unruoted\":\"drop\"}", "unknown key 'unruoted'");
    refuses("PUT", "/v1/topics/all", "{\"bindings\":{\"mail\":{}}}",
            "unknown key 'bindings'; queues are bound one by one, with PUT /v1/topics/NAME/bindings/QUEUE");
    refuses("PUT", "/v1/topics/all", "[]", "the body must be");
    refuses("PUT", "/v1/topics/a%20b", "", "a name is 1 to 128");
    refuses("PUT", "/v1/topics/all/bindings/a%20b", "", "a name is 1 to 128");
    refuses("PUT", "/v1/topics/all/bindings/mail", "{\"filters\":[]}", "unknown key 'filters'");
    refuses("PUT", "/v1/topics/all/bindings/mail", "{\"filter\":{\"sql\":\"type = 'a'\"}}",
            "filter: unknown operator 'sql'");
    refuses("PUT", "/v1/topics/all/bindings/mail", "{\"filter\":{\"all\":[{\"exact\":{\"type\":1}}]}}",
            "filter.all[0].exact.type: the value to compare with");
    refuses("GET", "/v1/topics/all?x=1", "", "unknown query parameter 'x'");
}

static void topics_are_shown_with_their_bindings(void **state)
{
    struct driver d;
    struct buf filter = { 0 };
    (void)state;
    assert_true(filter_from_text(span_str("{\"prefix\":{\"type\":\"order.\"}}"), "filter", &filter, NULL));
    const struct binding_info bindings[] = { { "audit", { 0 }, 3 }, { "mail", buf_span(&filter), 2 } };
    struct reply reply = { .result = RESULT_TOPIC, .detail = "" };
    reply.u.topic = (struct topic_info){ .topic = "all",
                                         .created = true,
                                         .unrouted = UNROUTED_QUEUE,
                                         .catch_all = "rest",
                                         .bindings = bindings,
                                         .binding_count = 2,
                                         .accepted = 3,
                                         .dropped = 4,
                                         .refused = 5,
                                         .duplicates = 6,
                                         .waiting_publishers = 7,
                                         .in_rate_milli = 1500 };
    asks(&d, "PUT", "/v1/topics/all", "");
    api_render_reply(&d.command, &reply, &d.arena, &d.response);
    assert_says(&d, 201,
                "\"bindings\":{\"audit\":{\"matched\":3},\"mail\":{\"filter\":{\"prefix\":{\"type\":\"order.\"}},"
                "\"matched\":2}}");
    assert_says(&d, 201, "\"unrouted\":{\"queue\":\"rest\"}");
    assert_says(&d, 201,
                "\"accepted\":3,\"dropped\":4,\"refused\":5,\"duplicates\":6,\"waiting_publishers\":7,\"rate\":1.5}");
    driver_end(&d);
    asks(&d, "GET", "/v1/topics/all", "");
    api_render_reply(&d.command, &reply, &d.arena, &d.response);
    assert_int_equal(d.response.status, 200);
    driver_end(&d);
    asks(&d, "GET", "/v1/topics/all/bindings/mail", "");
    api_render_reply(&d.command, &reply, &d.arena, &d.response);
    assert_says(&d, 200, "\"topic\":\"all\",\"queue\":\"mail\"}");
    driver_end(&d);
    asks(&d, "GET", "/v1/topics/all/bindings/none", "");
    api_render_reply(&d.command, &reply, &d.arena, &d.response);
    assert_says(&d, 404, "that queue is not bound to the topic");
    driver_end(&d);
    buf_free(&filter);
}

static void a_list_has_topics_by_their_names(void **state)
{
    const struct topic_info topics[] = { { .topic = "all", .managed = true }, { .topic = "one" } };
    struct reply reply = { .result = RESULT_TOPICS, .detail = "", .u.topics = { topics, 2, "one" } };
    struct driver d;
    (void)state;
    asks(&d, "GET", "/v1/topics?limit=2", "");
    api_render_reply(&d.command, &reply, &d.arena, &d.response);
    assert_says(&d, 200, "{\"topics\":{\"all\":{\"topic\":\"all\",");
    assert_says(&d, 200, "\"one\":{\"topic\":\"one\",");
    assert_says(&d, 200, "\"next\":\"one\"}");
    driver_end(&d);
    reply.u.topics.next = "";
    asks(&d, "GET", "/v1/topics", "");
    api_render_reply(&d.command, &reply, &d.arena, &d.response);
    assert_says(&d, 200, "\"next\":null}");
    driver_end(&d);
}

static void unbinding_is_204(void **state)
{
    struct reply reply = { .result = RESULT_TOPIC, .detail = "", .u.topic = { .topic = "all", .catch_all = "" } };
    struct driver d;
    (void)state;
    driver_begin(&d);
    d.request.listener = API_OPERATIONS;
    assert_int_equal(driver_send(&d, "DELETE", "/v1/topics/all/bindings/mail", ""), API_COMMAND);
    api_render_reply(&d.command, &reply, &d.arena, &d.response);
    assert_int_equal(d.response.status, 204);
    assert_int_equal(d.response.body.size, 0);
    driver_end(&d);
}

static void a_topic_that_is_not_there_is_named(void **state)
{
    struct driver d;
    struct reply reply = { .reason = REASON_unknown_topic, .detail = "" };
    (void)state;
    asks(&d, "GET", "/v1/topics/all", "");
    api_render_reply(&d.command, &reply, &d.arena, &d.response);
    assert_says(&d, 404, "there is no topic 'all'; make it first (PUT /v1/topics/all)\"");
    driver_end(&d);
}

static void a_publish_to_a_topic_that_is_not_there_may_mean_a_queue(void **state)
{
    struct driver d;
    struct api_command c = { .kind = API_PUBLISH, .queue = "", .topic = "orders" };
    (void)state;
    driver_begin(&d);
    api_refuse(&c, REASON_unknown_topic, NULL, 0, &d.arena, &d.response);
    assert_says(&d, 404, "(PUT /v1/topics/orders); if that is a queue, publish at /v1/queues/{q}/events\"");
    driver_end(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_topic_is_put),
        cmocka_unit_test(if_none_match_star_only_makes_a_topic),
        cmocka_unit_test(a_queue_is_bound_with_a_filter),
        cmocka_unit_test(invalid_requests_are_refused),
        cmocka_unit_test(topics_are_shown_with_their_bindings),
        cmocka_unit_test(a_list_has_topics_by_their_names),
        cmocka_unit_test(unbinding_is_204),
        cmocka_unit_test(a_topic_that_is_not_there_is_named),
        cmocka_unit_test(a_publish_to_a_topic_that_is_not_there_may_mean_a_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

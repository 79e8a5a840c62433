#include "tests/sidecar/api/api_driver.h"

#include "sidecar/api/routes.h"

static const struct api_route *find(const char *method, const char *path, struct span *name, char *allow,
                                    enum reason *why)
{
    struct span names[ROUTE_NAMES] = { { 0 } };
    *why = REASON_ok;
    const struct api_route *route = routes_find(span_str(method), span_str(path), names, allow, why);
    *name = names[0];
    return route;
}

static void every_row_finds_itself(void **state)
{
    size_t count;
    const struct api_route *all = routes_all(&count);
    (void)state;
    for (size_t i = 0; i < count; i++) {
        struct span queue;
        char allow[ALLOW_SIZE];
        enum reason why;
        assert_ptr_equal(find(all[i].method, all[i].pattern, &queue, allow, &why), &all[i]);
        assert_int_equal(queue.size, strchr(all[i].pattern, '{') ? 3 : 0);
    }
}

static void the_queue_s_name_stays_encoded(void **state)
{
    struct span queue;
    char allow[ALLOW_SIZE];
    enum reason why;
    (void)state;
    assert_non_null(find("GET", "/v1/queues/a%2Fb/peek", &queue, allow, &why));
    assert_true(span_equal(queue, span_str("a%2Fb")));
}

static void an_address_may_name_two(void **state)
{
    struct span names[ROUTE_NAMES];
    char allow[ALLOW_SIZE];
    enum reason why;
    (void)state;
    const struct api_route *r =
        routes_find(span_str("PUT"), span_str("/v1/topics/all/bindings/mail"), names, allow, &why);
    assert_non_null(r);
    assert_int_equal(r->call, CALL_BIND);
    assert_true(span_equal(names[0], span_str("all")));
    assert_true(span_equal(names[1], span_str("mail")));
}

static void head_is_get(void **state)
{
    struct span queue;
    char allow[ALLOW_SIZE];
    enum reason why;
    (void)state;
    assert_non_null(find("HEAD", "/livez", &queue, allow, &why));
    assert_null(find("HEAD", "/v1/drain", &queue, allow, &why));
}

static void another_method_is_told_what_is_allowed(void **state)
{
    struct span queue;
    char allow[ALLOW_SIZE];
    enum reason why;
    (void)state;
    assert_null(find("PATCH", "/v1/queues/q", &queue, allow, &why));
    assert_int_equal(why, REASON_method);
    assert_string_equal(allow, "GET, HEAD, PUT, DELETE");
    assert_null(find("post", "/v1/drain", &queue, allow, &why));
    assert_string_equal(allow, "POST");
}

static void other_addresses_are_not_found(void **state)
{
    static const char *const paths[] = {
        "",    "v1/queues",  "/v1/queues/", "/v1/queues//peek",    "/v1/queues/q/", "/v1/queue",
        "/v1", "/V1/queues", "/livez/",     "/v1/queues/a/b/peek", "/metrics%20"
    };
    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct span queue;
        char allow[ALLOW_SIZE] = "";
        enum reason why;
        assert_null(find("GET", paths[i], &queue, allow, &why));
        assert_int_equal(why, REASON_not_found);
        assert_string_equal(allow, "");
    }
}

static void siblings_of_an_unknown_path_are_listed(void **state)
{
    static const struct {
        const char *path, *beside;
    } cases[] = {
        { "/v1/queues/orders/publish",
          "events, take, stream, acks, peek, ledger, purge, redrive, pause, resume, close, open" },
        { "/v1/queues/orders/",
          "events, take, stream, acks, peek, ledger, purge, redrive, pause, resume, close, open" },
        { "/v1/topics/t/bind", "events, bindings" },
        { "/v1/queue", "queues, topics, subscriptions, drain" },
        { "/v1.0/healthz/inbound", "outbound" },
        { "/v1.0/state", "publish, metadata, healthz" },
        { "/v1/queue/orders", "" },
        { "/v1/queues//take", "" },
        { "/v1/queues/", "" },
        { "/queues", "" },
        { "/v1", "" },
        { "", "" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char beside[SIBLINGS_SIZE] = "?";
        routes_siblings(span_str(cases[i].path), beside);
        assert_string_equal(beside, cases[i].beside);
    }
}

static void probes_are_on_no_application_listener(void **state)
{
    size_t count;
    const struct api_route *all = routes_all(&count);
    (void)state;
    for (size_t i = 0; i < count; i++) {
        bool v1 = strncmp(all[i].pattern, "/v1/", 4) == 0 || strncmp(all[i].pattern, "/v1.0/", 6) == 0;
        assert_true(all[i].listeners & 1u << API_OPERATIONS);
        assert_true(v1 || !(all[i].listeners & 1u << API_APPLICATION));
        assert_true(!v1 || !(all[i].listeners & 1u << API_PROBE));
    }
}

static bool is_publish(const char *method, const char *path)
{
    return api_is_publish(&(struct api_request){ .method = span_str(method), .path = span_str(path) });
}

/* Acks are no publish: they must get in where publishes have to wait for room. */
static void a_publish_is_known_by_its_address(void **state)
{
    (void)state;
    assert_true(is_publish("POST", "/v1/queues/q/events"));
    assert_true(is_publish("POST", "/v1/topics/t/events"));
    assert_true(is_publish("POST", "/v1.0/publish/pubsub/t"));
    assert_false(is_publish("GET", "/v1/queues/q/events"));
    assert_false(is_publish("POST", "/v1/queues/q/acks"));
    assert_false(is_publish("POST", "/v1/queues/q/take"));
    assert_false(is_publish("PUT", "/v1/queues/q"));
    assert_false(is_publish("POST", "/nowhere"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_publish_is_known_by_its_address),
        cmocka_unit_test(every_row_finds_itself),
        cmocka_unit_test(the_queue_s_name_stays_encoded),
        cmocka_unit_test(an_address_may_name_two),
        cmocka_unit_test(head_is_get),
        cmocka_unit_test(another_method_is_told_what_is_allowed),
        cmocka_unit_test(other_addresses_are_not_found),
        cmocka_unit_test(siblings_of_an_unknown_path_are_listed),
        cmocka_unit_test(probes_are_on_no_application_listener),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

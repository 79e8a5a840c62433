#include "tests/sidecar/api/api_driver.h"

static struct api_event events[3] = { { .id = { (const uint8_t *)"a", 1 } },
                                      { .id = { (const uint8_t *)"b", 1 } },
                                      { .id = { (const uint8_t *)"c", 1 }, .id_generated = true } };

static void publish(struct driver *d, size_t first, size_t count, bool batch, const struct api_outcome *outcomes)
{
    struct api_command c = { .kind = API_PUBLISH, .queue = "q" };
    c.u.publish.events = events + first;
    c.u.publish.count = count;
    c.u.publish.batch = batch;
    driver_begin(d);
    api_render_publish(&c, outcomes, &d->arena, &d->response);
}

static void one_confirmed_event_is_202(void **state)
{
    const struct api_outcome o = { .sequence = 7 };
    struct driver d;
    (void)state;
    publish(&d, 0, 1, false, &o);
    assert_int_equal(d.response.status, 202);
    assert_body(&d, "{\"queue\":\"q\",\"sequence\":7,\"id\":\"a\"}\n");
    driver_end(&d);
}

static void a_batch_of_one_is_still_a_batch(void **state)
{
    const struct api_outcome o = { .sequence = 7 };
    struct driver d;
    (void)state;
    publish(&d, 0, 1, true, &o);
    assert_int_equal(d.response.status, 202);
    assert_body(&d, "{\"events\":[{\"id\":\"a\",\"sequence\":7}]}\n");
    assert_null(driver_response_header(&d, "Sluice-Refused"));
    driver_end(&d);
}

static void a_duplicate_is_marked_and_nothing_else_is(void **state)
{
    const struct target targets[] = { { "audit", 7 } };
    const struct api_outcome o[] = { { .sequence = 7, .duplicate = true },
                                     { .sequence = 8 },
                                     { .is_topic = true, .duplicate = true, .targets = targets, .target_count = 1 } };
    struct driver d;
    (void)state;
    publish(&d, 0, 1, false, o);
    assert_body(&d, "{\"queue\":\"q\",\"sequence\":7,\"id\":\"a\",\"duplicate\":true}\n");
    driver_end(&d);
    publish(&d, 0, 3, true, o);
    assert_body(&d, "{\"events\":[{\"id\":\"a\",\"sequence\":7,\"duplicate\":true},{\"id\":\"b\",\"sequence\":8},"
                    "{\"id\":\"c\",\"queues\":{\"audit\":7},\"duplicate\":true}]}\n");
    driver_end(&d);
    publish(&d, 2, 1, false, &o[2]);
    assert_body(&d, "{\"topic\":\"q\",\"id\":\"c\",\"queues\":{\"audit\":7},\"duplicate\":true}\n");
    driver_end(&d);
}

static void a_batch_names_each_id_as_json_wants_it(void **state)
{
    const struct api_outcome o[] = { { .sequence = 0 }, { .sequence = UINT64_MAX }, { .sequence = 10 } };
    struct driver d;
    struct api_event kept[3];
    (void)state;
    memcpy(kept, events, sizeof kept);
    events[0].id = span_str("an \"id\"");
    events[1].id = span_str("of sixteen bytes and more, \xc3\xa9");
    events[2].id = span_str("back\\slash");
    publish(&d, 0, 3, true, o);
    assert_body(&d, "{\"events\":[{\"id\":\"an \\\"id\\\"\",\"sequence\":0},"
                    "{\"id\":\"of sixteen bytes and more, \xc3\xa9\",\"sequence\":18446744073709551615},"
                    "{\"id\":\"back\\\\slash\",\"sequence\":10}]}\n");
    driver_end(&d);
    memcpy(events, kept, sizeof kept);
}

static void some_refused_are_207_and_counted(void **state)
{
    const struct api_outcome o[] = { { .sequence = 7 },
                                     { .reason = REASON_full, .depth = 9, .capacity = 9, .retry_after_ms = 1500 },
                                     { .reason = REASON_unknown } };
    struct driver d;
    (void)state;
    publish(&d, 0, 3, true, o);
    assert_int_equal(d.response.status, 207);
    assert_body(
        &d, "{\"events\":[{\"id\":\"a\",\"sequence\":7},{\"id\":\"b\",\"status\":429,\"reason\":\"full\","
            "\"detail\":\"queue 'q' is full: it holds 9 of 9 events\"},"
            "{\"id\":\"c\",\"status\":504,\"reason\":\"unknown\",\"detail\":\"the broker did not answer in time and "
            "may have accepted the event; its id was generated here, so sending it again would make a second event: "
            "send an id of your own (ce-id or Idempotency-Key) to be able to retry\"}]}\n");
    assert_string_equal(driver_response_header(&d, "Sluice-Refused"), "2");
    driver_end(&d);
}

/* The detail names the broker's address, and may have been cut in the middle of a character. */
static void a_refused_event_s_detail_is_utf8_whatever_was_cut(void **state)
{
    static const struct api_outcome o[] = { { .sequence = 7 }, { .reason = REASON_unavailable } };
    struct api_event two[] = { { .id = span_str("a") }, { .id = span_str("b") } };
    const struct api_command c = { .kind = API_PUBLISH,
                                   .queue = "q",
                                   .away = "no broker answers at \xc3\xa9\xe2\x82",
                                   .u.publish = { .events = two, .count = 2, .batch = true } };
    struct driver d;
    (void)state;
    driver_begin(&d);
    api_render_publish(&c, o, &d.arena, &d.response);
    assert_says(&d, 207, "\"detail\":\"no broker answers at \xc3\xa9\"");
    driver_end(&d);
}

static void all_refused_alike_are_the_common_error(void **state)
{
    const struct api_outcome o[] = { { .reason = REASON_full, .depth = 9, .capacity = 10, .retry_after_ms = 1500 },
                                     { .reason = REASON_full, .depth = 9, .capacity = 10, .retry_after_ms = 1500 } };
    struct driver d;
    (void)state;
    publish(&d, 0, 2, true, o);
    assert_says(&d, 429, "\"queue\":\"q\",\"depth\":9,\"capacity\":10}");
    assert_says(&d, 429,
                "\"detail\":\"queue 'q' has no room, though it holds 9 of 10 events: its capacity_bytes are used up, ");
    assert_string_equal(driver_response_header(&d, "Retry-After"), "2");
    driver_end(&d);
}

static void a_refusal_has_the_depth_only_where_the_queue_is_full(void **state)
{
    static const enum reason others[] = { REASON_no_consumer, REASON_unknown_queue, REASON_budget, REASON_disk };
    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct driver d;
        struct api_event e = { .id = span_str("a") };
        struct api_command c = { .kind = API_PUBLISH, .queue = "q", .u.publish = { .events = &e, .count = 1 } };
        const struct api_outcome o = { .reason = others[i], .depth = 0, .capacity = 10000 };
        driver_begin(&d);
        api_render_publish(&c, &o, &d.arena, &d.response);
        assert_says(&d, reason_info(others[i])->status, "\"queue\":\"q\",\"id\":\"a\"}");
        assert_null(memmem(d.response.body.data, d.response.body.size, "10000", 5));
        driver_end(&d);
    }
}

/* A topic may be published to by the path of a queue. */
static void a_refusal_names_one_queue(void **state)
{
    struct driver d;
    const struct api_outcome o = { .reason = REASON_full, .queue = "mail", .depth = 1, .capacity = 1 };
    (void)state;
    publish(&d, 0, 1, false, &o);
    assert_says(&d, 429, "\"queue\":\"mail\"");
    assert_null(memmem(d.response.body.data, d.response.body.size, "\"queue\":\"q\"", 11));
    driver_end(&d);
}

static void assert_detail(struct api_command c, enum reason reason, const char *detail)
{
    struct driver d;
    struct api_event e = { .id = span_str("a") };
    const struct api_outcome o = { .reason = reason };
    c.kind = API_PUBLISH;
    c.u.publish.events = &e;
    c.u.publish.count = 1;
    driver_begin(&d);
    api_render_publish(&c, &o, &d.arena, &d.response);
    assert_says(&d, reason_info(reason)->status, detail);
    driver_end(&d);
}

static void a_refusal_for_the_disk_or_for_want_of_a_queue_says_what_to_do(void **state)
{
    static const char unrouted[] =
        "\"detail\":\"no queue bound to topic 'news' matches the event, so it was not accepted: bind one with a filter "
        "that does (PUT /v1/topics/news/bindings/QUEUE), or set the topic's unrouted to drop or {queue: NAME}\"";
    (void)state;
    assert_detail(
        (struct api_command){ .queue = "q" }, REASON_disk,
        "\"detail\":\"the broker's disk took no more events within the wait, so nothing was accepted: send it "
        "again later; if this lasts, ack, redrive or purge events that are stored there, or enlarge "
        "disk_budget, or the disk\"");
    assert_detail((struct api_command){ .queue = "", .topic = "news" }, REASON_unrouted, unrouted);
    assert_detail((struct api_command){ .queue = "news" }, REASON_unrouted, unrouted); /* by the path of a queue */
}

/* A draining sidecar still publishes, so a publish that is refused as draining was refused by the broker. */
static void details_add_what_the_title_leaves_open(void **state)
{
    static const struct api_outcome draining = { .reason = REASON_draining }, away = { .reason = REASON_unavailable },
                                    large = { .reason = REASON_too_large };
    struct api_command c = { .kind = API_PUBLISH, .queue = "q", .u.publish = { .events = events, .count = 1 } };
    struct driver d;
    (void)state;
    publish(&d, 0, 1, false, &draining);
    assert_says(&d, 503, "\"detail\":\"the broker is stopping, so nothing was accepted");
    driver_end(&d);
    publish(&d, 0, 1, false, &large);
    assert_says(&d, 413,
                "\"detail\":\"the event is larger than the broker's max_event, or than the queue's capacity_bytes\"");
    driver_end(&d);
    publish(&d, 0, 1, false, &away); /* the broker's answer when the connection was lost meanwhile */
    assert_says(&d, 503,
                "\"detail\":\"the connection to the broker was lost, and was not back in time; nothing was accepted");
    driver_end(&d);
    c.away = "no broker answers at X";
    driver_begin(&d);
    api_render_publish(&c, &away, &d.arena, &d.response);
    assert_says(&d, 503, "\"detail\":\"no broker answers at X\",");
    driver_end(&d);
    driver_begin(&d);
    c.kind = API_TAKE;
    api_refuse(&c, REASON_unavailable, NULL, 1000, &d.arena, &d.response);
    assert_says(&d, 503, "\"detail\":\"no broker answers at X\",");
    driver_end(&d);
    driver_begin(&d);
    api_refuse(&c, REASON_draining, NULL, 1000, &d.arena, &d.response);
    assert_says(&d, 503, "\"detail\":\"this sidecar is draining, because of a signal or POST /v1/drain, and hands out");
    driver_end(&d);
    driver_begin(&d);
    api_refuse(&c, REASON_unknown_queue, NULL, 0, &d.arena, &d.response);
    assert_says(&d, 404, "declare it first (PUT /v1/queues/q); if that is a topic, take from a queue bound to it\"");
    driver_end(&d);
    driver_begin(&d);
    c.kind = API_SUBSCRIBE;
    api_refuse(&c, REASON_draining, NULL, 1000, &d.arena, &d.response);
    assert_says(&d, 503, "and pushes nothing more: put the subscription at another");
    driver_end(&d);
}

static void what_went_to_a_topic_names_its_queues(void **state)
{
    const struct target targets[] = { { "audit", 7 }, { "mail", 41 } };
    const struct api_outcome o[] = { { .is_topic = true, .targets = targets, .target_count = 2 },
                                     { .is_topic = true },
                                     { .reason = REASON_full, .queue = "mail", .depth = 9, .capacity = 9 } };
    struct driver d;
    (void)state;
    publish(&d, 0, 1, false, o);
    assert_body(&d, "{\"topic\":\"q\",\"id\":\"a\",\"queues\":{\"audit\":7,\"mail\":41}}\n");
    driver_end(&d);
    publish(&d, 0, 3, true, o);
    assert_body(&d, "{\"events\":[{\"id\":\"a\",\"queues\":{\"audit\":7,\"mail\":41}},{\"id\":\"b\",\"queues\":{}},"
                    "{\"id\":\"c\",\"status\":429,\"reason\":\"full\","
                    "\"detail\":\"queue 'mail' is full: it holds 9 of 9 events\",\"queue\":\"mail\"}]}\n");
    driver_end(&d);
    publish(&d, 2, 1, false, &o[2]);
    assert_says(&d, 429, "queue 'mail' is full: it holds 9 of 9 events");
    driver_end(&d);
}

static void all_refused_for_different_reasons_are_207(void **state)
{
    const struct api_outcome o[] = { { .reason = REASON_unknown }, { .reason = REASON_full } };
    struct driver d;
    (void)state;
    publish(&d, 0, 2, true, o);
    assert_int_equal(d.response.status, 207);
    assert_string_equal(driver_response_header(&d, "Sluice-Refused"), "2");
    driver_end(&d);
}

static void unknown_is_retryable_under_the_publisher_s_own_id_only(void **state)
{
    const struct api_outcome o = { .reason = REASON_unknown };
    struct driver d;
    (void)state;
    publish(&d, 0, 1, false, &o);
    assert_says(&d, 504, "\"retryable\":true,\"queue\":\"q\",\"id\":\"a\"}");
    assert_says(&d, 504, "send it again with the same source and id");
    driver_end(&d);
    publish(&d, 2, 1, false, &o);
    assert_says(&d, 504, "\"retryable\":false,\"queue\":\"q\",\"id\":\"c\"}");
    assert_says(&d, 504, "send an id of your own (ce-id or Idempotency-Key)");
    driver_end(&d);
}

static void acks(struct driver *d, const enum settle_result results[3])
{
    struct receipt_ack settles[] = { { .kind = SETTLE_ACK, .receipt = span_str("a") },
                                     { .kind = SETTLE_NACK, .receipt = span_str("n") },
                                     { .kind = SETTLE_EXTEND, .receipt = span_str("e"), .ms = 1000 } };
    struct api_command c = { .kind = API_ACKS };
    c.u.acks.items = settles;
    c.u.acks.count = 3;
    driver_begin(d);
    api_render_acks(&c, results, &d->arena, &d->response);
}

static void settled_as_asked_is_200(void **state)
{
    struct driver d;
    (void)state;
    acks(&d, (enum settle_result[]){ SETTLED_ACKED, SETTLED_NACKED, SETTLED_EXTENDED });
    assert_int_equal(d.response.status, 200);
    assert_body(&d, "{\"results\":[{\"receipt\":\"a\",\"result\":\"acked\"},{\"receipt\":\"n\",\"result\":\"nacked\"},"
                    "{\"receipt\":\"e\",\"result\":\"extended\"}]}\n");
    driver_end(&d);
}

static void each_word_has_its_own_answer(void **state)
{
    struct driver d;
    (void)state;
    struct receipt_ack settles[] = { { .kind = SETTLE_RELEASE, .receipt = span_str("r") },
                                     { .kind = SETTLE_DEFER, .receipt = span_str("l") },
                                     { .kind = SETTLE_DROP, .receipt = span_str("x") } };
    struct api_command c = { .kind = API_ACKS, .u.acks = { settles, 3 } };
    driver_begin(&d);
    api_render_acks(&c, (enum settle_result[]){ SETTLED_RELEASED, SETTLED_DEFERRED, SETTLED_DROPPED }, &d.arena,
                    &d.response);
    assert_int_equal(d.response.status, 200);
    assert_body(&d, "{\"results\":[{\"receipt\":\"r\",\"result\":\"released\"},{\"receipt\":\"l\",\"result\":"
                    "\"deferred\"},{\"receipt\":\"x\",\"result\":\"dropped\"}]}\n");
    driver_end(&d);
}

static void anything_else_is_207(void **state)
{
    struct driver d;
    (void)state;
    acks(&d, (enum settle_result[]){ SETTLED_ACKED, SETTLED_ACKED, SETTLED_EXTENDED });
    assert_says(&d, 207, "{\"receipt\":\"n\",\"result\":\"acked\"}");
    driver_end(&d);
    acks(&d, (enum settle_result[]){ SETTLED_EXPIRED, SETTLED_NACKED, SETTLED_UNKNOWN });
    assert_says(&d, 207, "\"result\":\"expired\"");
    assert_says(&d, 207, "\"result\":\"unknown\"");
    driver_end(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refusal_has_the_depth_only_where_the_queue_is_full),
        cmocka_unit_test(a_refusal_names_one_queue),
        cmocka_unit_test(one_confirmed_event_is_202),
        cmocka_unit_test(a_batch_of_one_is_still_a_batch),
        cmocka_unit_test(a_duplicate_is_marked_and_nothing_else_is),
        cmocka_unit_test(a_batch_names_each_id_as_json_wants_it),
        cmocka_unit_test(some_refused_are_207_and_counted),
        cmocka_unit_test(a_refused_event_s_detail_is_utf8_whatever_was_cut),
        cmocka_unit_test(all_refused_alike_are_the_common_error),
        cmocka_unit_test(a_refusal_for_the_disk_or_for_want_of_a_queue_says_what_to_do),
        cmocka_unit_test(details_add_what_the_title_leaves_open),
        cmocka_unit_test(what_went_to_a_topic_names_its_queues),
        cmocka_unit_test(all_refused_for_different_reasons_are_207),
        cmocka_unit_test(unknown_is_retryable_under_the_publisher_s_own_id_only),
        cmocka_unit_test(settled_as_asked_is_200),
        cmocka_unit_test(each_word_has_its_own_answer),
        cmocka_unit_test(anything_else_is_207),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

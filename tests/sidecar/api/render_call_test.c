#include "tests/sidecar/api/api_driver.h"

static void render(struct driver *d, const struct api_command *c, const struct reply *r)
{
    driver_begin(d);
    api_render_reply(c, r, &d->arena, &d->response);
}

static struct queue_info some_queue(void)
{
    struct queue_info q = { .queue = "orders",
                            .settings = queue_settings_defaults(),
                            .ready = 3,
                            .in_flight = 2,
                            .delayed = 1,
                            .dead_letter_held = 1,
                            .bytes = 600,
                            .oldest_age_ms = 1500,
                            .waiting_publishers = 4,
                            .consumer = "shop@host/1",
                            .standbys = 1,
                            .active_consumers = 1,
                            .parked_keys = 2,
                            .parked_events = 7,
                            .in_rate_milli = 3000,
                            .out_rate_milli = 1000,
                            .next_sequence = 9,
                            .ledger = { 8, 2, 0, 0, 0, 0, 6 } };
    q.settings.capacity = 10;
    return q;
}

static void a_description_has_its_figures(void **state)
{
    static const char *const parts[] = {
        "\"queue\":\"orders\",\"ready\":3,\"in_flight\":2,\"delayed\":1,\"dead\":0,",
        "\"dead_letter_held\":1,\"backlog\":5,",
        "\"capacity\":10,",
        "\"lease\":\"30s\"",
        "\"overflow\":\"wait\"",
        "\"oldest_age_seconds\":1.5",
        "\"waiting_publishers\":4",
        "\"consumer\":\"shop@host/1\",\"standbys\":1,\"active_consumers\":1,\"parked\":{\"keys\":2,\"events\":7}",
        "\"rates\":{\"in\":3.0,\"out\":1.0}",
        "\"time_to_full_seconds\":2.0,\"time_to_drain_seconds\":null",
        "\"managed\":null,\"paused\":false,\"closed\":false",
        "\"ledger\":{\"accepted\":8,\"acked\":2,\"dead_lettered\":0,\"expired\":0",
        "\"purged\":0,\"dropped\":0,\"remaining\":6}"
    };
    struct api_command c = { .u.call.request.call = CALL_DESCRIBE };
    struct reply r = { .result = RESULT_QUEUE, .u.queue = some_queue() };
    struct driver d;
    (void)state;
    render(&d, &c, &r);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        assert_says(&d, 200, parts[i]);
    assert_says(&d, 200, "\"redrive\":null");
    driver_end(&d);
    r.u.queue.redrive = (struct redriving_info){ 5, 6, 7, "later", true };
    render(&d, &c, &r);
    assert_says(&d, 200, "\"redrive\":{\"redriven\":5,\"left\":6,\"rate\":7,\"to\":\"later\",\"waits\":true}");
    driver_end(&d);
}

static void partitions_are_told_one_by_one(void **state)
{
    static const struct partition_info partitions[] = { { 3, 1, "shop/1", "" }, { 0, 2, "shop/1", "shop/2" } };
    struct api_command c = { .u.call.request.call = CALL_DESCRIBE };
    struct reply r = { .result = RESULT_QUEUE, .u.queue = some_queue() };
    struct driver d;
    (void)state;
    r.u.queue.partitions = partitions;
    r.u.queue.partition_count = 2;
    render(&d, &c, &r);
    assert_says(
        &d, 200,
        "\"shares\":[{\"partition\":0,\"ready\":3,\"in_flight\":1,\"consumer\":\"shop/1\",\"next_consumer\":null},"
        "{\"partition\":1,\"ready\":0,\"in_flight\":2,\"consumer\":\"shop/1\",\"next_consumer\":\"shop/2\"}]");
    driver_end(&d);
}

static void times_are_known_where_rates_tell_them(void **state)
{
    struct api_command c = { .u.call.request.call = CALL_DESCRIBE };
    struct reply r = { .result = RESULT_QUEUE, .u.queue = some_queue() };
    struct driver d;
    (void)state;
    r.u.queue.out_rate_milli = 5000;
    render(&d, &c, &r);
    assert_says(&d, 200, "\"time_to_full_seconds\":null,\"time_to_drain_seconds\":3.0");
    driver_end(&d);
    r.u.queue.out_rate_milli = 0;
    r.u.queue.in_rate_milli = 1234567891;
    r.u.queue.settings.capacity = 1000000000; /* no exponent, and no false precision */
    render(&d, &c, &r);
    assert_says(&d, 200, "\"rates\":{\"in\":1234568,\"out\":0.0}");
    assert_says(&d, 200, "\"time_to_full_seconds\":810.0");
    driver_end(&d);
    r.u.queue.in_rate_milli = 1;
    render(&d, &c, &r);
    assert_says(&d, 200, "\"time_to_full_seconds\":999999994000");
    driver_end(&d);
    r.u.queue = some_queue();
    r.u.queue.ready = 7;
    render(&d, &c, &r);
    assert_says(&d, 200, "\"time_to_full_seconds\":0.0");
    driver_end(&d);
    r.u.queue.ready = r.u.queue.in_flight = r.u.queue.delayed = 0;
    r.u.queue.consumer = "";
    r.u.queue.managed = true;
    render(&d, &c, &r);
    assert_says(&d, 200, "\"time_to_drain_seconds\":0.0,\"managed\":\"config\"");
    assert_says(&d, 200, "\"consumer\":null");
    driver_end(&d);
}

static void a_created_queue_is_201_and_a_declared_one_200(void **state)
{
    struct api_command c = { .u.call.request.call = CALL_DECLARE };
    struct reply r = { .result = RESULT_QUEUE, .u.queue = some_queue() };
    struct driver d;
    (void)state;
    render(&d, &c, &r);
    assert_int_equal(d.response.status, 200);
    driver_end(&d);
    r.u.queue.created = true;
    render(&d, &c, &r);
    assert_int_equal(d.response.status, 201);
    driver_end(&d);
}

static void the_ledger_is_the_books_alone(void **state)
{
    struct api_command c = { .u.call = { .request.call = CALL_DESCRIBE, .ledger_only = true } };
    struct reply r = { .result = RESULT_QUEUE, .u.queue = some_queue() };
    struct driver d;
    (void)state;
    render(&d, &c, &r);
    assert_body(&d, "{\"accepted\":8,\"acked\":2,\"dead_lettered\":0,\"expired\":0,\"purged\":0,\"dropped\":0,"
                    "\"remaining\":6,\"queue\":\"orders\"}\n");
    driver_end(&d);
}

static void a_list_is_by_name_with_its_next(void **state)
{
    struct queue_info q = some_queue();
    struct api_command c = { .u.call.request.call = CALL_LIST };
    struct reply r = { .result = RESULT_LIST, .u.list = { &q, 1, "orders" } };
    struct driver d;
    (void)state;
    render(&d, &c, &r);
    assert_says(&d, 200, "{\"queues\":{\"orders\":{\"queue\":\"orders\"");
    assert_says(&d, 200, "\"next\":\"orders\"}");
    driver_end(&d);
    r.u.list.count = 0;
    r.u.list.next = "";
    render(&d, &c, &r);
    assert_body(&d, "{\"queues\":{},\"next\":null}\n");
    driver_end(&d);
}

static void peeked_events_have_their_state_and_no_receipt(void **state)
{
    const struct peeked p = { .sequence = 7,
                              .state = STATE_IN_FLIGHT,
                              .attempt = 2,
                              .event = span_str("\x0a\x01\x61\x12\x02/s\x1a\x03\x31.0\x22\x01t") };
    struct api_command c = { .u.call.request.call = CALL_PEEK };
    struct reply r = { .result = RESULT_PEEKED, .u.peeked = { &p, 1, 8 } };
    struct driver d;
    (void)state;
    render(&d, &c, &r);
    assert_body(&d,
                "{\"events\":[{\"sequence\":7,\"state\":\"in_flight\",\"attempt\":2,\"event\":{\"specversion\":\"1.0\","
                "\"id\":\"a\",\"source\":\"/s\",\"type\":\"t\"}}],\"next\":8}\n");
    driver_end(&d);
    r.u.peeked.count = 0;
    r.u.peeked.next = 0;
    render(&d, &c, &r);
    assert_body(&d, "{\"events\":[],\"next\":null}\n");
    driver_end(&d);
}

static void a_ready_event_says_what_it_waits_behind(void **state)
{
    const struct peeked p = { .sequence = 7,
                              .state = STATE_READY,
                              .parked_behind = 5,
                              .event = span_str("\x0a\x01\x61\x12\x02/s\x1a\x03\x31.0\x22\x01t") };
    struct api_command c = { .u.call.request.call = CALL_PEEK };
    struct reply r = { .result = RESULT_PEEKED, .u.peeked = { &p, 1, 0 } };
    struct driver d;
    (void)state;
    render(&d, &c, &r);
    assert_body(&d, "{\"events\":[{\"sequence\":7,\"state\":\"ready\",\"attempt\":0,\"parked_behind\":5,\"event\":{"
                    "\"specversion\":\"1.0\",\"id\":\"a\",\"source\":\"/s\",\"type\":\"t\"}}],\"next\":null}\n");
    driver_end(&d);
}

static void a_delayed_event_says_when_it_becomes_ready_and_when_it_expires(void **state)
{
    struct peeked p = { .sequence = 7,
                        .state = STATE_DELAYED,
                        .attempt = 0,
                        .ready_ms = 1700000000500,
                        .expires_ms = 1700000060000,
                        .event = span_str("\x0a\x01\x61\x12\x02/s\x1a\x03\x31.0\x22\x01t") };
    struct api_command c = { .u.call.request.call = CALL_PEEK };
    struct reply r = { .result = RESULT_PEEKED, .u.peeked = { &p, 1, 0 } };
    struct driver d;
    (void)state;
    render(&d, &c, &r);
    assert_body(&d, "{\"events\":[{\"sequence\":7,\"state\":\"delayed\",\"attempt\":0,\"ready_at\":"
                    "\"2023-11-14T22:13:20.5Z\",\"expires_at\":\"2023-11-14T22:14:20Z\",\"event\":{\"specversion\":\"1."
                    "0\",\"id\":\"a\",\"source\":\"/s\","
                    "\"type\":\"t\"}}],\"next\":null}\n");
    driver_end(&d);
}

static void peeked_events_say_what_went_wrong(void **state)
{
    struct peeked p = { .sequence = 7,
                        .state = STATE_DEAD,
                        .attempt = 3,
                        .event = span_str("\x0a\x01\x61\x12\x02/s\x1a\x03\x31.0\x22\x01t"),
                        .trouble = { 2, 1, DEAD_MAX_DELIVERIES, 1700000000123, 1700000061000, 503,
                                     "kein \"Gl\xc3\xbc"
                                     "ck\"",
                                     HOLD_NOT } };
    struct api_command c = { .u.call.request.call = CALL_PEEK };
    struct reply r = { .result = RESULT_PEEKED, .u.peeked = { &p, 1, 0 } };
    struct driver d;
    (void)state;
    render(&d, &c, &r);
    assert_says(&d, 200,
                "\"attempt\":3,\"trouble\":{\"failures\":2,\"crashes\":1,\"reason\":\"max_deliveries\","
                "\"first\":\"2023-11-14T22:13:20.123Z\",\"last\":\"2023-11-14T22:14:21Z\",\"status\":503,"
                "\"error\":\"kein \\\"Gl\xc3\xbc"
                "ck\\\"\"},\"event\":{");
    driver_end(&d);
    p.state = STATE_DELAYED;
    p.trouble = (struct trouble_info){ 0, 1, DEAD_NOT, 1700000000000, 1700000000000, 0, "", HOLD_FULL };
    render(&d, &c, &r);
    assert_says(&d, 200,
                "\"state\":\"delayed\",\"attempt\":3,\"trouble\":{\"failures\":0,\"crashes\":1,\"reason\":"
                "\"dead_letter_full\","
                "\"first\":\"2023-11-14T22:13:20Z\",\"last\":\"2023-11-14T22:13:20Z\"},\"event\"");
    driver_end(&d);
}

static void a_redrive_says_how_many_and_what_was_left(void **state)
{
    struct api_command c = { .u.call.request = { .call = CALL_REDRIVE, .u.redrive.to = "" } };
    struct reply r = { .result = RESULT_REDRIVEN, .u.redriven = { 12, 3, false } };
    struct driver d;
    (void)state;
    render(&d, &c, &r);
    assert_body(&d, "{\"redriven\":12,\"left\":3}\n");
    driver_end(&d);
    r.u.redriven.running = true;
    render(&d, &c, &r);
    assert_says(&d, 202, "{\"redriven\":12,\"left\":3,\"running\":true}\n");
    driver_end(&d);
    r.u.redriven.running = false;
    c.u.call.request.u.redrive.dry_run = true;
    render(&d, &c, &r);
    assert_body(&d, "{\"would_redrive\":12}\n");
    driver_end(&d);
}

static void a_refused_redrive_says_which_queue_it_was(void **state)
{
    struct api_command c = { .queue = "orders", .u.call.request = { .call = CALL_REDRIVE, .u.redrive.to = "" } };
    struct reply r = { .reason = REASON_unknown_queue, .detail = "" };
    struct driver d;
    (void)state;
    render(&d, &c, &r);
    assert_says(&d, 404, "there is no queue 'orders'; declare it");
    driver_end(&d);
    c.u.call.request.u.redrive.to = "later";
    render(&d, &c, &r);
    assert_says(&d, 404, "there is no queue 'orders'; declare it");
    driver_end(&d);
    r.detail = "the queue to redrive to does not exist";
    render(&d, &c, &r);
    assert_says(&d, 404, "there is no queue 'later' to redrive to");
    driver_end(&d);
    r = (struct reply){ .reason = REASON_closed, .detail = "" };
    render(&d, &c, &r);
    assert_says(&d, 409, "the queue 'later' to redrive to is closed");
    driver_end(&d);
}

static void a_purge_says_how_many(void **state)
{
    struct api_command c = { .u.call.request.call = CALL_PURGE };
    struct reply r = { .result = RESULT_PURGED, .u.purged.purged = 12 };
    struct driver d;
    (void)state;
    render(&d, &c, &r);
    assert_body(&d, "{\"purged\":12}\n");
    driver_end(&d);
}

static void a_deletion_is_204(void **state)
{
    struct api_command c = { .u.call.request.call = CALL_DELETE };
    struct reply r = { .result = RESULT_NONE };
    struct driver d;
    (void)state;
    render(&d, &c, &r);
    assert_true(d.response.status == 204 && d.response.body.size == 0 && !d.response.content_type);
    driver_end(&d);
}

static void a_refusal_is_a_problem_with_the_broker_s_sentence(void **state)
{
    struct api_command c = { .queue = "orders", .u.call.request.call = CALL_DECLARE };
    struct reply r = { .reason = REASON_conflict, .detail = "'durability' cannot change" };
    struct driver d;
    (void)state;
    render(&d, &c, &r);
    assert_says(&d, 409, "\"detail\":\"'durability' cannot change\",\"reason\":\"conflict\"");
    driver_end(&d);
    r = (struct reply){ .reason = REASON_unknown_queue, .detail = "" };
    render(&d, &c, &r);
    assert_says(&d, 404, "\"detail\":\"there is no queue 'orders'; declare it first (PUT /v1/queues/orders)\"");
    assert_says(&d, 404, "\"queue\":\"orders\"");
    driver_end(&d);
}

static void no_reply_is_unknown_if_the_call_changes_something(void **state)
{
    struct api_command c = { .u.call.request.call = CALL_PURGE };
    struct driver d;
    (void)state;
    driver_begin(&d);
    api_render_no_reply(&c, &d.arena, &d.response);
    assert_says(&d, 504, "\"reason\":\"unknown\"");
    driver_end(&d);
    c.u.call.request.call = CALL_REDRIVE;
    driver_begin(&d);
    api_render_no_reply(&c, &d.arena, &d.response);
    assert_says(&d, 504, "\"reason\":\"unknown\"");
    driver_end(&d);
    c.u.call.request.u.redrive.dry_run = true;
    driver_begin(&d);
    api_render_no_reply(&c, &d.arena, &d.response);
    assert_says(&d, 503, "\"reason\":\"unavailable\"");
    driver_end(&d);
    c.u.call.request.call = CALL_LIST;
    driver_begin(&d);
    api_render_no_reply(&c, &d.arena, &d.response);
    assert_says(&d, 503, "\"reason\":\"unavailable\"");
    driver_end(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_description_has_its_figures),
        cmocka_unit_test(partitions_are_told_one_by_one),
        cmocka_unit_test(times_are_known_where_rates_tell_them),
        cmocka_unit_test(a_created_queue_is_201_and_a_declared_one_200),
        cmocka_unit_test(the_ledger_is_the_books_alone),
        cmocka_unit_test(a_list_is_by_name_with_its_next),
        cmocka_unit_test(peeked_events_have_their_state_and_no_receipt),
        cmocka_unit_test(a_ready_event_says_what_it_waits_behind),
        cmocka_unit_test(a_delayed_event_says_when_it_becomes_ready_and_when_it_expires),
        cmocka_unit_test(peeked_events_say_what_went_wrong),
        cmocka_unit_test(a_redrive_says_how_many_and_what_was_left),
        cmocka_unit_test(a_refused_redrive_says_which_queue_it_was),
        cmocka_unit_test(a_purge_says_how_many),
        cmocka_unit_test(a_deletion_is_204),
        cmocka_unit_test(no_reply_is_unknown_if_the_call_changes_something),
        cmocka_unit_test(a_refusal_is_a_problem_with_the_broker_s_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

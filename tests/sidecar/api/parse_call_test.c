#include "proto/filter.h"
#include "tests/sidecar/api/api_driver.h"

#include <stdio.h>

static const struct request *call(struct driver *d, const char *method, const char *target, const char *body)
{
    driver_begin(d);
    d->request.listener = API_OPERATIONS;
    assert_int_equal(driver_send(d, method, target, body), API_COMMAND);
    assert_int_equal(d->command.kind, API_CALL);
    return &d->command.u.call.request;
}

static void only_what_a_declaration_gives_is_present(void **state)
{
    struct driver d;
    (void)state;
    const struct request *r =
        call(&d, "PUT", "/v1/queues/q", "{\"capacity\":5,\"capacity_bytes\":\"2MiB\",\"lease\":\"1m\"}");
    const struct queue_settings *s = &r->u.declare.settings;
    assert_int_equal(r->call, CALL_DECLARE);
    assert_string_equal(r->queue, "q");
    assert_int_equal(s->present,
                     1u << QUEUE_SETTING_capacity | 1u << QUEUE_SETTING_capacity_bytes | 1u << QUEUE_SETTING_lease);
    assert_true(s->capacity == 5 && s->capacity_bytes == 2 << 20 && s->lease_ms == 60000);
    assert_false(r->u.declare.only_create);
    driver_end(&d);
}

static void an_empty_declaration_changes_nothing(void **state)
{
    struct driver d;
    (void)state;
    assert_int_equal(call(&d, "PUT", "/v1/queues/q", "")->u.declare.settings.present, 0);
    driver_end(&d);
    assert_int_equal(call(&d, "PUT", "/v1/queues/q", "{}")->u.declare.settings.present, 0);
    driver_end(&d);
}

static void sizes_are_numbers_or_text_and_switches_are_booleans(void **state)
{
    struct driver d;
    (void)state;
    const struct request *r = call(&d, "PUT", "/v1/queues/q",
                                   "{\"capacity_bytes\":4096,\"require_consumer\":true,\"overflow\":\"drop_oldest\"}");
    assert_int_equal(r->u.declare.settings.capacity_bytes, 4096);
    assert_true(r->u.declare.settings.require_consumer);
    assert_int_equal(r->u.declare.settings.overflow, OVERFLOW_DROP_OLDEST);
    driver_end(&d);
}

static void null_takes_a_name_back(void **state)
{
    struct driver d;
    (void)state;
    const struct queue_settings *s = &call(&d, "PUT", "/v1/queues/q", "{\"dead_letter\":null}")->u.declare.settings;
    assert_int_equal(s->present, 1u << QUEUE_SETTING_dead_letter);
    assert_string_equal(s->dead_letter, "");
    driver_end(&d);
    s = &call(&d, "PUT", "/v1/queues/q", "{\"dead_letter\":\"letters\"}")->u.declare.settings;
    assert_string_equal(s->dead_letter, "letters");
    driver_end(&d);
}

static void if_none_match_star_only_creates(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    driver_header(&d, "If-None-Match", "*");
    assert_int_equal(driver_send(&d, "PUT", "/v1/queues/q", ""), API_COMMAND);
    assert_true(d.command.u.call.request.u.declare.only_create);
    driver_end(&d);
    driver_refuses("PUT", "/v1/queues/q", "If-None-Match", "\"etag\"", "", 400, "If-None-Match must be *");
}

static void bad_settings_are_refused_by_name(void **state)
{
    static const struct {
        const char *body, *says;
    } bad[] = {
        { "{\"capacity\":0}", "'capacity'" },
        { "{\"capacity\":-1}", "'capacity'" },
        { "{\"capacity\":1.5}", "'capacity'" },
        { "{\"capacity\":null}", "'capacity'" },
        { "{\"capacity\":\"many\"}", "'capacity'" },
        { "{\"capacity\":99999999999999999999}", "JSON" },
        { "{\"capacity\":9999999999}", "'capacity'" },
        { "{\"capcity\":1}", "did you mean 'capacity'" },
        { "{\"\":1}", "unknown key ''" },
        { "{\"lease\":30}", "'lease'" },
        { "{\"lease\":\"30\"}", "'lease'" },
        { "{\"overflow\":\"maybe\"}", "'overflow'" },
        { "{\"require_consumer\":\"true\"}", "'require_consumer'" },
        { "{\"require_consumer\":1}", "'require_consumer'" },
        { "{\"capacity\":10.0}", "'capacity' must be a whole number\"" },
        { "{\"capacity\":null}", "'capacity' must be a whole number\"" },
        { "{\"capacity_bytes\":1.5}",
          "'capacity_bytes' must be a whole number of bytes, or a string like \\\"64MiB\\\"" },
        { "{\"lease\":[]}", "'lease' must be a string, a duration like \\\"30s\\\"" },
        { "{\"overflow\":true}", "'overflow' must be one of wait, reject, drop_oldest\"" },
        { "{\"durability\":1}", "'durability' must be one of memory, disk\"" },
        { "{\"dead_letter\":{}}", "'dead_letter' must be a string, a queue's name, or null\"" },
        { "{\"require_consumer\":1.0}", "'require_consumer' must be true or false\"" },
        { "{\"capacity\":1,\"capacity\":2}", "duplicate" },
        { "[]", "JSON object" },
        { "7", "JSON object" },
        { "{\"capacity\":1", "JSON object" },
        { "{\"capacity\":1}x", "JSON object" },
        { "{\"cap\\u0000\":1}", "JSON object" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        driver_refuses("PUT", "/v1/queues/q", NULL, NULL, bad[i].body, 400, bad[i].says);
}

static void a_list_has_a_page_of_100_and_at_most_1000(void **state)
{
    struct driver d;
    (void)state;
    const struct request *r = call(&d, "GET", "/v1/queues", "");
    assert_int_equal(r->call, CALL_LIST);
    assert_true(r->u.list.limit == 100 && !*r->u.list.prefix && !*r->u.list.after);
    driver_end(&d);
    r = call(&d, "GET", "/v1/queues?prefix=or%64&after=b&limit=5000", "");
    assert_int_equal(r->u.list.limit, 1000);
    assert_string_equal(r->u.list.prefix, "ord");
    assert_string_equal(r->u.list.after, "b");
    driver_end(&d);
    driver_refuses("GET", "/v1/queues?limit=0", NULL, NULL, "", 400, "'limit'");
    driver_refuses("GET", "/v1/queues?limit=x", NULL, NULL, "", 400, "'limit'");
}

static void a_peek_has_a_state_a_start_and_a_most(void **state)
{
    struct driver d;
    (void)state;
    const struct request *r = call(&d, "GET", "/v1/queues/q/peek", "");
    assert_true(r->u.peek.state == STATE_READY && r->u.peek.from == 0 && r->u.peek.max == 10);
    driver_end(&d);
    r = call(&d, "GET", "/v1/queues/q/peek?state=in_flight&from=77&max=99999", "");
    assert_true(r->u.peek.state == STATE_IN_FLIGHT && r->u.peek.from == 77 && r->u.peek.max == 1000);
    driver_end(&d);
    driver_refuses("GET", "/v1/queues/q/peek?state=gone", NULL, NULL, "", 400, "'state'");
    driver_refuses("GET", "/v1/queues/q/peek?max=0", NULL, NULL, "", 400, "'max'");
    driver_refuses("GET", "/v1/queues/q/peek?from=-1", NULL, NULL, "", 400, "'from'");
}

static void a_purge_is_of_what_is_dead_only_when_it_says_so(void **state)
{
    struct driver d;
    (void)state;
    assert_false(call(&d, "POST", "/v1/queues/q/purge", "")->u.purge.dead);
    driver_end(&d);
    assert_true(call(&d, "POST", "/v1/queues/q/purge?state=dead", "")->u.purge.dead);
    driver_end(&d);
    driver_refuses("POST", "/v1/queues/q/purge?state=ready", NULL, NULL, "", 400, "'state' must be dead");
    driver_refuses("POST", "/v1/queues/q/purge?state=", NULL, NULL, "", 400, "'state' must be dead");
}

static void a_redrive_is_of_all_unless_it_names_some(void **state)
{
    struct driver d;
    (void)state;
    const struct request *r = call(&d, "POST", "/v1/queues/q/redrive", "");
    assert_true(r->call == CALL_REDRIVE && r->u.redrive.count == 0 && !*r->u.redrive.to && !r->u.redrive.dry_run);
    driver_end(&d);
    r = call(&d, "POST", "/v1/queues/q/redrive", "{}");
    assert_true(r->u.redrive.count == 0 && !*r->u.redrive.to && !r->u.redrive.dry_run);
    driver_end(&d);
    r = call(&d, "POST", "/v1/queues/q/redrive", "{\"sequences\":[7,9007199254740993],\"to\":\"q2\",\"dry_run\":true}");
    assert_true(r->u.redrive.count == 2 && r->u.redrive.sequences[0] == 7 &&
                r->u.redrive.sequences[1] == 9007199254740993 && r->u.redrive.dry_run);
    assert_string_equal(r->u.redrive.to, "q2");
    driver_end(&d);
    r = call(&d, "POST", "/v1/queues/q/redrive",
             "{\"filter\":{\"exact\":{\"type\":\"t\"}},\"reason\":\"crash_loop\",\"rate\":1000000}");
    assert_true(r->u.redrive.filter.size && filter_valid(r->u.redrive.filter));
    assert_true(r->u.redrive.reason == DEAD_CRASH_LOOP && r->u.redrive.rate == 1000000 && !r->u.redrive.stop);
    driver_end(&d);
    assert_true(call(&d, "POST", "/v1/queues/q/redrive", "{\"stop\":true}")->u.redrive.stop);
    driver_end(&d);
}

static void a_bad_redrive_is_refused_by_name(void **state)
{
    static const struct {
        const char *body, *says;
    } bad[] = {
        { "[]", "the body must be" },
        { "{\"sequences\":[1]", "the body must be" },
        { "{\"sequences\":[1],\"sequences\":[2]}", "duplicate" },
        { "{\"filters\":{}}", "unknown key 'filters'; known here: sequences, filter, reason, to, rate, dry_run, stop" },
        { "{\"filter\":{\"sql\":\"1\"}}", "filter" },
        { "{\"filter\":7}", "filter" },
        { "{\"filter\":{}}", "filter" },
        { "{\"reason\":\"\"}", "'reason' must be why they are dead" },
        { "{\"reason\":\"full\"}", "max_deliveries, crash_loop, dropped_by_app, dropped or expired\"" },
        { "{\"reason\":1}", "'reason' must be why they are dead" },
        { "{\"rate\":0}", "'rate' must be a whole number of events a second, 1 to 1000000" },
        { "{\"rate\":-5}", "'rate'" },
        { "{\"rate\":1.5}", "'rate'" },
        { "{\"rate\":\"5\"}", "'rate'" },
        { "{\"rate\":1000001}", "'rate'" },
        { "{\"rate\":4294967297}", "'rate'" },
        { "{\"stop\":1}", "'stop' must be true or false" },
        { "{\"stop\":true,\"rate\":5}", "'stop' ends the redrive that is under way" },
        { "{\"sequences\":[]}", "leave it out to redrive all" },
        { "{\"sequences\":7}", "'sequences' must be a list" },
        { "{\"sequences\":null}", "'sequences' must be a list" },
        { "{\"sequences\":[1,0]}", "sequences[1]" },
        { "{\"sequences\":[-1]}", "sequences[0]" },
        { "{\"sequences\":[1.5]}", "sequences[0]" },
        { "{\"sequences\":[\"1\"]}", "sequences[0]" },
        { "{\"to\":\"\"}", "'to' must be the name" },
        { "{\"to\":\"../q\"}", "'to' must be the name" },
        { "{\"to\":7}", "'to' must be the name" },
        { "{\"dry_run\":\"true\"}", "'dry_run'" },
        { "{\"dry_run\":1}", "'dry_run'" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        driver_refuses("POST", "/v1/queues/q/redrive", NULL, NULL, bad[i].body, 400, bad[i].says);
    driver_refuses("POST", "/v1/queues/q/redrive?to=q2", NULL, NULL, "", 400, "'to'");
}

static void at_most_10000_sequences_are_redriven_at_once(void **state)
{
    static char body[40000];
    struct driver d;
    size_t used = (size_t)snprintf(body, sizeof body, "{\"sequences\":[1");
    (void)state;
    for (unsigned i = 1; i < 10000; i++)
        used += (size_t)snprintf(body + used, sizeof body - used, ",2");
    snprintf(body + used, sizeof body - used, "]}");
    assert_int_equal(call(&d, "POST", "/v1/queues/q/redrive", body)->u.redrive.count, 10000);
    driver_end(&d);
    snprintf(body + used, sizeof body - used, ",3]}");
    driver_refuses("POST", "/v1/queues/q/redrive", NULL, NULL, body, 400, "1 to 10000 sequences");
}

static void a_delete_may_be_forced(void **state)
{
    struct driver d;
    (void)state;
    assert_false(call(&d, "DELETE", "/v1/queues/q", "")->u.delete_.force);
    driver_end(&d);
    assert_true(call(&d, "DELETE", "/v1/queues/q?force=true", "")->u.delete_.force);
    driver_end(&d);
    driver_refuses("DELETE", "/v1/queues/q?force=1", NULL, NULL, "", 400, "'force'");
}

static void one_event_is_named_by_its_sequence(void **state)
{
    struct driver d;
    (void)state;
    const struct request *r = call(&d, "GET", "/v1/queues/q/events/18", "");
    assert_true(r->call == CALL_EXPLAIN && r->u.explain.sequence == 18);
    driver_end(&d);
    r = call(&d, "DELETE", "/v1/queues/q/events/17", "");
    assert_int_equal(r->call, CALL_CANCEL);
    assert_string_equal(r->queue, "q");
    assert_true(r->u.cancel.sequence == 17);
    driver_end(&d);
    driver_refuses("DELETE", "/v1/queues/q/events/0", NULL, NULL, "", 400, "a whole number above 0");
    driver_refuses("DELETE", "/v1/queues/q/events/17?force=true", NULL, NULL, "", 400, "'force'");
}

static void ledger_is_a_describe_of_which_only_the_books_are_shown(void **state)
{
    struct driver d;
    (void)state;
    assert_int_equal(call(&d, "GET", "/v1/queues/q/ledger", "")->call, CALL_DESCRIBE);
    assert_true(d.command.u.call.ledger_only);
    driver_end(&d);
    call(&d, "GET", "/v1/queues/ledger", "");
    assert_false(d.command.u.call.ledger_only);
    driver_end(&d);
}

static void operations_name_their_queue(void **state)
{
    static const struct {
        const char *target;
        enum call call;
    } all[] = { { "/v1/queues/q/purge", CALL_PURGE }, { "/v1/queues/q/redrive", CALL_REDRIVE },
                { "/v1/queues/q/pause", CALL_PAUSE }, { "/v1/queues/q/resume", CALL_RESUME },
                { "/v1/queues/q/close", CALL_CLOSE }, { "/v1/queues/q/open", CALL_OPEN } };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct driver d;
        const struct request *r = call(&d, "POST", all[i].target, "");
        assert_int_equal(r->call, all[i].call);
        assert_string_equal(r->queue, "q");
        driver_end(&d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_a_declaration_gives_is_present),
        cmocka_unit_test(an_empty_declaration_changes_nothing),
        cmocka_unit_test(sizes_are_numbers_or_text_and_switches_are_booleans),
        cmocka_unit_test(null_takes_a_name_back),
        cmocka_unit_test(if_none_match_star_only_creates),
        cmocka_unit_test(bad_settings_are_refused_by_name),
        cmocka_unit_test(a_list_has_a_page_of_100_and_at_most_1000),
        cmocka_unit_test(a_peek_has_a_state_a_start_and_a_most),
        cmocka_unit_test(a_purge_is_of_what_is_dead_only_when_it_says_so),
        cmocka_unit_test(a_redrive_is_of_all_unless_it_names_some),
        cmocka_unit_test(a_bad_redrive_is_refused_by_name),
        cmocka_unit_test(at_most_10000_sequences_are_redriven_at_once),
        cmocka_unit_test(a_delete_may_be_forced),
        cmocka_unit_test(one_event_is_named_by_its_sequence),
        cmocka_unit_test(ledger_is_a_describe_of_which_only_the_books_are_shown),
        cmocka_unit_test(operations_name_their_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "tests/sidecar/api/api_driver.h"

#include <stdio.h>

static void take(struct driver *d, const char *target, const char *accept)
{
    driver_begin(d);
    if (accept)
        driver_header(d, "Accept", accept);
    assert_int_equal(driver_send(d, "POST", target, ""), API_COMMAND);
    assert_int_equal(d->command.kind, API_TAKE);
}

static void a_plain_take_takes_one_and_does_not_wait(void **state)
{
    struct driver d;
    (void)state;
    take(&d, "/v1/queues/q/take", NULL);
    assert_true(d.command.u.take.max == 1 && d.command.u.take.wait_ms == 0 && d.command.u.take.format == API_JSON);
    driver_end(&d);
}

static void what_is_above_the_limits_is_clipped(void **state)
{
    struct driver d;
    (void)state;
    take(&d, "/v1/queues/q/take?max=9999999999&wait=12h", NULL);
    assert_true(d.command.u.take.max == 1000 && d.command.u.take.wait_ms == 60000);
    driver_end(&d);
}

static void nonsense_is_refused_by_name(void **state)
{
    (void)state;
    driver_refuses("POST", "/v1/queues/q/take?max=0", NULL, NULL, "", 400, "'max'");
    driver_refuses("POST", "/v1/queues/q/take?max=all", NULL, NULL, "", 400, "'max'");
    driver_refuses("POST", "/v1/queues/q/take?wait=5", NULL, NULL, "", 400, "'wait'");
    driver_refuses("POST", "/v1/queues/q/take?wait=-5s", NULL, NULL, "", 400, "'wait'");
}

static enum api_format format_of(const char *accept)
{
    struct driver d;
    take(&d, "/v1/queues/q/take", accept);
    enum api_format format = d.command.u.take.format;
    driver_end(&d);
    return format;
}

static void accept_chooses_json_or_protobuf(void **state)
{
    (void)state;
    assert_int_equal(format_of("*/*"), API_JSON);
    assert_int_equal(format_of("application/*"), API_JSON);
    assert_int_equal(format_of("application/cloudevents-batch+protobuf"), API_PROTOBUF);
    assert_int_equal(format_of("application/cloudevents-batch+protobuf, */*"), API_PROTOBUF);
    assert_int_equal(format_of("application/cloudevents-batch+protobuf;q=0.5, application/json"), API_JSON);
    assert_int_equal(format_of("application/json;q=0, */*;q=0.1"), API_PROTOBUF);
    driver_refuses("POST", "/v1/queues/q/take", "Accept", "text/html", "", 406, "\"not_acceptable\"");
}

static void acks(struct driver *d, const char *body)
{
    driver_begin(d);
    assert_int_equal(driver_send(d, "POST", "/v1/queues/q/acks", body), API_COMMAND);
    assert_int_equal(d->command.kind, API_ACKS);
}

static void assert_settle(const struct driver *d, size_t i, enum settle_kind kind, const char *receipt, uint64_t ms)
{
    const struct receipt_ack *s = &d->command.u.acks.items[i];
    assert_int_equal(s->kind, kind);
    assert_true(span_equal(s->receipt, span_str(receipt)));
    assert_int_equal(s->ms, ms);
}

static void settles_come_in_order_acks_nacks_extends(void **state)
{
    struct driver d;
    (void)state;
    acks(&d, "{\"extend\":[{\"receipt\":\"e\",\"by\":\"1m\"}],\"nack\":[{\"receipt\":\"n\",\"delay\":\"10s\"},\"m\","
             "{\"receipt\":\"o\"}],\"ack\":[\"a\",\"b\"]}");
    assert_int_equal(d.command.u.acks.count, 6);
    assert_settle(&d, 0, SETTLE_ACK, "a", 0);
    assert_settle(&d, 1, SETTLE_ACK, "b", 0);
    assert_settle(&d, 2, SETTLE_NACK, "n", 10000);
    assert_settle(&d, 3, SETTLE_NACK, "m", 0);
    assert_settle(&d, 4, SETTLE_NACK, "o", 0);
    assert_settle(&d, 5, SETTLE_EXTEND, "e", 60000);
    driver_end(&d);
}

static void a_nack_may_say_what_went_wrong(void **state)
{
    struct driver d;
    (void)state;
    acks(&d,
         "{\"nack\":[{\"receipt\":\"n\",\"status\":503,\"error\":\"kein Gl\\u00fcck \\\"5\\\"\"},{\"receipt\":\"m\"},"
         "{\"receipt\":\"o\",\"status\":65535,\"error\":\"\"}]}");
    const struct receipt_ack *s = d.command.u.acks.items;
    assert_true(s[0].kind == SETTLE_NACK && s[0].ms == 0 && s[0].status == 503);
    assert_true(span_equal(s[0].error, span_str("kein Gl\xc3\xbc"
                                                "ck \"5\"")));
    assert_true(s[1].status == 0 && s[1].error.size == 0);
    assert_true(s[2].status == 65535 && s[2].error.size == 0);
    driver_end(&d);
}

static void a_nack_s_delay_of_nothing_is_not_the_back_off(void **state)
{
    struct driver d;
    (void)state;
    acks(&d, "{\"nack\":[{\"receipt\":\"n\",\"delay\":\"0s\"}]}");
    assert_settle(&d, 0, SETTLE_NACK, "n", 1);
    driver_end(&d);
}

static void a_release_gives_back_by_receipt(void **state)
{
    struct driver d;
    (void)state;
    acks(&d, "{\"release\":[\"r\"],\"ack\":[\"a\"]}");
    assert_int_equal(d.command.u.acks.count, 2);
    assert_settle(&d, 0, SETTLE_ACK, "a", 0);
    assert_settle(&d, 1, SETTLE_RELEASE, "r", 0);
    driver_end(&d);
}

static void what_is_deferred_says_how_long(void **state)
{
    struct driver d;
    (void)state;
    acks(&d, "{\"defer\":[{\"receipt\":\"r\",\"delay\":\"2s\"},{\"receipt\":\"s\",\"delay\":\"0s\"}]}");
    assert_settle(&d, 0, SETTLE_DEFER, "r", 2000);
    assert_settle(&d, 1, SETTLE_DEFER, "s", 0);
    driver_end(&d);
}

static void what_is_dropped_may_say_why(void **state)
{
    struct driver d;
    (void)state;
    acks(&d, "{\"drop\":[\"r\",{\"receipt\":\"s\",\"status\":404,\"error\":\"no such user\"}]}");
    assert_settle(&d, 0, SETTLE_DROP, "r", 0);
    assert_settle(&d, 1, SETTLE_DROP, "s", 0);
    assert_int_equal(d.command.u.acks.items[1].status, 404);
    assert_true(span_equal(d.command.u.acks.items[1].error, span_str("no such user")));
    driver_end(&d);
}

static void nothing_to_settle_is_fine(void **state)
{
    struct driver d;
    (void)state;
    acks(&d, "{}");
    assert_int_equal(d.command.u.acks.count, 0);
    driver_end(&d);
    acks(&d, "{\"ack\":[]}");
    assert_int_equal(d.command.u.acks.count, 0);
    driver_end(&d);
}

static void bad_bodies_say_where(void **state)
{
    static const struct {
        const char *body, *says;
    } bad[] = {
        { "", "the body is empty" },
        { "[]", "the body must be" },
        { "{\"ack\":[\"a\"]", "the body must be" },
        { "{\"ack\":[],\"ack\":[]}", "duplicate" },
        { "{\"akc\":[]}", "'akc'; known here: ack, nack, extend, release, defer, drop" },
        { "{\"ack\":\"a\"}", "'ack' must be a list" },
        { "{\"ack\":[\"a\",1]}", "ack[1]" },
        { "{\"ack\":[\"\"]}", "ack[0]" },
        { "{\"nack\":[{\"receipt\":\"a\",\"dealy\":\"1s\"}]}", "'dealy'" },
        { "{\"nack\":[{\"delay\":\"1s\"}]}", "nack[0]: a receipt" },
        { "{\"nack\":[7]}", "nack[0]: each item is a receipt, or an object" },
        { "{\"nack\":[{\"receipt\":\"a\",\"delay\":5}]}", "'delay'" },
        { "{\"nack\":[{\"receipt\":\"a\",\"delay\":\"13h\"}]}", "at most 12h" },
        { "{\"nack\":[{\"receipt\":\"a\",\"status\":0}]}", "'status'" },
        { "{\"nack\":[{\"receipt\":\"a\",\"status\":65536}]}", "'status'" },
        { "{\"nack\":[{\"receipt\":\"a\",\"status\":\"503\"}]}", "'status'" },
        { "{\"nack\":[{\"receipt\":\"a\",\"error\":7}]}", "'error'" },
        { "{\"nack\":[{\"receipt\":\"a\",\"error\":null}]}", "'error'" },
        { "{\"nack\":[{\"receipt\":\"a\",\"error\":\"\\u0000\"}]}", "the body must be" },
        { "{\"release\":[{\"receipt\":\"a\"}]}", "release[0]" },
        { "{\"defer\":[\"a\"]}", "defer[0]" },
        { "{\"defer\":[{\"receipt\":\"a\"}]}", "'delay'" },
        { "{\"defer\":[{\"receipt\":\"a\",\"delay\":\"13h\"}]}", "at most 12h" },
        { "{\"drop\":[7]}", "drop[0]" },
        { "{\"drop\":[{\"receipt\":\"a\",\"delay\":\"1s\"}]}", "'delay'" },
        { "{\"drop\":[{\"receipt\":\"a\",\"status\":0}]}", "'status'" },
        { "{\"extend\":[\"a\"]}", "extend[0]" },
        { "{\"extend\":[{\"receipt\":\"a\"}]}", "'by'" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        driver_refuses("POST", "/v1/queues/q/acks", NULL, NULL, bad[i].body, 400, bad[i].says);
}

static void receipts_are_bounded_in_length_and_number(void **state)
{
    static char body[8000];
    char longest[202] = "";
    struct driver d;
    size_t used = 0;
    (void)state;
    memset(longest, 'r', 201);
    snprintf(body, sizeof body, "{\"ack\":[\"%s\"]}", longest);
    driver_refuses("POST", "/v1/queues/q/acks", NULL, NULL, body, 400, "1 to 200 characters");
    snprintf(body, sizeof body, "{\"ack\":[\"%s\"]}", longest + 1);
    driver_begin(&d);
    assert_int_equal(driver_send(&d, "POST", "/v1/queues/q/acks", body), API_COMMAND);
    driver_end(&d);
    used = (size_t)snprintf(body, sizeof body, "{\"ack\":[\"a\"");
    for (unsigned i = 1; i < 1000; i++)
        used += (size_t)snprintf(body + used, sizeof body - used, ",\"a\"");
    snprintf(body + used, sizeof body - used, "]}");
    driver_begin(&d);
    assert_int_equal(driver_send(&d, "POST", "/v1/queues/q/acks", body), API_COMMAND);
    assert_int_equal(d.command.u.acks.count, 1000);
    driver_end(&d);
    snprintf(body + used, sizeof body - used, "],\"drop\":[\"a\"]}");
    driver_refuses("POST", "/v1/queues/q/acks", NULL, NULL, body, 400, "at most 1000 receipts");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_take_takes_one_and_does_not_wait),
        cmocka_unit_test(what_is_above_the_limits_is_clipped),
        cmocka_unit_test(nonsense_is_refused_by_name),
        cmocka_unit_test(accept_chooses_json_or_protobuf),
        cmocka_unit_test(settles_come_in_order_acks_nacks_extends),
        cmocka_unit_test(a_nack_may_say_what_went_wrong),
        cmocka_unit_test(a_nack_s_delay_of_nothing_is_not_the_back_off),
        cmocka_unit_test(a_release_gives_back_by_receipt),
        cmocka_unit_test(nothing_to_settle_is_fine),
        cmocka_unit_test(what_is_deferred_says_how_long),
        cmocka_unit_test(what_is_dropped_may_say_why),
        cmocka_unit_test(bad_bodies_say_where),
        cmocka_unit_test(receipts_are_bounded_in_length_and_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Control requests: round trips. Those that must be refused are in control_bad_test.c. */
#include "tests/proto/control_driver.h"

static const struct token id = { UINT64_C(0x0102030405060708), UINT64_C(0xf1f2f3f4f5f6f7f8) };

static struct request request_round_trip(struct request r)
{
    struct request back;
    r.id = id;
    request_pack(&r, &packed);
    assert_true(request_unpack(buf_span(&packed), &arena, &back));
    assert_true(token_equal(back.id, id));
    assert_int_equal(back.call, r.call);
    assert_string_equal(back.queue, r.queue ? r.queue : "");
    return back;
}

static void attach_round_trips(void **state)
{
    (void)state;
    struct request r = { .call = CALL_ATTACH };
    r.u.attach.version = 3;
    r.u.attach.least_version = 2;
    r.u.attach.features = UINT64_MAX;
    r.u.attach.name = "b\xc3\xbcro/1";
    r.u.attach.token = (struct token){ 5, 6 };
    r.u.attach.received = UINT64_C(1) << 50;
    r.u.attach.producer = (struct token){ 7, 8 };
    r.u.attach.producer_epoch = UINT64_C(1) << 40;
    r.u.attach.inbox = "tcp://*:7402";
    struct request back = request_round_trip(r);
    assert_int_equal(back.u.attach.version, 3);
    assert_int_equal(back.u.attach.least_version, 2);
    assert_true(back.u.attach.features == UINT64_MAX);
    assert_string_equal(back.u.attach.name, r.u.attach.name);
    assert_true(token_equal(back.u.attach.token, r.u.attach.token));
    assert_true(back.u.attach.received == r.u.attach.received);
    assert_true(token_equal(back.u.attach.producer, r.u.attach.producer));
    assert_true(back.u.attach.producer_epoch == r.u.attach.producer_epoch);
    assert_string_equal(back.u.attach.inbox, r.u.attach.inbox);
}

static void texts_that_are_not_given_come_back_empty(void **state)
{
    (void)state;
    struct request back = request_round_trip((struct request){ .call = CALL_ATTACH });
    assert_string_equal(back.u.attach.name, "");
    assert_string_equal(back.u.attach.inbox, "");
    assert_true(token_is_zero(back.u.attach.token) && token_is_zero(back.u.attach.producer));
    buf_clear(&packed);
    back = request_round_trip((struct request){ .call = CALL_LIST });
    assert_string_equal(back.u.list.prefix, "");
    assert_string_equal(back.u.list.after, "");
}

static void calls_of_a_name_only_round_trip(void **state)
{
    (void)state;
    static const enum call calls[] = { CALL_DESCRIBE, CALL_PURGE, CALL_PAUSE, CALL_RESUME, CALL_CLOSE, CALL_OPEN };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        buf_clear(&packed);
        request_round_trip((struct request){ .call = calls[i], .queue = "orders" });
    }
}

static void calls_without_arguments_round_trip(void **state)
{
    (void)state;
    static const enum call calls[] = { CALL_NONE, CALL_PING, CALL_BROKER };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        buf_clear(&packed);
        request_round_trip((struct request){ .call = calls[i] });
    }
}

static void declare_keeps_which_settings_were_given(void **state)
{
    (void)state;
    struct request r = { .call = CALL_DECLARE, .queue = "orders" };
    r.u.declare.only_create = true;
    queue_settings_put(&r.u.declare.settings, QUEUE_SETTING_capacity, 77);
    queue_settings_put(&r.u.declare.settings, QUEUE_SETTING_require_consumer, 0); /* given, as false */
    struct request back = request_round_trip(r);
    assert_true(back.u.declare.only_create);
    assert_int_equal(back.u.declare.settings.present,
                     1u << QUEUE_SETTING_capacity | 1u << QUEUE_SETTING_require_consumer);
    assert_int_equal(back.u.declare.settings.capacity, 77);
    assert_int_equal(back.u.declare.settings.lease_ms, 0);
}

static void every_setting_round_trips(void **state)
{
    (void)state;
    struct request r = { .call = CALL_DECLARE, .queue = "q" };
    for (unsigned i = 0; i < QUEUE_SETTING_COUNT; i++) {
        const struct queue_setting_info *info = queue_setting_info((enum queue_setting)i);
        if (info->type == QUEUE_SETTING_NAME)
            queue_settings_put_text(&r.u.declare.settings, (enum queue_setting)i, span_str("parking"));
        else
            queue_settings_put(&r.u.declare.settings, (enum queue_setting)i, info->max);
    }
    struct request back = request_round_trip(r);
    assert_same_settings(&back.u.declare.settings, &r.u.declare.settings);
}

static void list_delete_and_peek_round_trip(void **state)
{
    (void)state;
    struct request r = { .call = CALL_LIST };
    r.u.list.prefix = "or", r.u.list.after = "orders", r.u.list.limit = 50;
    struct request back = request_round_trip(r);
    assert_string_equal(back.u.list.prefix, "or");
    assert_string_equal(back.u.list.after, "orders");
    assert_int_equal(back.u.list.limit, 50);
    buf_clear(&packed);
    r = (struct request){ .call = CALL_DELETE, .queue = "orders" };
    r.u.delete_.force = true;
    assert_true(request_round_trip(r).u.delete_.force);
    for (unsigned s = STATE_READY; s <= STATE_DEAD; s++) {
        buf_clear(&packed);
        r = (struct request){ .call = CALL_PEEK, .queue = "orders" };
        r.u.peek.state = (enum event_state)s, r.u.peek.from = 1000, r.u.peek.max = 5, r.u.peek.max_bytes = 4096;
        back = request_round_trip(r);
        assert_int_equal(back.u.peek.state, s);
        assert_int_equal(back.u.peek.from, 1000);
        assert_int_equal(back.u.peek.max, 5);
        assert_int_equal(back.u.peek.max_bytes, 4096);
    }
}

static void explain_round_trips(void **state)
{
    (void)state;
    struct request asked = { .call = CALL_EXPLAIN,
                             .queue = "orders",
                             .u.explain.sequence = UINT64_C(9007199254740991) };
    struct request back = request_round_trip(asked);
    assert_string_equal(back.queue, "orders");
    assert_true(back.u.explain.sequence == asked.u.explain.sequence);
}

static void packing_appends(void **state)
{
    (void)state;
    struct request back;
    buf_add_str(&packed, "before");
    request_pack(&(struct request){ .id = id, .call = CALL_PING }, &packed);
    assert_memory_equal(packed.data, "before", 6);
    assert_true(request_unpack(span_of(packed.data + 6, packed.size - 6), &arena, &back));
    assert_int_equal(back.call, CALL_PING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_arena(attach_round_trips),
        with_arena(texts_that_are_not_given_come_back_empty),
        with_arena(calls_of_a_name_only_round_trip),
        with_arena(calls_without_arguments_round_trip),
        with_arena(declare_keeps_which_settings_were_given),
        with_arena(every_setting_round_trips),
        with_arena(list_delete_and_peek_round_trip),
        with_arena(explain_round_trips),
        with_arena(packing_appends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

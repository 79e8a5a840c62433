/* Control messages that must be refused, and newer ones that must not. */
#include "tests/proto/control_driver.h"

#include "proto/wire.h"

#include <stdlib.h>

static bool takes_request(void)
{
    struct request r;
    return request_unpack(buf_span(&packed), &arena, &r);
}

static bool takes_reply(void)
{
    struct reply r;
    return reply_unpack(buf_span(&packed), &arena, &r);
}

/* Texts go in as X and are then overwritten: no valid struct can hold them. */
static void overwrite(char what, char with)
{
    unsigned count = 0;
    for (size_t i = 0; i < packed.size; i++) {
        if (packed.data[i] == (uint8_t)what) {
            packed.data[i] = (uint8_t)with;
            count++;
        }
    }
    assert_true(count > 0);
}

static void pack_request(const struct request *r)
{
    buf_clear(&packed);
    request_pack(r, &packed);
    assert_true(takes_request());
}

static void pack_reply(const struct reply *r)
{
    buf_clear(&packed);
    reply_pack(r, &packed);
    assert_true(takes_reply());
}

#define TEXT "aXXb"

/* Runs `check` on one request for each text that a request may have. */
static void each_text_of_requests(void (*check)(const struct request *r))
{
    static const enum call named[] = { CALL_DECLARE, CALL_DESCRIBE, CALL_DELETE, CALL_PEEK, CALL_PURGE,
                                       CALL_PAUSE,   CALL_RESUME,   CALL_CLOSE,  CALL_OPEN };
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        check(&(struct request){ .call = named[i], .queue = TEXT });
    struct request r = { .call = CALL_ATTACH };
    r.u.attach.name = TEXT;
    check(&r);
    r.u.attach.name = "", r.u.attach.inbox = TEXT;
    check(&r);
    r = (struct request){ .call = CALL_LIST };
    r.u.list.prefix = TEXT;
    check(&r);
    r.u.list.prefix = "", r.u.list.after = TEXT;
    check(&r);
}

static void each_text_of_replies(void (*check)(const struct reply *r))
{
    check(&(struct reply){ .reason = REASON_invalid, .detail = TEXT });
    struct reply r = { .result = RESULT_PONG };
    r.u.pong.version = TEXT;
    check(&r);
    r = (struct reply){ .result = RESULT_BROKER };
    r.u.broker.version = TEXT;
    check(&r);
    r = (struct reply){ .result = RESULT_QUEUE };
    r.u.queue.queue = TEXT;
    check(&r);
    r.u.queue.queue = "", r.u.queue.consumer = TEXT;
    check(&r);
    const struct queue_info queue = { .queue = TEXT };
    r = (struct reply){ .result = RESULT_LIST };
    r.u.list.queues = &queue, r.u.list.count = 1;
    check(&r);
    r.u.list.count = 0, r.u.list.next = TEXT;
    check(&r);
    const struct outcomes outcomes = { .destination = TEXT };
    r = (struct reply){ .result = RESULT_ATTACHED };
    r.u.attached.outcomes = &outcomes, r.u.attached.outcome_count = 1;
    check(&r);
}

static void request_refuses_invalid_utf8(const struct request *r)
{
    pack_request(r);
    overwrite('X', '\xff');
    assert_false(takes_request());
}

static void reply_refuses_invalid_utf8(const struct reply *r)
{
    pack_reply(r);
    overwrite('X', '\xff');
    assert_false(takes_reply());
}

static void request_refuses_a_nul(const struct request *r)
{
    pack_request(r);
    overwrite('X', '\0');
    assert_false(takes_request());
}

static void reply_refuses_a_nul(const struct reply *r)
{
    pack_reply(r);
    overwrite('X', '\0');
    assert_false(takes_reply());
}

static void texts_that_are_not_utf8_are_refused(void **state)
{
    (void)state;
    each_text_of_requests(request_refuses_invalid_utf8);
    each_text_of_replies(reply_refuses_invalid_utf8);
}

/* A NUL ends a C string: the name that was checked would not be the name that was sent. */
static void texts_with_a_nul_inside_are_refused(void **state)
{
    (void)state;
    each_text_of_requests(request_refuses_a_nul);
    each_text_of_replies(reply_refuses_a_nul);
}

static void tokens_have_16_bytes_or_none(void **state)
{
    (void)state;
    for (size_t size = 0; size < 40; size++) {
        static const uint8_t bytes[40] = { 1 };
        struct request r;
        buf_clear(&packed);
        wire_add_span(&packed, 1, span_of(bytes, size));
        assert_int_equal(request_unpack(buf_span(&packed), &arena, &r), size == 0 || size == 16);
        assert_int_equal(takes_reply(), size == 0 || size == 16);
        buf_clear(&packed);
        size_t mark = wire_begin(&packed, 2); /* Attach */
        wire_add_span(&packed, 8, span_of(bytes, size));
        wire_end(&packed, mark);
        assert_int_equal(takes_request(), size == 0 || size == 16);
    }
}

static void an_empty_message_is_a_request_for_nothing(void **state)
{
    (void)state;
    struct request r;
    struct reply p;
    assert_true(request_unpack(span_str(""), &arena, &r));
    assert_int_equal(r.call, CALL_NONE);
    assert_string_equal(r.queue, "");
    assert_true(reply_unpack(span_str(""), &arena, &p));
    assert_int_equal(p.result, RESULT_NONE);
    assert_string_equal(p.detail, "");
}

static void unknown_calls_and_results_are_read_as_none(void **state)
{
    (void)state;
    static const uint8_t id[16] = { 9 };
    struct request r;
    struct reply p;
    wire_add_span(&packed, 1, span_of(id, 16));
    wire_end(&packed, wire_begin(&packed, 100));
    assert_true(request_unpack(buf_span(&packed), &arena, &r));
    assert_int_equal(r.call, CALL_NONE);
    assert_int_equal(r.id.high, 9);
    assert_true(reply_unpack(buf_span(&packed), &arena, &p));
    assert_int_equal(p.result, RESULT_NONE);
}

static void settings_of_a_newer_version_are_not_seen_as_given(void **state)
{
    (void)state;
    struct request r = { .call = CALL_DECLARE, .queue = "q" };
    r.u.declare.settings.present = UINT32_MAX;
    request_pack(&r, &packed);
    assert_true(request_unpack(buf_span(&packed), &arena, &r));
    assert_int_equal(r.u.declare.settings.present, (1u << QUEUE_SETTING_COUNT) - 1);
}

static void unknown_states_of_events_are_refused(void **state)
{
    (void)state;
    struct request r = { .call = CALL_PEEK, .queue = "q" };
    r.u.peek.state = (enum event_state)(STATE_DEAD + 1);
    request_pack(&r, &packed);
    assert_false(takes_request());
    const struct peeked event = { .state = (enum event_state)(STATE_DEAD + 1) };
    struct reply p = { .result = RESULT_PEEKED };
    p.u.peeked.events = &event, p.u.peeked.count = 1;
    buf_clear(&packed);
    reply_pack(&p, &packed);
    assert_false(takes_reply());
}

static void truncated_messages_never_read_outside(void **state)
{
    (void)state;
    struct queue_info queues[3] = { { .queue = "orders" }, { .queue = "mail" }, { .queue = "x" } };
    struct reply p = { .result = RESULT_LIST, .detail = "some text" }, back;
    struct request r;
    p.u.list.queues = queues, p.u.list.count = 3, p.u.list.next = "y";
    reply_pack(&p, &packed);
    for (size_t size = 0; size < packed.size; size++) {
        uint8_t *copy = malloc(size + !size);
        memcpy(copy, packed.data, size);
        if (reply_unpack(span_of(copy, size), &arena, &back)) /* cut between two fields */
            assert_int_equal(back.result, RESULT_NONE);
        request_unpack(span_of(copy, size), &arena, &r);
        arena_free(&arena);
        free(copy);
    }
}

static void random_bytes_never_read_outside(void **state)
{
    (void)state;
    uint64_t random = 88172645463325252u;
    for (unsigned round = 0; round < 20000; round++) {
        uint8_t bytes[64];
        size_t size = round % sizeof bytes;
        for (size_t i = 0; i < size; i++) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            bytes[i] = (uint8_t)(random >> 32) & (round % 2 ? 0x1f : 0xff);
        }
        struct request r;
        struct reply p;
        request_unpack(span_of(bytes, size), &arena, &r);
        reply_unpack(span_of(bytes, size), &arena, &p);
        arena_free(&arena);
    }
}

/* Without a cap, a megabyte of empty elements would take some 50 MB. */
static void a_message_that_does_not_fit_the_arena_is_refused(void **state)
{
    (void)state;
    size_t mark = wire_begin(&packed, 7); /* QueueList */
    for (unsigned i = 0; i < 50000; i++)
        wire_add_bytes(&packed, 1, span_str(""));
    wire_end(&packed, mark);
    assert_false(takes_reply());
    assert_true(arena.used <= arena.cap);
    arena_free(&arena);
    buf_clear(&packed);
    mark = wire_begin(&packed, 4); /* Attached, with outcomes */
    for (unsigned i = 0; i < 50000; i++)
        wire_add_bytes(&packed, 9, span_str(""));
    wire_end(&packed, mark);
    assert_false(takes_reply());
}

static void every_cap_either_fits_or_refuses(void **state)
{
    (void)state;
    const struct outcome runs[] = { { .first = 1, .count = 5, .sequence = 100, .flags = 2 },
                                    { .first = 6, .count = 1, .reason = 1 } };
    const struct outcomes outcomes[] = { { "orders", 6, runs, 2 }, { "mail", 0, runs, 1 } };
    struct reply r = { .result = RESULT_ATTACHED }, back;
    r.u.attached.outcomes = outcomes, r.u.attached.outcome_count = 2;
    reply_pack(&r, &packed);
    bool fitted = false;
    for (size_t cap = 0; cap < 4096; cap += 16) {
        struct arena small;
        arena_init(&small, cap);
        bool fits = reply_unpack(buf_span(&packed), &small, &back);
        assert_true(fits || !fitted); /* with a larger cap it still fits */
        if (fits)
            assert_string_equal(back.u.attached.outcomes[1].destination, "mail");
        fitted = fits;
        arena_free(&small);
    }
    assert_true(fitted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_arena(texts_that_are_not_utf8_are_refused),
        with_arena(texts_with_a_nul_inside_are_refused),
        with_arena(tokens_have_16_bytes_or_none),
        with_arena(an_empty_message_is_a_request_for_nothing),
        with_arena(unknown_calls_and_results_are_read_as_none),
        with_arena(settings_of_a_newer_version_are_not_seen_as_given),
        with_arena(unknown_states_of_events_are_refused),
        with_arena(truncated_messages_never_read_outside),
        with_arena(random_bytes_never_read_outside),
        with_arena(a_message_that_does_not_fit_the_arena_is_refused),
        with_arena(every_cap_either_fits_or_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Well-formed bodies about other sessions' events, and requests of a broken or hostile peer: they are answered or
 * counted, and disturb nobody else. */
#include "tests/broker/core/bystander.h"

#include <stdio.h>
#include <string.h>

/* ------------------------------------------------------------------ words about others' things */

static void acks_for_anothers_deliveries_are_expired(void **state)
{
    struct driver *d = *state;
    struct peer *p = bystander(d), *bad = attached(d, "bad");
    known(bad, ORDERS)->consumer_epoch = 1;
    ack(bad, ORDERS, 1, 1);
    assert_string_equal(heard(bad), "settled orders 1 expired");
    consume(bad, ORDERS); /* a standby has no right to them either */
    ack(bad, ORDERS, 1, 1);
    assert_string_equal(heard(bad), "turn orders standby; settled orders 1 expired");
    leave(bad, ORDERS);
    heard(p);
    assert_undisturbed(p);
}

static void credit_of_a_stand_by_delivers_nothing(void **state)
{
    struct driver *d = *state;
    struct peer *p = bystander(d), *bad = attached(d, "bad");
    credit(bad, ORDERS, 100); /* without consuming: it may have crossed the end of a turn */
    consume(bad, ORDERS);
    credit(bad, ORDERS, 100);
    assert_string_equal(heard(bad), "turn orders standby");
    leave(bad, ORDERS);
    heard(p);
    assert_undisturbed(p);
}

static void forged_receipts_are_unknown(void **state)
{
    struct driver *d = *state;
    struct peer *p = bystander(d), *bad = attached(d, "bad");
    char forged[RECEIPT_MAX_SIZE];
    const char *real = receipt_of(p, ORDERS, 1);
    size_t size = strlen(real);
    for (size_t i = 0; i < size; i++) {
        snprintf(forged, sizeof forged, "%s", real);
        forged[i] = forged[i] == 'A' ? 'B' : 'A';
        settle_by(bad, i, SETTLE_ACK, forged, 0);
        char expected[64];
        snprintf(expected, sizeof expected, "receipt %zu unknown", i);
        assert_string_equal(heard(bad), expected);
    }
    static const char *const none[] = { "", ".", "x", "x.0", ".0", "0.0.0.0", "\xff\xff.0" };
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        settle_by(bad, 1, SETTLE_ACK, none[i], 0);
        assert_string_equal(heard(bad), "receipt 1 unknown");
    }
    snprintf(forged, sizeof forged, "%.*s.1", (int)(size - 2), real); /* an event beyond the receipt's */
    settle_by(bad, 2, SETTLE_ACK, forged, 0);
    assert_string_equal(heard(bad), "receipt 2 unknown");
    assert_undisturbed(p);
}

/* ------------------------------------------------------------------ the control socket */

static void assert_answered_invalid(struct driver *d, struct span bytes)
{
    struct route route = { .id = { 255 }, .size = 1 };
    unsigned before = d->replies;
    core_control(d->core, bytes, &route, "ip:10.0.0.66", d->now);
    turn(d);
    assert_int_equal(d->replies, before + 1);
    assert_int_equal(d->reply.reason, REASON_invalid);
}

static void control_garbage_is_answered_and_changes_nothing(void **state)
{
    struct driver *d = *state;
    struct peer *p = bystander(d);
    uint64_t random = 3, before = broker(d).rejected;
    unsigned count = 0;
    assert_answered_invalid(d, span_str(""));
    assert_answered_invalid(d, span_str("GET / HTTP/1.1\r\n\r\n"));
    for (unsigned i = 0; i < 1000; i++) {
        uint8_t bytes[100];
        size_t size = random_from(&random) % sizeof bytes;
        for (size_t k = 0; k < size; k++)
            bytes[k] = (uint8_t)random_from(&random) | 7; /* wire type 7 does not exist */
        assert_answered_invalid(d, span_of(bytes, size));
        count++;
    }
    assert_int_equal(broker(d).rejected, before + 2 + count);
    assert_undisturbed(p);
}

static void requests_cut_anywhere_are_answered_and_delete_nothing(void **state)
{
    struct driver *d = *state;
    struct peer *p = bystander(d);
    struct request r = { .id = { 1, 2 }, .call = CALL_DELETE, .queue = ORDERS, .u.delete_.force = true };
    struct buf packed = { 0 };
    request_pack(&r, &packed);
    for (size_t size = 0; size < packed.size - 1; size++) {
        struct route route = { .id = { 255 }, .size = 1 };
        unsigned before = d->replies;
        core_control(d->core, span_of(packed.data, size), &route, "ip:10.0.0.66", d->now);
        turn(d);
        assert_int_equal(d->replies, before + 1);
        assert_int_not_equal(d->reply.reason, REASON_ok);
    }
    buf_free(&packed);
    assert_undisturbed(p);
}

static void what_would_unpack_to_very_much_is_refused(void **state)
{
    struct driver *d = *state;
    struct peer *p = bystander(d);
    struct buf bytes = { 0 };
    for (unsigned i = 0; i < 100000; i++)
        wire_add_bytes(&bytes, 7, span_str("")); /* a Describe each time: protobuf-c makes a struct of each */
    assert_answered_invalid(d, buf_span(&bytes));
    buf_free(&bytes);
    assert_undisturbed(p);
}

static void inboxes_of_others_are_not_dialled(void **state)
{
    struct driver *d = *state;
    struct peer *p = bystander(d), *bad = peer_new(d, "bad");
    static const char *const inboxes[] = {
        "",         "tcp://10.0.0.1:7001", "tcp://*:0",  "tcp://*:65536",     "tcp://*:7001;x",
        "tcp://*:", "ipc:///tmp/x",        "inproc://x", "file:///etc/passwd"
    };
    for (size_t i = 0; i < sizeof inboxes / sizeof *inboxes; i++) {
        snprintf(bad->inbox, sizeof bad->inbox, "%s", inboxes[i]);
        request_attach(bad);
        assert_string_equal(heard(bad), "attach refused denied");
    }
    assert_int_equal(broker(d).sessions, 1);
    assert_undisturbed(p);
}

static void an_echo_of_another_attach_opens_nothing(void **state)
{
    struct driver *d = *state;
    struct peer *p = bystander(d), *bad = peer_new(d, "bad");
    uint64_t before = broker(d).rejected;
    request_attach(bad);
    bad->hello_id[3] ^= 1;
    echo(bad);
    assert_string_equal(heard(bad), "hello tcp://*:7700");
    assert_false(is_attached(bad));
    assert_int_equal(broker(d).rejected, before + 1);
    pass(d, 2000);
    assert_string_equal(heard(bad), "attach refused inbox_unreachable; lane closed");
    assert_undisturbed(p);
}

/* A peer that attaches and never reads: its unsent output is bounded, and it ends after the session timeout. */
static void a_peer_that_never_reads_is_bounded_and_goes(void **state)
{
    struct driver *d = *state;
    struct peer *p = bystander(d), *deaf = attached(d, "deaf");
    declare(d, "own", "");
    consume(deaf, "own");
    credit(deaf, "own", 1u << 20);
    deaf->deaf = true;
    for (unsigned i = 0; i < 100; i++)
        publish(deaf, "own", 0, "big:100000");
    uint64_t in_flight = describe(d, "own").in_flight;
    assert_true(in_flight > 10 && in_flight < 100); /* its link is full: 8 MiB */
    pass(d, 11000);
    assert_false(is_attached(deaf));
    assert_int_equal(describe(d, "own").ready, 100);
    assert_undisturbed(p);
}

/* The answer to a frame may be larger than a frame can be. */
static void a_frame_whose_answers_fit_into_no_frame_ends_the_session(void **state)
{
    struct driver *d = *state;
    struct peer *p = bystander(d), *hasty = attached(d, "hasty");
    hasty->deaf = true;
    struct open_body open = frame_begin_ack(&hasty->out, span_str("own"), 1);
    while (hasty->out.size < FRAME_MAX_SIZE - 100)
        frame_add_settle(&hasty->out, &(struct settle){ .kind = SETTLE_ACK, .first = 1, .count = 1 });
    frame_end(&hasty->out, open);
    push(hasty);
    assert_false(is_attached(hasty));
    assert_true(logged(d, "it leaves too many answers unread"));
    assert_undisturbed(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        driven(acks_for_anothers_deliveries_are_expired),
        driven(credit_of_a_stand_by_delivers_nothing),
        driven(forged_receipts_are_unknown),
        driven(control_garbage_is_answered_and_changes_nothing),
        driven(requests_cut_anywhere_are_answered_and_delete_nothing),
        driven(what_would_unpack_to_very_much_is_refused),
        driven(inboxes_of_others_are_not_dialled),
        driven(an_echo_of_another_attach_opens_nothing),
        driven(a_peer_that_never_reads_is_bounded_and_goes),
        driven(a_frame_whose_answers_fit_into_no_frame_ends_the_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Control calls on queues: what each does, what it refuses, and that a repeated request is done once. */
#include "tests/broker/core/driver.h"

#include <stdio.h>
#include <string.h>

static const char *detail(struct driver *d)
{
    return d->reply.detail;
}

static void assert_detail_has(struct driver *d, const char *text)
{
    if (!strstr(detail(d), text))
        fail_msg("'%s' is not in \"%s\"", text, detail(d));
}

/* ------------------------------------------------------------------ declare */

static void a_declared_queue_has_what_was_given_and_defaults(void **state)
{
    struct driver *d = *state;
    assert_string_equal(declare(d, "orders", "capacity=3 lease=2s"), "ok");
    assert_true(d->reply.u.queue.created);
    struct queue_info q = describe(d, "orders");
    assert_string_equal(q.queue, "orders");
    assert_int_equal(q.settings.capacity, 3);
    assert_int_equal(q.settings.lease_ms, 2000);
    assert_int_equal(q.settings.capacity_bytes, 64u << 20);
    assert_int_equal(q.settings.present, (1u << QUEUE_SETTING_COUNT) - 1);
    assert_int_equal(q.next_sequence, 1);
    assert_string_equal(q.consumer, "");
    assert_false(q.created || q.managed || q.paused || q.closed);
}

static void declaring_again_changes_what_is_given_only(void **state)
{
    struct driver *d = *state;
    declare(d, "orders", "capacity=3 overflow=reject");
    assert_string_equal(declare(d, "orders", "capacity=5"), "ok");
    assert_false(d->reply.u.queue.created);
    struct queue_info q = describe(d, "orders");
    assert_int_equal(q.settings.capacity, 5);
    assert_int_equal(q.settings.overflow, OVERFLOW_REJECT);
}

static void only_create_refuses_what_exists(void **state)
{
    struct driver *d = *state;
    struct request r = { .call = CALL_DECLARE, .queue = "orders", .u.declare.only_create = true };
    assert_int_equal(ask(d, &r)->reason, REASON_ok);
    r.id = (struct token){ 0 };
    r.u.declare.settings = settings_of("capacity=9");
    assert_int_equal(ask(d, &r)->reason, REASON_exists);
    assert_int_equal(describe(d, "orders").settings.capacity, 10000);
}

static void settings_beyond_their_range_are_refused_with_the_range(void **state)
{
    struct driver *d = *state;
    struct request r = { .call = CALL_DECLARE, .queue = "orders" };
    queue_settings_put(&r.u.declare.settings, QUEUE_SETTING_capacity, 0);
    assert_int_equal(ask(d, &r)->reason, REASON_invalid);
    assert_detail_has(d, "'capacity' must be between 1 and 1000000000");
    assert_string_equal(operate(d, CALL_DESCRIBE, "orders"), "unknown_queue");
}

static void names_that_are_none_are_refused_by_every_call(void **state)
{
    struct driver *d = *state;
    static const enum call calls[] = { CALL_DECLARE, CALL_DESCRIBE, CALL_DELETE, CALL_PEEK, CALL_PURGE,
                                       CALL_PAUSE,   CALL_RESUME,   CALL_CLOSE,  CALL_OPEN };
    char longest[NAME_MAX_SIZE + 2];
    memset(longest, 'n', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        assert_string_equal(operate(d, calls[i], ""), "invalid");
        assert_string_equal(operate(d, calls[i], "a b"), "invalid");
        assert_string_equal(operate(d, calls[i], longest), "invalid");
        assert_detail_has(d, "at most 128");
        if (calls[i] != CALL_DECLARE)
            assert_string_equal(operate(d, calls[i], "nowhere"), "unknown_queue");
    }
    assert_int_equal(broker(d).queues, 0);
}

static void the_brokers_bound_on_queues_is_told_and_room_comes_back(void **state)
{
    struct driver *d = *state;
    d->config.max_queues = 2;
    driver_restart(d);
    assert_string_equal(declare(d, "a", ""), "ok");
    assert_string_equal(declare(d, "b", ""), "ok");
    assert_string_equal(declare(d, "c", ""), "too_many_queues");
    assert_detail_has(d, "max_queues (2)");
    assert_string_equal(declare(d, "a", "capacity=7"), "ok"); /* no new one */
    assert_string_equal(operate(d, CALL_DELETE, "a"), "ok");
    assert_string_equal(declare(d, "c", ""), "ok");
}

static void a_larger_capacity_lets_waiters_in(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=1");
    publish(p, "orders", 60000, "one two three");
    assert_string_equal(heard(p), "confirm orders 1 -> 1");
    declare(d, "orders", "capacity=2");
    assert_string_equal(heard(p), "confirm orders 2 -> 2");
    declare(d, "orders", "capacity=1"); /* a smaller one drops nothing and lets nobody in */
    assert_string_equal(heard(p), "");
    assert_string_equal(ledger(d, "orders"), "accepted 2 acked 0 purged 0 dropped 0 remaining 2");
}

static void configured_queues_change_in_the_configuration_only(void **state)
{
    struct driver *d = *state;
    struct queue_settings settings = settings_of("capacity=4 backoff=0s");
    struct error e = { "" };
    assert_true(core_configure_queue(d->core, "orders", &settings, &e, d->now));
    assert_true(describe(d, "orders").managed);
    assert_string_equal(declare(d, "orders", "capacity=5"), "managed");
    assert_detail_has(d, "managed by the broker's configuration file");
    assert_string_equal(declare(d, "orders", "capacity=4"), "ok"); /* these settings hold already */
    assert_string_equal(operate(d, CALL_DELETE, "orders"), "managed");
    assert_string_equal(operate(d, CALL_PAUSE, "orders"), "ok");
    settings = settings_of("capacity=6");
    assert_true(core_configure_queue(d->core, "orders", &settings, &e, d->now));
    assert_int_equal(describe(d, "orders").settings.capacity, 6);
    assert_true(describe(d, "orders").paused);
    assert_false(core_configure_queue(d->core, "not a name", &settings, &e, d->now));
    assert_non_null(strstr(e.text, "'not a name' is no valid queue name"));
}

static void a_declared_queue_becomes_the_configurations(void **state)
{
    struct driver *d = *state;
    struct queue_settings settings = settings_of("capacity=2");
    struct error e;
    declare(d, "orders", "capacity=1 lease=5s");
    assert_true(core_configure_queue(d->core, "orders", &settings, &e, d->now));
    struct queue_info q = describe(d, "orders");
    assert_true(q.managed);
    assert_int_equal(q.settings.capacity, 2);
    assert_int_equal(q.settings.lease_ms, 5000);
}

/* ------------------------------------------------------------------ list */

static const char *listed(struct driver *d, const char *prefix, const char *after, uint32_t limit)
{
    static char text[2000];
    struct request r = { .call = CALL_LIST };
    r.u.list.prefix = prefix, r.u.list.after = after, r.u.list.limit = limit;
    const struct reply *reply = ask(d, &r);
    assert_int_equal(reply->result, RESULT_LIST);
    text[0] = '\0';
    for (size_t i = 0; i < reply->u.list.count; i++) {
        strcat(text, i ? " " : "");
        strcat(text, reply->u.list.queues[i].queue);
    }
    if (*reply->u.list.next)
        strcat(strcat(text, " next "), reply->u.list.next);
    return text;
}

static void queues_are_listed_in_the_order_of_their_names(void **state)
{
    struct driver *d = *state;
    assert_string_equal(listed(d, "", "", 0), "");
    static const char *const names[] = { "b", "a", "B", "a.b", "aa", "1" };
    for (size_t i = 0; i < 6; i++)
        declare(d, names[i], "");
    assert_string_equal(listed(d, "", "", 0), "1 B a a.b aa b");
    operate(d, CALL_DELETE, "a.b");
    assert_string_equal(listed(d, "", "", 0), "1 B a aa b");
}

static void lists_come_in_pages(void **state)
{
    struct driver *d = *state;
    static const char *const names[] = { "a", "b", "c", "d", "e" };
    for (size_t i = 0; i < 5; i++)
        declare(d, names[i], "");
    assert_string_equal(listed(d, "", "", 2), "a b next b");
    assert_string_equal(listed(d, "", "b", 2), "c d next d");
    assert_string_equal(listed(d, "", "d", 2), "e");
    assert_string_equal(listed(d, "", "e", 2), "");
    assert_string_equal(listed(d, "", "bb", 1), "c next c"); /* `after` need not exist */
    assert_string_equal(listed(d, "", "", 5), "a b c d e");
}

static void a_prefix_selects(void **state)
{
    struct driver *d = *state;
    static const char *const names[] = { "mail", "mail.in", "mail.out", "mailbox", "orders", "m" };
    for (size_t i = 0; i < 6; i++)
        declare(d, names[i], "");
    assert_string_equal(listed(d, "mail.", "", 0), "mail.in mail.out");
    assert_string_equal(listed(d, "mail", "", 2), "mail mail.in next mail.in");
    assert_string_equal(listed(d, "mail", "mail.in", 2), "mail.out mailbox");
    assert_string_equal(listed(d, "mail", "zzz", 2), "");
    assert_string_equal(listed(d, "mail", "a", 1), "mail next mail"); /* `after` before the prefix */
    assert_string_equal(listed(d, "x", "", 0), "");
}

static void pages_are_bounded_whatever_is_asked_for(void **state)
{
    struct driver *d = *state;
    char name[16];
    for (unsigned i = 0; i < 1101; i++) {
        snprintf(name, sizeof name, "q%04u", i);
        assert_string_equal(declare(d, name, ""), "ok");
    }
    struct request r = { .call = CALL_LIST, .u.list = { .prefix = "", .after = "", .limit = UINT32_MAX } };
    const struct reply *reply = ask(d, &r);
    assert_int_equal(reply->u.list.count, 1000);
    assert_string_equal(reply->u.list.next, "q0999");
    r.id = (struct token){ 0 }, r.u.list.limit = 0;
    reply = ask(d, &r);
    assert_int_equal(reply->u.list.count, 100);
    assert_string_equal(reply->u.list.next, "q0099");
}

/* ------------------------------------------------------------------ peek */

/* "3:three/0 5:five/1 next 7": sequence, event, attempt. */
static const char *peeked(struct driver *d, enum event_state which, uint64_t from, uint32_t max, uint32_t max_bytes)
{
    static char text[2000];
    struct request r = { .call = CALL_PEEK, .queue = "orders" };
    r.u.peek.state = which, r.u.peek.from = from, r.u.peek.max = max, r.u.peek.max_bytes = max_bytes;
    const struct reply *reply = ask(d, &r);
    assert_int_equal(reply->result, RESULT_PEEKED);
    size_t size = 0;
    text[0] = '\0';
    for (size_t i = 0; i < reply->u.peeked.count; i++) {
        const struct peeked *e = &reply->u.peeked.events[i];
        assert_int_equal(e->state, which);
        size += (size_t)snprintf(text + size, sizeof text - size, "%s%llu:%.*s/%u", i ? " " : "",
                                 (unsigned long long)e->sequence, (int)e->event.size, (const char *)e->event.data,
                                 e->attempt);
    }
    if (reply->u.peeked.next)
        snprintf(text + size, sizeof text - size, " next %llu", (unsigned long long)reply->u.peeked.next);
    return text;
}

/* Events 1 to 6: 1 and 2 in flight, 3 delayed, 4 was acked, 5 and 6 ready. */
static struct peer *mixed(struct driver *d)
{
    struct peer *p = attached(d, "p");
    declare(d, "orders", "");
    publish(p, "orders", 0, "one two three four five six");
    consume(p, "orders");
    credit(p, "orders", 4);
    ack(p, "orders", 4, 1);
    settle(p, "orders", SETTLE_NACK, 3, 1, 5000);
    heard(p);
    return p;
}

static void peek_shows_each_state_apart_and_takes_nothing(void **state)
{
    struct driver *d = *state;
    struct peer *p = mixed(d);
    for (unsigned twice = 0; twice < 2; twice++) {
        assert_string_equal(peeked(d, STATE_READY, 0, 0, 0), "5:five/0 6:six/0");
        assert_string_equal(peeked(d, STATE_IN_FLIGHT, 0, 0, 0), "1:one/1 2:two/1");
        assert_string_equal(peeked(d, STATE_DELAYED, 0, 0, 0), "3:three/1");
        assert_string_equal(peeked(d, STATE_DEAD, 0, 0, 0), "");
    }
    credit(p, "orders", 6);
    assert_string_equal(heard(p), "deliver orders d5..6 s5..6 a1 five six");
}

static void peeks_come_in_pages_of_events_and_bytes(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "");
    publish(p, "orders", 0, "aaaa bbbb cccc dddd eeee");
    assert_string_equal(peeked(d, STATE_READY, 0, 2, 0), "1:aaaa/0 2:bbbb/0 next 3");
    assert_string_equal(peeked(d, STATE_READY, 3, 2, 0), "3:cccc/0 4:dddd/0 next 5");
    assert_string_equal(peeked(d, STATE_READY, 5, 2, 0), "5:eeee/0");
    assert_string_equal(peeked(d, STATE_READY, 6, 2, 0), "");
    assert_string_equal(peeked(d, STATE_READY, UINT64_MAX, 2, 0), "");
    assert_string_equal(peeked(d, STATE_READY, 0, 9, 8), "1:aaaa/0 2:bbbb/0 next 3");
    assert_string_equal(peeked(d, STATE_READY, 0, 9, 1), "1:aaaa/0 next 2"); /* one always */
}

static void a_page_of_peeked_events_is_bounded_whatever_is_asked_for(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    char words[64];
    declare(d, "orders", "");
    for (unsigned i = 0; i < 5; i++) {
        snprintf(words, sizeof words, "e%u:1000000", i);
        publish(p, "orders", 0, words);
    }
    struct request r = { .call = CALL_PEEK, .queue = "orders" };
    r.u.peek.max = UINT32_MAX, r.u.peek.max_bytes = UINT32_MAX;
    d->arena.cap = 8u << 20;
    struct buf packed = { 0 };
    request_pack(&r, &packed);
    struct route route = { .id = { 255 }, .size = 1 };
    core_control(d->core, buf_span(&packed), &route, "inproc", d->now);
    size_t count;
    const struct effect *effects = core_effects(d->core, &count);
    assert_int_equal(effects[count - 1].kind, EFFECT_REPLY);
    assert_true(effects[count - 1].bytes.size > 4000000 && effects[count - 1].bytes.size < 4u << 20);
    core_effects_clear(d->core);
    buf_free(&packed);
}

/* ------------------------------------------------------------------ durability */

static void without_a_data_directory_there_is_no_disk_to_change_to(void **state)
{
    struct driver *d = *state;
    assert_string_equal(declare(d, "orders", "durability=disk"), "invalid");
    assert_detail_has(d, "--data DIR");
    declare(d, "orders", "durability=memory");
    assert_string_equal(declare(d, "orders", "durability=disk"), "invalid");
    assert_detail_has(d, "--data DIR");
}

/* ------------------------------------------------------------------ purge and delete */

static void purge_takes_ready_and_delayed_but_not_what_is_in_flight(void **state)
{
    struct driver *d = *state;
    struct peer *p = mixed(d);
    const struct reply *reply = ask(d, &(struct request){ .call = CALL_PURGE, .queue = "orders" });
    assert_int_equal(reply->result, RESULT_PURGED);
    assert_int_equal(reply->u.purged.purged, 3);
    assert_string_equal(ledger(d, "orders"), "accepted 6 acked 1 purged 3 dropped 0 remaining 2");
    credit(p, "orders", 9);
    ack(p, "orders", 1, 2);
    pass(d, 6000); /* the delayed one does not come back */
    assert_string_equal(heard(p), "idle orders g2; settled orders 1..2 acked");
    assert_string_equal(ledger(d, "orders"), "accepted 6 acked 3 purged 3 dropped 0 remaining 0");
    assert_int_equal(describe(d, "orders").bytes, 0);
}

static void what_was_in_flight_during_a_purge_can_come_again(void **state)
{
    struct driver *d = *state;
    struct peer *p = mixed(d);
    operate(d, CALL_PURGE, "orders");
    settle(p, "orders", SETTLE_NACK, 1, 1, 0);
    credit(p, "orders", 5);
    assert_string_equal(heard(p), "settled orders 1 nacked; deliver orders d5 s1 a2 one");
}

static void a_purge_lets_waiters_in(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=1");
    publish(p, "orders", 60000, "one two");
    heard(p);
    operate(d, CALL_PURGE, "orders");
    assert_string_equal(heard(p), "confirm orders 2 -> 2");
}

static void a_queue_with_events_is_deleted_by_force_only(void **state)
{
    struct driver *d = *state;
    mixed(d);
    assert_string_equal(operate(d, CALL_DELETE, "orders"), "not_empty");
    struct request r = { .call = CALL_DELETE, .queue = "orders", .u.delete_.force = true };
    assert_int_equal(ask(d, &r)->reason, REASON_ok);
    assert_string_equal(operate(d, CALL_DESCRIBE, "orders"), "unknown_queue");
    assert_string_equal(ledger(d, NULL), "accepted 6 acked 1 purged 5 dropped 0 remaining 0");
}

static void deleting_tells_waiters_consumers_and_stand_bys(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p"), *k = attached(d, "k"), *s = attached(d, "s");
    declare(d, "orders", "capacity=1");
    consume(k, "orders");
    consume(s, "orders");
    credit(k, "orders", 1);
    publish(p, "orders", 60000, "one two +three");
    heard(p), heard(k), heard(s);
    struct request r = { .call = CALL_DELETE, .queue = "orders", .u.delete_.force = true };
    assert_int_equal(ask(d, &r)->reason, REASON_ok);
    assert_string_equal(heard(p), "refuse orders 2..3 deleted 1/1");
    assert_string_equal(heard(k), "turn orders none deleted");
    assert_string_equal(heard(s), "turn orders none deleted");
    ack(k, "orders", 1, 1); /* crossed it */
    assert_string_equal(heard(k), "settled orders 1 expired");
    assert_true(is_attached(k));
}

static void a_queue_declared_anew_begins_anew(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    char old[RECEIPT_MAX_SIZE];
    declare(d, "orders", "");
    publish(p, "orders", 0, "one");
    consume(p, "orders");
    credit(p, "orders", 1);
    snprintf(old, sizeof old, "%s", receipt_of(p, "orders", 1));
    struct request r = { .call = CALL_DELETE, .queue = "orders", .u.delete_.force = true };
    ask(d, &r);
    declare(d, "orders", "");
    publish(p, "orders", 0, "two");
    consume(p, "orders");
    credit(p, "orders", 1);
    heard(p);
    settle_by(p, 7, SETTLE_ACK, old, 0); /* of the deleted one: same sequence, same delivery */
    assert_string_equal(heard(p), "receipt 7 expired");
    assert_string_equal(ledger(d, "orders"), "accepted 1 acked 0 purged 0 dropped 0 remaining 1");
}

/* ------------------------------------------------------------------ pause, resume, close, open */

static void pause_stops_delivery_and_resume_goes_on(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "");
    consume(p, "orders");
    credit(p, "orders", 2);
    heard(p);
    assert_string_equal(operate(d, CALL_PAUSE, "orders"), "ok");
    assert_true(d->reply.u.queue.paused);
    assert_string_equal(operate(d, CALL_PAUSE, "orders"), "ok");
    publish(p, "orders", 0, "one two");
    assert_string_equal(heard(p), "confirm orders 1..2 -> 1");
    assert_string_equal(operate(d, CALL_RESUME, "orders"), "ok");
    assert_false(d->reply.u.queue.paused);
    assert_string_equal(heard(p), "deliver orders d1..2 s1..2 a1 one two");
}

static void acks_are_taken_while_paused(void **state)
{
    struct driver *d = *state;
    struct peer *p = mixed(d);
    operate(d, CALL_PAUSE, "orders");
    ack(p, "orders", 1, 1);
    settle(p, "orders", SETTLE_NACK, 2, 1, 0);
    credit(p, "orders", 9);
    const char *words = heard(p);
    assert_non_null(strstr(words, "settled orders 1 acked; settled orders 2 nacked"));
    assert_null(strstr(words, "deliver"));
}

static void close_refuses_publishers_while_the_receiver_drains(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p"), *k = attached(d, "k");
    declare(d, "orders", "capacity=2");
    publish(p, "orders", 60000, "one two three");
    heard(p);
    assert_string_equal(operate(d, CALL_CLOSE, "orders"), "ok");
    assert_true(d->reply.u.queue.closed);
    assert_string_equal(heard(p), "refuse orders 3 closed 2/2"); /* who waited, too */
    publish(p, "orders", 60000, "four");
    assert_string_equal(heard(p), "refuse orders 4 closed 2/2");
    consume(k, "orders");
    credit(k, "orders", 2);
    ack(k, "orders", 1, 2);
    assert_string_equal(heard(k), "turn orders active e1; deliver orders d1..2 s1..2 a1 one two; "
                                  "settled orders 1..2 acked");
    assert_string_equal(operate(d, CALL_OPEN, "orders"), "ok");
    assert_false(d->reply.u.queue.closed);
    publish(p, "orders", 0, "five");
    assert_string_equal(heard(p), "confirm orders 5 -> 3");
}

/* ------------------------------------------------------------------ requests repeated */

static void a_repeated_request_is_answered_alike_and_done_once(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "");
    publish(p, "orders", 0, "one two");
    struct request purge = { .call = CALL_PURGE, .queue = "orders", .id = { 5, 5 } };
    assert_int_equal(ask(d, &purge)->u.purged.purged, 2);
    publish(p, "orders", 0, "three");
    assert_int_equal(ask(d, &purge)->u.purged.purged, 2); /* the lost reply, not another purge */
    assert_string_equal(ledger(d, "orders"), "accepted 3 acked 0 purged 2 dropped 0 remaining 1");
    purge.id.low = 6;
    assert_int_equal(ask(d, &purge)->u.purged.purged, 1);
}

static void refusals_of_mutations_are_repeated_too(void **state)
{
    struct driver *d = *state;
    struct request r = { .call = CALL_DELETE, .queue = "orders", .id = { 5, 5 } };
    assert_int_equal(ask(d, &r)->reason, REASON_unknown_queue);
    declare(d, "orders", "");
    assert_int_equal(ask(d, &r)->reason, REASON_unknown_queue);
    assert_int_equal(describe(d, "orders").next_sequence, 1);
}

static void another_call_under_the_same_id_is_refused(void **state)
{
    struct driver *d = *state;
    declare(d, "orders", "");
    declare(d, "other", "");
    struct request pause = { .call = CALL_PAUSE, .queue = "orders", .id = { 5, 5 } };
    assert_int_equal(ask(d, &pause)->reason, REASON_ok);
    struct request purge = { .call = CALL_PURGE, .queue = "orders", .id = { 5, 5 } };
    assert_int_equal(ask(d, &purge)->reason, REASON_invalid);
    assert_non_null(strstr(d->reply.detail, "request id"));
    struct request elsewhere = { .call = CALL_PAUSE, .queue = "other", .id = { 5, 5 } };
    assert_int_equal(ask(d, &elsewhere)->reason, REASON_invalid);
    assert_false(describe(d, "other").paused);
    assert_int_equal(ask(d, &pause)->reason, REASON_ok); /* the first one's answer stays */
}

static void looking_is_never_answered_from_memory(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "");
    struct request r = { .call = CALL_DESCRIBE, .queue = "orders", .id = { 5, 5 } };
    assert_int_equal(ask(d, &r)->u.queue.ready, 0);
    publish(p, "orders", 0, "one");
    assert_int_equal(ask(d, &r)->u.queue.ready, 1);
}

static void the_oldest_of_thousands_of_answers_are_forgotten(void **state)
{
    struct driver *d = *state;
    struct request first = { .call = CALL_DELETE, .queue = "orders", .id = { 5, 5 } };
    assert_int_equal(ask(d, &first)->reason, REASON_unknown_queue);
    for (unsigned i = 0; i < ANSWERS_REMEMBERED; i++)
        operate(d, CALL_PAUSE, "nowhere");
    assert_int_equal(d->core->answer_count, ANSWERS_REMEMBERED);
    declare(d, "orders", "");
    assert_int_equal(ask(d, &first)->reason, REASON_ok);
}

/* ------------------------------------------------------------------ the broker */

static void ping_and_broker_tell_version_and_figures(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "");
    publish(p, "orders", 0, "one two");
    pass(d, 1500);
    const struct reply *reply = ask(d, &(struct request){ .call = CALL_PING });
    assert_int_equal(reply->result, RESULT_PONG);
    assert_string_equal(reply->u.pong.version, d->config.version);
    assert_int_equal(reply->u.pong.uptime_ms, 1500);
    struct broker_info info = broker(d);
    assert_int_equal(info.incarnation, 5);
    assert_int_equal(info.sessions, 1);
    assert_int_equal(info.queues, 1);
    assert_int_equal(info.memory_budget, d->config.memory_budget);
    assert_true(info.memory_used > 0 && info.memory_used < 4096);
    assert_true(info.frames_in > 0 && info.frames_out > 0);
    assert_string_equal(ledger(d, NULL), "accepted 2 acked 0 purged 0 dropped 0 remaining 2");
}

static void describe_tells_ages_rates_and_who_is_there(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p"), *k = attached(d, "first"), *s = attached(d, "second");
    declare(d, "orders", "capacity=2");
    publish(p, "orders", 60000, "one two three");
    consume(k, "orders");
    consume(s, "orders");
    pass(d, 3000);
    struct queue_info q = describe(d, "orders");
    assert_int_equal(q.oldest_age_ms, 3000);
    assert_int_equal(q.waiting_publishers, 1);
    assert_string_equal(q.consumer, "first");
    assert_int_equal(q.standbys, 1);
    assert_int_equal(q.bytes, 6);
    assert_true(q.in_rate_milli > 0 && q.in_rate_milli < 1000);
    assert_int_equal(q.out_rate_milli, 0);
    assert_int_equal(q.next_sequence, 3);
    publish(p, "orders", 0, "four");
    assert_int_equal(describe(d, "orders").refused, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        driven(a_declared_queue_has_what_was_given_and_defaults),
        driven(declaring_again_changes_what_is_given_only),
        driven(only_create_refuses_what_exists),
        driven(settings_beyond_their_range_are_refused_with_the_range),
        driven(names_that_are_none_are_refused_by_every_call),
        driven(the_brokers_bound_on_queues_is_told_and_room_comes_back),
        driven(a_larger_capacity_lets_waiters_in),
        driven(configured_queues_change_in_the_configuration_only),
        driven(a_declared_queue_becomes_the_configurations),
        driven(queues_are_listed_in_the_order_of_their_names),
        driven(lists_come_in_pages),
        driven(a_prefix_selects),
        driven(pages_are_bounded_whatever_is_asked_for),
        driven(peek_shows_each_state_apart_and_takes_nothing),
        driven(peeks_come_in_pages_of_events_and_bytes),
        driven(a_page_of_peeked_events_is_bounded_whatever_is_asked_for),
        driven(without_a_data_directory_there_is_no_disk_to_change_to),
        driven(purge_takes_ready_and_delayed_but_not_what_is_in_flight),
        driven(what_was_in_flight_during_a_purge_can_come_again),
        driven(a_purge_lets_waiters_in),
        driven(a_queue_with_events_is_deleted_by_force_only),
        driven(deleting_tells_waiters_consumers_and_stand_bys),
        driven(a_queue_declared_anew_begins_anew),
        driven(pause_stops_delivery_and_resume_goes_on),
        driven(acks_are_taken_while_paused),
        driven(close_refuses_publishers_while_the_receiver_drains),
        driven(a_repeated_request_is_answered_alike_and_done_once),
        driven(refusals_of_mutations_are_repeated_too),
        driven(another_call_under_the_same_id_is_refused),
        driven(looking_is_never_answered_from_memory),
        driven(the_oldest_of_thousands_of_answers_are_forgotten),
        driven(ping_and_broker_tell_version_and_figures),
        driven(describe_tells_ages_rates_and_who_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Inspecting the broker and its queues: list, peek, describe, ping. */
#include "tests/broker/core/driver.h"

#include <stdio.h>
#include <string.h>

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

/* Queues of these names, with a space between. */
static void declare_all(struct driver *d, const char *names)
{
    char copy[200], *rest = copy, *name;
    snprintf(copy, sizeof copy, "%s", names);
    while ((name = strsep(&rest, " ")) != NULL)
        assert_string_equal(declare(d, name, ""), "ok");
}

static void an_age_of_months_does_not_wrap_around(void **state)
{
    struct driver *d = *state;
    declare(d, "orders", "");
    publish(attached(d, "p"), "orders", 0, "one");
    d->now.mono = mono_add_ms(d->now.mono, INT64_C(50) * 24 * 3600 * 1000);
    assert_true(describe(d, "orders").oldest_age_ms == UINT64_C(50) * 24 * 3600 * 1000);
}

static void queues_are_listed_in_the_order_of_their_names(void **state)
{
    struct driver *d = *state;
    assert_string_equal(listed(d, "", "", 0), "");
    declare_all(d, "b a B a.b aa 1");
    assert_string_equal(listed(d, "", "", 0), "1 B a a.b aa b");
    operate(d, CALL_DELETE, "a.b");
    assert_string_equal(listed(d, "", "", 0), "1 B a aa b");
}

static void lists_come_in_pages(void **state)
{
    struct driver *d = *state;
    declare_all(d, "a b c d e");
    assert_string_equal(listed(d, "", "", 2), "a b next b");
    assert_string_equal(listed(d, "", "b", 2), "c d next d");
    assert_string_equal(listed(d, "", "d", 2), "e");
    assert_string_equal(listed(d, "", "e", 2), "");
    assert_string_equal(listed(d, "", "bb", 1), "c next c"); /* `after` need not exist */
    assert_string_equal(listed(d, "", "", 5), "a b c d e");
}

static void a_prefix_selects_queues(void **state)
{
    struct driver *d = *state;
    declare_all(d, "mail mail.in mail.out mailbox orders m");
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
    assert_string_equal(peeked(d, STATE_READY, 0, 9, 1), "1:aaaa/0 next 2"); /* always at least one */
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
        driven(an_age_of_months_does_not_wrap_around),
        driven(queues_are_listed_in_the_order_of_their_names),
        driven(lists_come_in_pages),
        driven(a_prefix_selects_queues),
        driven(pages_are_bounded_whatever_is_asked_for),
        driven(peek_shows_each_state_apart_and_takes_nothing),
        driven(peeks_come_in_pages_of_events_and_bytes),
        driven(a_page_of_peeked_events_is_bounded_whatever_is_asked_for),
        driven(ping_and_broker_tell_version_and_figures),
        driven(describe_tells_ages_rates_and_who_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Spilled events expire, are purged, deleted, explained and listed, and survive a crash, like all others. */
#include "broker/core/partition/partition.h"
#include "broker/core/queue/schedule.h"
#include "tests/broker/core/spill_driver.h"

static void what_is_spilled_expires_and_its_key_goes_on(void **state)
{
    (void)state;
    struct taken t = { 0 };
    struct peer *k = parked(&t, "ordered=key", "!900000");
    drain(k, &t);
    assert_int_equal(mail()->in_flight, 0);
    wait_ms(900000);
    assert_int_equal(mail()->ledger.expired, MANY);
    assert_true(queue_remaining(mail()) == 0 && spilled() == 0 && !mail()->partitions->keys);
    published(2, "a", "");
    drain(k, &t);
    assert_int_equal(queue_remaining(mail()), 0);
}

static void what_expires_goes_where_the_dead_go(void **state)
{
    (void)state;
    struct taken t = { 0 };
    struct peer *k = parked(&t, "ordered=key dead_letter_expired=true", "!900000");
    drain(k, &t);
    wait_ms(900000);
    for (unsigned i = 0; i < 100 && queue_remaining(mail()); i++)
        wait_ms(1);
    assert_int_equal(mail()->dead, MANY);
    assert_true(spilled() == 0 && !mail()->partitions->keys);
}

static void what_expired_is_not_counted_as_parked(void **state)
{
    (void)state;
    struct taken t = { 0 };
    declared("ordered=key");
    struct peer *k = mail_consumer("k", 1), *p = joined("late");
    publish(p, "mail", 0, "a0#a");
    published(MANY, "ab", "!900000");
    hear(k, &t);
    fail_for(k, 1, LONG);
    credit(k, "mail", 8);
    settle_disk();
    drain(k, &t);
    assert_int_equal(keys_parked(mail()).events, MANY);
    wait_ms(900000);
    assert_int_equal(mail()->ledger.expired, MANY);
    assert_int_equal(mail()->ready, 0);
    assert_int_equal(keys_parked(mail()).events, 0);
}

static void what_expired_is_not_counted_as_ready(void **state)
{
    (void)state;
    struct taken t = { 0 };
    half_drained(&t, "partitions=2", MANY, "!900000");
    wait_ms(900000);
    assert_int_equal(mail()->ready, 0);
    size_t count;
    struct arena arena;
    arena_init(&arena, 1 << 16);
    const struct partition_info *shares = partitions_list(mail(), &arena, &count);
    assert_int_equal(shares[0].ready + shares[1].ready, 0);
    arena_free(&arena);
}

static void a_purge_takes_what_is_spilled(void **state)
{
    (void)state;
    struct taken t = { 0 };
    struct peer *k = parked(&t, "ordered=key", "");
    drain(k, &t);
    assert_string_equal(ask_durably(&(struct request){ .call = CALL_PURGE, .queue = "mail" }), "ok");
    assert_true(queue_remaining(mail()) == 0 && spilled() == 0 && bench.d->core->spill_bytes == 0);
    assert_int_equal(mail()->ledger.purged, MANY);
    published(3, "a", "");
    size_t before = t.count;
    drain(k, &t);
    assert_int_equal(t.count - before, 3);
}

/* Purges while one event is in flight, before the spilled ones or behind them. Returns how many events were settled
 * one by one. */
static unsigned purged_beside(bool behind)
{
    struct taken t = { 0 };
    struct peer *k = parked(&t, "ordered=key lease=1h", "");
    drain(k, &t);
    if (behind)
        published(1, "b", "");
    else
        wait_ms(LONG); /* a1 comes again */
    assert_int_equal(mail()->in_flight, 1);
    uint64_t before = queue_remaining(mail()) - 1;
    assert_true(spilled() > AHEAD);
    count_settles();
    assert_string_equal(ask_durably(&(struct request){ .call = CALL_PURGE, .queue = "mail" }), "ok");
    unsigned count = counted();
    assert_true(spilled() == 0 && bench.d->core->spill_bytes == 0 && queue_remaining(mail()) == 1);
    assert_int_equal(mail()->ledger.purged, before);
    crash(0);
    assert_int_equal(queue_remaining(mail()), 1);
    return count;
}

static void what_is_spilled_is_purged_at_once(void **state)
{
    (void)state;
    assert_true(purged_beside(false) <= AHEAD);
}

static void but_one_by_one_where_others_behind_it_stay(void **state)
{
    (void)state;
    assert_true(purged_beside(true) > AHEAD);
}

/* The current event of a key is spilled with its partition while that cannot be delivered. */
static void a_purge_frees_the_keys_of_what_is_spilled(void **state)
{
    (void)state;
    struct taken t = { 0 };
    declared("ordered=key partitions=2");
    bench.d->core->config.look_ahead = 1;
    struct peer *both[2] = { mail_consumer("k", 8), mail_consumer("l", 8) };
    published(3, "a", "");
    struct peer *of_a = hear(both[0], &t) ? both[0] : both[1], *of_d = of_a == both[0] ? both[1] : both[0];
    hear(of_a, &t);
    assert_int_equal(t.count, 1);
    struct link *link = &session_find(bench.d->core, of_a->token)->link;
    uint32_t frames = link->limits.frames;
    link->limits.frames = 0; /* it is not reached */
    ack(of_a, "mail", t.events[0].delivery, 1);
    published(3, "d", "");
    wait_ms(SPILL_STALLED_MS);
    drain(of_d, &t);
    assert_int_equal(t.count, 4);
    assert_true(spill_set_has(&mail()->partitions->spill.all, 2) && mail()->partitions->keys->current == 2);
    assert_string_equal(ask_durably(&(struct request){ .call = CALL_PURGE, .queue = "mail" }), "ok");
    link->limits.frames = frames;
    published(2, "a", "");
    heartbeat(of_a);
    drain(of_a, &t);
    assert_int_equal(t.count, 6);
}

static void a_queue_is_deleted_with_what_is_spilled(void **state)
{
    (void)state;
    struct taken t = { 0 };
    struct peer *k = parked(&t, "ordered=key", "");
    drain(k, &t);
    wait_ms(LONG); /* some are being read */
    struct request r = { .call = CALL_DELETE, .queue = "mail", .u.delete_.force = true };
    assert_string_equal(ask_durably(&r), "ok");
    settle_disk();
    assert_true(!mail() && bench.d->core->spill_bytes == 0);
}

static void it_is_explained_and_shown(void **state)
{
    (void)state;
    struct taken t = { 0 };
    struct peer *k = parked(&t, "ordered=key", "");
    drain(k, &t);
    struct request r = { .call = CALL_EXPLAIN, .queue = "mail", .u.explain.sequence = 2 * MANY - 1 };
    assert_null(queue_item(mail(), r.u.explain.sequence));
    assert_string_equal(ask_durably(&r), "ok");
    const struct explained *e = &bench.d->reply.u.explained;
    assert_int_equal(e->event.state, STATE_READY);
    assert_int_equal(e->blocked, BLOCKED_KEY);
    assert_int_equal(e->blocker, 1);
    assert_int_equal(e->behind, MANY - 2);
    assert_int_equal(e->event.attempt, 0);
    struct request cancel = { .call = CALL_CANCEL, .queue = "mail", .u.cancel.sequence = 2 * MANY - 1 };
    assert_string_equal(ask_durably(&cancel), "not_delayed");
    uint64_t next = 3;
    struct request peek = { .call = CALL_PEEK, .queue = "mail", .u.peek.state = STATE_READY, .u.peek.max = 50 };
    do {
        assert_string_equal(ask_durably(&peek), "ok");
        const struct reply *reply = &bench.d->reply;
        for (size_t i = 0; i < reply->u.peeked.count; i++, next += 2) {
            assert_int_equal(reply->u.peeked.events[i].sequence, next);
            assert_int_equal(reply->u.peeked.events[i].parked_behind, 1);
        }
        peek.u.peek.from = reply->u.peeked.next;
    } while (peek.u.peek.from);
    assert_int_equal(next, 2 * MANY + 1);
}

/* An event without a key has the partition in whose line it is spilled; the event itself does not say which. */
static void it_is_explained_by_whose_partition_it_is_in(void **state)
{
    (void)state;
    declared("partitions=2");
    struct peer *k = mail_consumer("k", 1000), *other = mail_consumer("other", 1000);
    session_find(bench.d->core, other->token)->link.limits.frames = 0; /* it wants some, and is not reached */
    published(MANY, "-", "");
    (void)k; /* acks nothing: both have the same load */
    uint64_t sequence;
    assert_true(spill_set_next(&mail()->partitions->spill.all, 0, &sequence));
    const struct partition *at = mail()->partitions->at;
    while (!ranges_has(&at->spill.ranges, sequence))
        at++;
    assert_true(at->owner && at->owner != mail()->active);
    struct request r = { .call = CALL_EXPLAIN, .queue = "mail", .u.explain.sequence = sequence };
    assert_string_equal(ask_durably(&r), "ok");
    assert_string_equal(bench.d->reply.u.explained.consumer, at->owner->session->name);
}

static void its_partition_is_described_with_it(void **state)
{
    (void)state;
    struct taken t = { 0 };
    half_drained(&t, "partitions=2", MANY, "");
    size_t count;
    struct arena arena;
    arena_init(&arena, 1 << 16);
    const struct partition_info *shares = partitions_list(mail(), &arena, &count);
    assert_int_equal(count, 2);
    assert_int_equal(shares[0].ready + shares[1].ready, MANY);
    arena_free(&arena);
}

static void a_crash_in_the_midst_loses_nothing(void **state)
{
    (void)state;
    struct taken t = { 0 };
    struct peer *k = parked(&t, "ordered=key", "");
    for (unsigned i = 0; i < 5; i++)
        wait_ms(1);
    assert_true(hear(k, &t) > 0);
    crash(0);
    k = mail_consumer("k2", 8);
    memset(&t, 0, sizeof t);
    drain(k, &t);
    assert_int_equal(mail()->ready + mail()->delayed, MANY); /* a1 is still backing off */
    crash(LONG);
    k = mail_consumer("k3", 8);
    drain(k, &t);
    uint64_t next = 1;
    for (size_t i = 0; i < t.count; i++) {
        if (t.events[i].sequence % 2 == 0)
            continue;
        assert_int_equal(t.events[i].sequence, next);
        next += 2;
    }
    assert_int_equal(next, 2 * MANY + 1);
    assert_int_equal(queue_remaining(mail()), 0);
}

/* Otherwise the broker's memory budget would shrink for good. */
static void a_deleted_queue_gives_back_what_was_known_of_its_events(void **state)
{
    (void)state;
    struct taken t = { 0 };
    struct pair of = half_drained(&t, "partitions=2 ttl=1h", MANY, "");
    const struct core *c = bench.d->core;
    publish(joined("p"), "mail", 0, "d#d@1 d#d~500");
    settle_disk();
    credit(of.stalled, "mail", 1);
    settle_disk();
    settle(of.stalled, "mail", SETTLE_NACK, 1, 1, LONG);
    assert_true(c->spill_bytes > 0 && c->schedule_bytes > 0 && c->history_bytes > 0);
    struct request r = { .call = CALL_DELETE, .queue = "mail", .u.delete_.force = true };
    assert_string_equal(ask_durably(&r), "ok");
    assert_int_equal(c->spill_bytes + c->schedule_bytes + c->history_bytes + c->dedup_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_disk(what_is_spilled_expires_and_its_key_goes_on),
        on_disk(what_expires_goes_where_the_dead_go),
        on_disk(what_expired_is_not_counted_as_parked),
        on_disk(what_expired_is_not_counted_as_ready),
        on_disk(a_purge_takes_what_is_spilled),
        on_disk(what_is_spilled_is_purged_at_once),
        on_disk(but_one_by_one_where_others_behind_it_stay),
        on_disk(a_purge_frees_the_keys_of_what_is_spilled),
        on_disk(a_queue_is_deleted_with_what_is_spilled),
        on_disk(it_is_explained_and_shown),
        on_disk(it_is_explained_by_whose_partition_it_is_in),
        on_disk(its_partition_is_described_with_it),
        on_disk(a_crash_in_the_midst_loses_nothing),
        on_disk(a_deleted_queue_gives_back_what_was_known_of_its_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

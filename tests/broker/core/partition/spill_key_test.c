/* Stalled keys of a queue on disk with an order by key do not hold up others, however many events wait behind them:
 * those are spilled, and come back in order. */
#include "broker/core/deliver/trouble.h"
#include "broker/core/partition/partition.h"
#include "broker/core/queue/schedule.h"
#include "tests/broker/core/spill_driver.h"

static void a_parked_key_holds_up_no_other_and_comes_in_order_when_it_is_free(void **state)
{
    (void)state;
    struct taken t = { 0 };
    struct peer *k = parked(&t, "ordered=key", "");
    drain(k, &t);
    in_order(&t, 0, 2, 2, MANY);
    assert_int_equal(t.count, MANY);
    assert_int_equal(mail()->ready, MANY - 1);
    assert_true(spilled() >= MANY - 1 - AHEAD);
    assert_int_equal(keys_parked(mail()).events, MANY - 1);
    size_t before = t.count;
    wait_ms(LONG);
    drain(k, &t);
    assert_int_equal(t.events[before].sequence, 1);
    assert_int_equal(t.events[before].attempt, 2);
    in_order(&t, before + 1, 3, 2, MANY - 1);
    assert_int_equal(queue_remaining(mail()), 0);
    assert_true(spilled() == 0 && bench.d->core->spill_bytes == 0);
}

/* Its consumer does not answer: for a second that does not matter, then the key is stalled. */
static void a_key_in_hand_for_long_holds_up_no_other(void **state)
{
    (void)state;
    struct taken t = { 0 };
    declared("ordered=key lease=1h");
    struct peer *k = mail_consumer("k", 2);
    published(MANY, "ab", "");
    hear(k, &t);
    assert_int_equal(t.events[0].sequence, 1);
    uint64_t first = t.events[0].delivery;
    t.events[0] = t.events[--t.count];
    ack(k, "mail", t.events[0].delivery, 1);
    credit(k, "mail", 8);
    settle_disk();
    drain(k, &t);
    assert_true(t.count < MANY && spilled() == 0);
    wait_ms(SPILL_STALLED_MS);
    drain(k, &t);
    in_order(&t, 0, 2, 2, MANY);
    ack(k, "mail", first, 1);
    settle_disk();
    drain(k, &t);
    in_order(&t, 0, 3, 2, MANY - 1);
    assert_int_equal(queue_remaining(mail()), 0);
}

static void two_stalled_keys_hold_up_no_third(void **state)
{
    (void)state;
    struct taken t = { 0 };
    declared("ordered=key partitions=2");
    struct peer *k = mail_consumer("k", 3);
    published(MANY, "adb", "");
    hear(k, &t);
    for (size_t i = 0; i < 3; i++) {
        if (t.events[i].sequence != 3)
            fail_for(k, t.events[i].delivery, t.events[i].sequence == 1 ? LONG : 2 * LONG);
        else
            ack(k, "mail", t.events[i].delivery, 1);
    }
    credit(k, "mail", 9);
    settle_disk();
    drain(k, &t);
    in_order(&t, 0, 3, 3, MANY);
    wait_ms(LONG);
    drain(k, &t);
    in_order(&t, 3, 4, 3, MANY - 1);
    assert_int_equal(mail()->ready, MANY - 1);
    wait_ms(LONG);
    drain(k, &t);
    in_order(&t, 3, 5, 3, MANY - 1);
    assert_int_equal(queue_remaining(mail()), 0);
}

static void what_is_published_later_stays_behind_what_is_spilled(void **state)
{
    (void)state;
    struct taken t = { 0 };
    struct peer *k = parked(&t, "ordered=key", "");
    drain(k, &t);
    wait_ms(LONG);
    assert_int_equal(hear(k, &t), 1); /* a1 */
    published(1, "ab", "");           /* beside it: what is spilled is not read yet */
    ack(k, "mail", t.events[t.count - 1].delivery, 1);
    settle_disk();
    drain(k, &t);
    in_order(&t, MANY + 1, 3, 2, MANY);
    assert_int_equal(queue_remaining(mail()), 0);
}

static void a_delayed_event_comes_before_what_is_spilled(void **state)
{
    (void)state;
    struct taken t = { 0 };
    declared("ordered=key");
    struct peer *k = mail_consumer("k", 1), *p = joined("late");
    publish(p, "mail", 0, "a0#a late#a~1000");
    published(MANY, "ab", "");
    hear(k, &t);
    fail_for(k, 1, 2000);
    credit(k, "mail", 8);
    settle_disk();
    drain(k, &t);
    assert_true(spilled() > AHEAD);
    wait_ms(1000); /* due, and behind a0 */
    wait_ms(1000);
    size_t before = t.count;
    drain(k, &t);
    assert_int_equal(t.events[before].sequence, 1);
    assert_int_equal(t.events[before + 1].sequence, 2);
    in_order(&t, before + 2, 3, 2, MANY);
}

/* `count` events of key a, the first of them delivered, and one of key b behind them. */
static struct peer *one_behind(struct taken *t, const char *settings, unsigned count)
{
    declared(settings);
    struct peer *k = mail_consumer("k", 8), *p = joined("late");
    published(count, "a", "");
    publish(p, "mail", 0, "b1#b");
    settle_disk();
    hear(k, t);
    return k;
}

/* While its delivery was young nothing of it was spilled. */
static void a_key_that_fails_makes_room_at_once(void **state)
{
    (void)state;
    struct taken t = { 0 };
    struct peer *k = one_behind(&t, "ordered=key", 2 * AHEAD);
    assert_int_equal(t.count, 1);
    fail_for(k, t.events[0].delivery, LONG);
    settle_disk();
    assert_int_equal(hear(k, &t), 1);
    assert_int_equal(t.events[1].sequence, 2 * AHEAD + 1);
}

static unsigned times_came(const struct taken *t, uint64_t sequence)
{
    unsigned times = 0;
    for (size_t i = 0; i < t->count; i++)
        times += t->events[i].sequence == sequence;
    return times;
}

static void a_key_that_fails_again_and_again_holds_up_no_other(void **state)
{
    (void)state;
    struct taken t = { 0 };
    struct peer *k = one_behind(&t, "ordered=key max_deliveries=10", 2 * AHEAD);
    for (size_t i = 0; times_came(&t, 1) < 4; i++) {
        assert_true(i < t.count);
        if (t.events[i].sequence == 1)
            settle(k, "mail", SETTLE_NACK, t.events[i].delivery, 1, 0);
        settle_disk();
        hear(k, &t);
    }
    assert_int_equal(times_came(&t, 2 * AHEAD + 1), 1);
}

/* More events than the mark is moved ahead at a time: the event behind them is delivered without any other input. */
static void the_mark_follows_what_is_looked_at(void **state)
{
    (void)state;
    struct taken t = { 0 };
    struct peer *k = one_behind(&t, "ordered=key", 3000);
    assert_int_equal(t.count, 1);
    fail_for(k, t.events[0].delivery, LONG);
    wait_ms(SPILL_STALLED_MS);
    for (unsigned i = 0; i < 40; i++)
        settle_disk();
    assert_int_equal(hear(k, &t), 1);
    assert_int_equal(t.events[1].sequence, 3001);
}

/* The look-ahead is full of events behind a young delivery, while a spilled event of another key is about to be
 * read. */
static void no_idle_is_sent_while_a_key_is_read(void **state)
{
    (void)state;
    struct taken t = { 0 };
    declared("ordered=key lease=1h");
    struct peer *k = mail_consumer("k", 2);
    published(MANY, "ab", "");
    hear(k, &t);
    assert_int_equal(t.events[0].sequence, 1);
    wait_ms(SPILL_STALLED_MS);
    for (unsigned i = 1; i < t.count; i++) /* the key a is stalled */
        ack(k, "mail", t.events[i].delivery, 1);
    for (unsigned n = 3; spilled() < AHEAD; n++) {
        credit(k, "mail", n);
        settle_disk();
        size_t before = t.count;
        hear(k, &t);
        if (spilled() < AHEAD && t.count > before)
            ack(k, "mail", t.events[t.count - 1].delivery, 1);
    }
    credit(k, "mail", 1000);
    settle_disk();
    assert_true(partition_is_full(bench.d->core, mail()) && timer_is_set(&mail()->partitions->spill.stalled));
    heard(k);
    frame_add_credit(&k->out, span_str("mail"), ++known(k, "mail")->generation, 1001);
    ack(k, "mail", t.events[0].delivery, 1);
    assert_true(mail()->partitions->spill.reading);
    assert_null(strstr(heard(k), "idle"));
    settle_disk();
    assert_int_equal(hear(k, &t), 1);
}

/* Its consumer acks; in the same turn more events of it become durable than the look-ahead allows, and the other
 * partition's consumer wants some. */
static void a_key_whose_next_event_is_delivered_in_this_turn_flows(void **state)
{
    (void)state;
    struct taken t = { 0 };
    declared("ordered=key partitions=2 lease=1h");
    struct peer *k = mail_consumer("k", 8), *other = mail_consumer("other", 8);
    published(AHEAD - 5, "d", "");
    hear(other, &t); /* its turn comes second */
    assert_true(t.count == 1 && !hear(k, &t) && spilled() == 0 && !partition_is_full(bench.d->core, mail()));
    struct peer *p = joined("p9");
    publish(p, "mail", 0, "x#d x#d x#d x#d x#d x#d x#d x#d x#d x#d x#d");
    struct open_body open = frame_begin_ack(&other->out, span_str("mail"), known(other, "mail")->consumer_epoch);
    frame_add_settle(&other->out, &(struct settle){ .kind = SETTLE_ACK, .first = t.events[0].delivery, .count = 1 });
    frame_end(&other->out, open);
    push_only(other); /* the turn in which the disk has the others is its own, too */
    settle_disk();
    assert_true(partition_is_full(bench.d->core, mail()));
    assert_int_equal(spilled(), 0);
}

static void where_no_more_may_be_spilled_it_waits_for_what_is_stalled(void **state)
{
    (void)state;
    struct taken t = { 0 };
    struct peer *k = parked(&t, "ordered=key", "");
    bench.d->core->config.memory_budget = bench.d->core->spill_bytes * SPILL_SHARE;
    assert_true(spilled() > 0 && mail()->next_ready < 2 * MANY);
    drain(k, &t);
    assert_true(t.count < MANY);
    size_t before = t.count;
    wait_ms(LONG);
    drain(k, &t);
    assert_int_equal(queue_remaining(mail()), 0);
    assert_int_equal(t.count - before, 2 * MANY - before);
    bench.d->core->config.memory_budget = 1u << 30;
}

/* Each key was the only stalled one for a while, and filled the whole look-ahead. */
static void what_was_spilled_leaves_no_memory_behind(void **state)
{
    (void)state;
    struct taken t = { 0 };
    declared("ordered=key");
    bench.d->core->config.look_ahead = 2000;
    struct peer *k = mail_consumer("k", 1);
    published(2100, "a", "");
    hear(k, &t);
    fail_for(k, t.events[0].delivery, LONG);
    credit(k, "mail", 2);
    for (unsigned i = 0; i < 10; i++)
        settle_disk();
    assert_true(spilled() > 0 && mail()->partitions->keys->waiting.capacity >= 1000);
    bench.d->core->config.look_ahead = AHEAD;
    published(2 * AHEAD, "b", "");
    settle_disk();
    hear(k, &t);
    fail_for(k, t.events[1].delivery, LONG);
    credit(k, "mail", 3);
    settle_disk();
    for (struct key *key = mail()->partitions->keys; key; key = key->hh.next)
        assert_true(key->waiting.capacity <= 2 * AHEAD);
}

/* Nothing more may be spilled. a2 is spilled; b1, which comes after it, was delivered before and stays in memory.
 * What waits behind b1 must make room for a2, or nothing is ever delivered. */
static void what_is_behind_a_key_makes_room_for_what_comes_before_it(void **state)
{
    (void)state;
    struct taken t = { 0 };
    declared("ordered=key partitions=2 lease=1h");
    struct core_config *config = &bench.d->core->config;
    config->look_ahead = 2;
    struct peer *both[2] = { mail_consumer("k", 8), mail_consumer("l", 8) }, *p = joined("p");
    publish(p, "mail", 0, "a1#a a2#a b1#b b2#b");
    settle_disk();
    struct peer *k = hear(both[0], &t) ? both[0] : both[1];
    hear(k, &t);
    assert_true(t.count == 2 && t.events[0].sequence == 1 && t.events[1].sequence == 3);
    struct link *link = &session_find(bench.d->core, k->token)->link;
    uint32_t frames = link->limits.frames;
    link->limits.frames = 0; /* it is not reached */
    ack(k, "mail", t.events[0].delivery, 1);
    publish(p, "mail", 0, "d1#d");
    settle_disk();
    assert_true(spilled() == 1 && spill_set_has(&mail()->partitions->spill.all, 2));
    config->look_ahead = 1;
    config->memory_budget = SPILL_SHARE;
    assert_true(spill_is_exhausted(bench.d->core));
    fail_for(k, t.events[1].delivery, 0);
    link->limits.frames = frames;
    heartbeat(k);
    settle_disk();
    assert_true(hear(k, &t) > 0 && t.events[2].sequence == 2);
}

/* A consumer with little credit reads spilled events a few at a time, while newer events fill the look-ahead again
 * and again. */
static void where_no_more_may_be_spilled_there_is_no_more(void **state)
{
    (void)state;
    struct taken t = { 0 }, u = { 0 };
    struct pair of = half_drained(&t, "ordered=key partitions=2", MANY, "");
    uint64_t most = spilled();
    bench.d->core->config.memory_budget = bench.d->core->spill_bytes * SPILL_SHARE;
    published(MANY, "ad", "");
    drain(of.flowing, &t);
    for (uint64_t i = 1; i <= MANY; i++) {
        credit(of.stalled, "mail", i);
        for (unsigned turns = 0; turns < 5 && u.count < i; turns++) {
            settle_disk();
            hear(of.stalled, &u);
        }
        assert_int_equal(u.count, i);
        ack(of.stalled, "mail", i, 1);
        drain(of.flowing, &t);
        assert_true(spilled() <= most);
    }
    credit(of.stalled, "mail", 2 * MANY);
    for (size_t before = 0; before < t.count + u.count;) { /* either may wait for the other */
        before = t.count + u.count;
        settle_disk();
        drain(of.stalled, &u);
        drain(of.flowing, &t);
    }
    assert_true(u.count == 2 * MANY && t.count == 2 * MANY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_disk(a_parked_key_holds_up_no_other_and_comes_in_order_when_it_is_free),
        on_disk(a_key_in_hand_for_long_holds_up_no_other),
        on_disk(two_stalled_keys_hold_up_no_third),
        on_disk(what_is_published_later_stays_behind_what_is_spilled),
        on_disk(a_delayed_event_comes_before_what_is_spilled),
        on_disk(a_key_that_fails_makes_room_at_once),
        on_disk(a_key_that_fails_again_and_again_holds_up_no_other),
        on_disk(the_mark_follows_what_is_looked_at),
        on_disk(no_idle_is_sent_while_a_key_is_read),
        on_disk(a_key_whose_next_event_is_delivered_in_this_turn_flows),
        on_disk(where_no_more_may_be_spilled_it_waits_for_what_is_stalled),
        on_disk(what_was_spilled_leaves_no_memory_behind),
        on_disk(what_is_behind_a_key_makes_room_for_what_comes_before_it),
        on_disk(where_no_more_may_be_spilled_there_is_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

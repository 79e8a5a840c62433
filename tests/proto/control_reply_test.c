/* Control replies: round trips. Those that must be refused are in control_bad_test.c. */
#include "tests/proto/control_driver.h"

#include "base/error.h"

static const struct token id = { UINT64_C(0x0102030405060708), UINT64_C(0xf1f2f3f4f5f6f7f8) };

static struct reply reply_round_trip(struct reply r)
{
    struct reply back;
    r.id = id;
    reply_pack(&r, &packed);
    assert_true(reply_unpack(buf_span(&packed), &arena, &back));
    assert_true(token_equal(back.id, id));
    assert_int_equal(back.reason, r.reason);
    assert_string_equal(back.detail, r.detail ? r.detail : "");
    assert_int_equal(back.result, r.result);
    return back;
}

static void a_refusal_carries_its_reason_and_a_sentence(void **state)
{
    (void)state;
    reply_round_trip((struct reply){ .reason = REASON_unknown_queue, .detail = "no queue 'orders'" });
    buf_clear(&packed);
    reply_round_trip((struct reply){ .reason = REASON_ok });
}

static void small_replies_round_trip(void **state)
{
    (void)state;
    struct reply r = { .result = RESULT_PONG };
    r.u.pong.version = "0.1.0", r.u.pong.uptime_ms = 12345;
    struct reply back = reply_round_trip(r);
    assert_string_equal(back.u.pong.version, "0.1.0");
    assert_int_equal(back.u.pong.uptime_ms, 12345);
    buf_clear(&packed);
    r = (struct reply){ .result = RESULT_PURGED };
    r.u.purged.purged = UINT64_C(1) << 40;
    assert_true(reply_round_trip(r).u.purged.purged == UINT64_C(1) << 40);
}

static const struct ledger ledger = { 100, 50, 10, 9, 8, 7, 16 };

static struct queue_info sample_queue(const char *name)
{
    return (struct queue_info){ .queue = name,
                                .settings = queue_settings_defaults(),
                                .created = true,
                                .closed = true,
                                .ready = 1,
                                .in_flight = 2,
                                .delayed = 3,
                                .dead = 4,
                                .bytes = 5,
                                .oldest_age_ms = 6,
                                .waiting_publishers = 7,
                                .consumer = "shop/1",
                                .standbys = 8,
                                .in_rate_milli = 9,
                                .out_rate_milli = 10,
                                .next_sequence = 11,
                                .refused = 12,
                                .redelivered = 13,
                                .duplicates = 14,
                                .dedup_evicted = 15,
                                .died = { 0, 1, 2, 3, 4, 5 },
                                .active_consumers = 16,
                                .parked_keys = 17,
                                .parked_events = 18,
                                .ledger = ledger };
}

static void assert_same_queue(const struct queue_info *a, const struct queue_info *b)
{
    assert_string_equal(a->queue, b->queue);
    assert_string_equal(a->consumer, b->consumer);
    assert_same_settings(&a->settings, &b->settings);
    assert_true(a->created == b->created && a->managed == b->managed && a->paused == b->paused &&
                a->closed == b->closed);
    assert_true(a->ready == b->ready && a->in_flight == b->in_flight && a->delayed == b->delayed && a->dead == b->dead);
    assert_true(a->bytes == b->bytes && a->oldest_age_ms == b->oldest_age_ms &&
                a->waiting_publishers == b->waiting_publishers && a->standbys == b->standbys);
    assert_true(a->in_rate_milli == b->in_rate_milli && a->out_rate_milli == b->out_rate_milli);
    assert_true(a->next_sequence == b->next_sequence && a->refused == b->refused && a->redelivered == b->redelivered);
    assert_true(a->duplicates == b->duplicates && a->dedup_evicted == b->dedup_evicted);
    assert_memory_equal(a->died, b->died, sizeof a->died);
    assert_memory_equal(&a->ledger, &b->ledger, sizeof a->ledger);
    assert_true(a->active_consumers == b->active_consumers && a->parked_keys == b->parked_keys &&
                a->parked_events == b->parked_events);
    assert_int_equal(a->partition_count, b->partition_count);
    for (size_t i = 0; i < a->partition_count; i++) {
        const struct partition_info *has = &a->partitions[i], *had = &b->partitions[i];
        assert_true(has->ready == had->ready && has->in_flight == had->in_flight);
        assert_string_equal(has->consumer, had->consumer);
        assert_string_equal(has->heir, had->heir);
    }
}

static void a_queues_description_round_trips(void **state)
{
    (void)state;
    struct reply r = { .result = RESULT_QUEUE };
    r.u.queue = sample_queue("orders");
    struct reply back = reply_round_trip(r);
    assert_same_queue(&back.u.queue, &r.u.queue);
    buf_clear(&packed);
    r.u.queue.created = r.u.queue.closed = false;
    r.u.queue.managed = r.u.queue.paused = true;
    r.u.queue.consumer = "";
    r.u.queue.partitions = (const struct partition_info[]){ { 1, 2, "a", "" }, { 0, 3, "b", "a" } };
    r.u.queue.partition_count = 2;
    back = reply_round_trip(r);
    assert_same_queue(&back.u.queue, &r.u.queue);
}

static void lists_of_queues_round_trip(void **state)
{
    (void)state;
    struct queue_info queues[] = { sample_queue("a"), sample_queue("b"), sample_queue("c") };
    queues[1].ready = 99;
    struct reply r = { .result = RESULT_LIST };
    r.u.list.queues = queues, r.u.list.count = 3, r.u.list.next = "c";
    struct reply back = reply_round_trip(r);
    assert_int_equal(back.u.list.count, 3);
    assert_string_equal(back.u.list.next, "c");
    for (size_t i = 0; i < 3; i++)
        assert_same_queue(&back.u.list.queues[i], &queues[i]);
    buf_clear(&packed);
    r.u.list.count = 0, r.u.list.next = "";
    assert_int_equal(reply_round_trip(r).u.list.count, 0);
}

static void peeked_events_round_trip(void **state)
{
    (void)state;
    const struct trouble_info none = { .error = "" },
                              some = { 5, 1, DEAD_MAX_DELIVERIES, 1000, 2000, 503, "no luck", HOLD_CLOSED };
    const struct peeked events[] = { { 10, STATE_READY, 0, span_str("one"), none, 7, 0, INT64_C(3) << 40 },
                                     { 12, STATE_DELAYED, 3, span_of("\0\xff", 2), none, 0, INT64_C(1) << 41, 0 },
                                     { 13, STATE_DEAD, 5, span_str(""), some, 0, 0, 0 } };
    struct reply r = { .result = RESULT_PEEKED };
    r.u.peeked.events = events, r.u.peeked.count = 3, r.u.peeked.next = 14;
    struct reply back = reply_round_trip(r);
    assert_int_equal(back.u.peeked.count, 3);
    assert_int_equal(back.u.peeked.next, 14);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(back.u.peeked.events[i].sequence, events[i].sequence);
        assert_int_equal(back.u.peeked.events[i].state, events[i].state);
        assert_int_equal(back.u.peeked.events[i].attempt, events[i].attempt);
        assert_int_equal(back.u.peeked.events[i].parked_behind, events[i].parked_behind);
        assert_int_equal(back.u.peeked.events[i].ready_ms, events[i].ready_ms);
        assert_int_equal(back.u.peeked.events[i].expires_ms, events[i].expires_ms);
        assert_true(span_equal(back.u.peeked.events[i].event, events[i].event));
        const struct trouble_info *had = &events[i].trouble, *has = &back.u.peeked.events[i].trouble;
        assert_int_equal(has->failures, had->failures);
        assert_int_equal(has->crashes, had->crashes);
        assert_int_equal(has->dead, had->dead);
        assert_int_equal(has->first_ms, had->first_ms);
        assert_int_equal(has->last_ms, had->last_ms);
        assert_int_equal(has->status, had->status);
        assert_string_equal(has->error, had->error);
        assert_int_equal(has->held, had->held);
    }
}

static void an_explanation_round_trips(void **state)
{
    (void)state;
    struct reply r = { .result = RESULT_EXPLAINED };
    r.u.explained =
        (struct explained){ .event = { .sequence = 7, .state = STATE_DELAYED, .attempt = 3, .event = span_str("e") },
                            .accepted_ms = 1,
                            .blocked = BLOCKED_BEHIND,
                            .behind = 4,
                            .blocker = 5,
                            .consumer = "c",
                            .next = NEXT_DEAD_LETTER,
                            .next_ms = 6,
                            .now_ms = 8,
                            .attempts = { { 2, ATTEMPT_NACKED, 9, 10, 503, "d", "no" },
                                          { 3, ATTEMPT_IN_FLIGHT, 11, 12, 0, "c", "" } },
                            .attempt_count = 2,
                            .attempts_older = 1 };
    r.u.explained.event.trouble = (struct trouble_info){ .failures = 2, .error = "x", .held = HOLD_DISK };
    struct explained e = reply_round_trip(r).u.explained;
    assert_true(e.event.sequence == 7 && e.event.state == STATE_DELAYED && e.event.attempt == 3);
    assert_true(span_equal(e.event.event, span_str("e")) && e.event.trouble.held == HOLD_DISK);
    assert_true(e.accepted_ms == 1 && e.blocked == BLOCKED_BEHIND && e.behind == 4 && e.blocker == 5);
    assert_true(e.next == NEXT_DEAD_LETTER && e.next_ms == 6 && e.now_ms == 8);
    assert_string_equal(e.consumer, "c");
    assert_true(e.attempt_count == 2 && e.attempts_older == 1);
    for (unsigned i = 0; i < 2; i++) {
        const struct attempt_info *had = &r.u.explained.attempts[i], *has = &e.attempts[i];
        assert_true(has->number == had->number && has->outcome == had->outcome && has->status == had->status);
        assert_true(has->delivered_ms == had->delivered_ms && has->latency_ms == had->latency_ms);
        assert_string_equal(has->consumer, had->consumer);
        assert_string_equal(has->error, had->error);
    }
}

static void attached_round_trips_with_its_outcomes(void **state)
{
    (void)state;
    const struct target targets[] = { { "a", 100 }, { "b", 7 } };
    const struct outcome runs[] = {
        { .first = 1, .count = 5, .sequence = 100, .flags = 2, .targets = targets, .target_count = 2 },
        { .first = 6, .count = 1, .reason = REASON_full },
        { .first = 7, .count = 1, .sequence = 105, .flags = 2, .targets = targets + 1, .target_count = 1 }
    };
    const struct outcomes outcomes[] = { { "orders", 7, runs, 3 }, { "mail", 0, NULL, 0 } };
    struct reply r = { .result = RESULT_ATTACHED };
    r.u.attached.version = 1, r.u.attached.features = 2, r.u.attached.token = (struct token){ 3, 4 };
    r.u.attached.epoch = 5, r.u.attached.resumed = true, r.u.attached.received = 6;
    r.u.attached.outcomes = outcomes, r.u.attached.outcome_count = 2;
    r.u.attached.window_events = 7, r.u.attached.window_bytes = 8, r.u.attached.heartbeat_ms = 9;
    r.u.attached.session_timeout_ms = 10, r.u.attached.rights = 11, r.u.attached.incarnation = 12;
    r.u.attached.max_event = 13, r.u.attached.producer_epoch = 14;
    struct reply back = reply_round_trip(r);
    assert_int_equal(back.u.attached.version, 1);
    assert_int_equal(back.u.attached.features, 2);
    assert_true(token_equal(back.u.attached.token, r.u.attached.token));
    assert_int_equal(back.u.attached.epoch, 5);
    assert_true(back.u.attached.resumed && !back.u.attached.producer_known);
    assert_int_equal(back.u.attached.received, 6);
    assert_true(back.u.attached.window_events == 7 && back.u.attached.window_bytes == 8);
    assert_true(back.u.attached.heartbeat_ms == 9 && back.u.attached.session_timeout_ms == 10);
    assert_true(back.u.attached.rights == 11 && back.u.attached.incarnation == 12 && back.u.attached.max_event == 13);
    assert_int_equal(back.u.attached.producer_epoch, 14);
    assert_int_equal(back.u.attached.outcome_count, 2);
    assert_string_equal(back.u.attached.outcomes[0].destination, "orders");
    assert_int_equal(back.u.attached.outcomes[0].decided, 7);
    assert_int_equal(back.u.attached.outcomes[0].run_count, 3);
    assert_int_equal(back.u.attached.outcomes[0].runs[0].sequence, 100);
    assert_int_equal(back.u.attached.outcomes[0].runs[0].flags, 2);
    assert_int_equal(back.u.attached.outcomes[0].runs[0].target_count, 2);
    assert_string_equal(back.u.attached.outcomes[0].runs[0].targets[1].queue, "b");
    assert_int_equal(back.u.attached.outcomes[0].runs[0].targets[1].sequence, 7);
    assert_int_equal(back.u.attached.outcomes[0].runs[1].first, 6);
    assert_int_equal(back.u.attached.outcomes[0].runs[1].target_count, 0);
    assert_int_equal(back.u.attached.outcomes[0].runs[1].reason, REASON_full);
    assert_int_equal(back.u.attached.outcomes[0].runs[2].target_count, 1);
    assert_string_equal(back.u.attached.outcomes[0].runs[2].targets[0].queue, "b");
    assert_string_equal(back.u.attached.outcomes[1].destination, "mail");
    assert_int_equal(back.u.attached.outcomes[1].run_count, 0);
}

static void the_brokers_description_round_trips(void **state)
{
    (void)state;
    struct reply r = { .result = RESULT_BROKER };
    r.u.broker = (struct broker_info){
        "0.1.0", 1, 2, 3, 4, 5, 6, ledger, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, true, { 20, 21, 22, 23 }
    };
    struct reply back = reply_round_trip(r);
    assert_string_equal(back.u.broker.version, "0.1.0");
    back.u.broker.version = r.u.broker.version;
    assert_true(back.u.broker.disk_full);
    assert_memory_equal(&back.u.broker, &r.u.broker, offsetof(struct broker_info, disk_full));
    assert_memory_equal(&back.u.broker.usage, &r.u.broker.usage, sizeof r.u.broker.usage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_arena(a_refusal_carries_its_reason_and_a_sentence),
        with_arena(small_replies_round_trip),
        with_arena(a_queues_description_round_trips),
        with_arena(lists_of_queues_round_trip),
        with_arena(peeked_events_round_trip),
        with_arena(an_explanation_round_trips),
        with_arena(attached_round_trips_with_its_outcomes),
        with_arena(the_brokers_description_round_trips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The calls about dead and delayed events, topics and subscriptions, and their answers: round trips, and values beyond
 * their limits are refused. */
#include "tests/proto/control_driver.h"

static bool passes(const struct request *r, struct request *back)
{
    buf_clear(&packed);
    request_pack(r, &packed);
    return request_unpack(buf_span(&packed), &arena, back);
}

static struct request pass(struct request r)
{
    struct request back;
    assert_true(passes(&r, &back));
    assert_int_equal(back.call, r.call);
    assert_string_equal(back.queue, r.queue ? r.queue : "");
    assert_string_equal(back.topic, r.topic ? r.topic : "");
    return back;
}

static void assert_refused(struct request r)
{
    struct request back;
    assert_false(passes(&r, &back));
}

static bool answers(const struct reply *r, struct reply *back)
{
    buf_clear(&packed);
    reply_pack(r, &packed);
    return reply_unpack(buf_span(&packed), &arena, back);
}

static struct reply answer(struct reply r)
{
    struct reply back;
    assert_true(answers(&r, &back));
    assert_int_equal(back.result, r.result);
    return back;
}

static void assert_answer_refused(struct reply r)
{
    struct reply back;
    assert_false(answers(&r, &back));
}

/* ------------------------------------------------------------------ dead and delayed events */

static const uint64_t sequences[REDRIVE_SEQUENCES_MAX + 1] = { 1, UINT64_C(1) << 52 };

static void a_redrive_keeps_what_it_asks_for(void **state)
{
    (void)state;
    struct request r = { .call = CALL_REDRIVE, .queue = "orders" };
    r.u.redrive.sequences = sequences, r.u.redrive.count = 2;
    r.u.redrive.to = "again";
    r.u.redrive.dry_run = true;
    r.u.redrive.filter = span_of("\1\0f", 3);
    r.u.redrive.reason = DEAD_EXPIRED;
    r.u.redrive.rate = REDRIVE_RATE_MAX;
    struct request back = pass(r);
    assert_int_equal(back.u.redrive.count, 2);
    assert_memory_equal(back.u.redrive.sequences, sequences, 2 * sizeof *sequences);
    assert_string_equal(back.u.redrive.to, "again");
    assert_true(back.u.redrive.dry_run && !back.u.redrive.stop);
    assert_true(span_equal(back.u.redrive.filter, r.u.redrive.filter));
    assert_int_equal(back.u.redrive.reason, DEAD_EXPIRED);
    assert_int_equal(back.u.redrive.rate, REDRIVE_RATE_MAX);
    back = pass((struct request){ .call = CALL_REDRIVE, .queue = "orders", .u.redrive.stop = true });
    assert_true(back.u.redrive.stop && !back.u.redrive.dry_run);
    assert_int_equal(back.u.redrive.count, 0);
    assert_string_equal(back.u.redrive.to, "");
}

static void a_redrive_beyond_its_bounds_is_refused(void **state)
{
    (void)state;
    struct request r = { .call = CALL_REDRIVE };
    r.u.redrive.sequences = sequences, r.u.redrive.count = REDRIVE_SEQUENCES_MAX;
    pass(r);
    r.u.redrive.count++;
    assert_refused(r);
    assert_refused((struct request){ .call = CALL_REDRIVE, .u.redrive.reason = DEAD_LAST + 1 });
    assert_refused((struct request){ .call = CALL_REDRIVE, .u.redrive.rate = REDRIVE_RATE_MAX + 1 });
}

static void a_purge_says_whether_it_is_of_dead_events(void **state)
{
    (void)state;
    assert_true(pass((struct request){ .call = CALL_PURGE, .queue = "q", .u.purge.dead = true }).u.purge.dead);
    assert_false(pass((struct request){ .call = CALL_PURGE, .queue = "q" }).u.purge.dead);
}

static void a_cancel_names_its_event(void **state)
{
    (void)state;
    struct request r = { .call = CALL_CANCEL, .queue = "q", .u.cancel.sequence = UINT64_C(1) << 52 };
    assert_true(pass(r).u.cancel.sequence == UINT64_C(1) << 52);
    answer((struct reply){ .result = RESULT_CANCELLED });
}

static void an_attach_names_at_most_1024_destinations(void **state)
{
    static const char *names[ATTACH_DESTINATIONS_MAX + 1];
    (void)state;
    for (size_t i = 0; i < ATTACH_DESTINATIONS_MAX + 1; i++)
        names[i] = i ? "q" : "first";
    struct request r = { .call = CALL_ATTACH };
    r.u.attach.destinations = names, r.u.attach.destination_count = ATTACH_DESTINATIONS_MAX;
    struct request back = pass(r);
    assert_int_equal(back.u.attach.destination_count, ATTACH_DESTINATIONS_MAX);
    assert_string_equal(back.u.attach.destinations[0], "first");
    r.u.attach.destination_count++;
    assert_refused(r);
}

static void the_counts_of_a_redrive_come_back(void **state)
{
    (void)state;
    struct reply back = answer((struct reply){ .result = RESULT_REDRIVEN, .u.redriven = { 7, 9, true } });
    assert_int_equal(back.u.redriven.redriven, 7);
    assert_int_equal(back.u.redriven.left, 9);
    assert_true(back.u.redriven.running);
    struct reply r = { .result = RESULT_QUEUE };
    r.u.queue = (struct queue_info){ .queue = "q", .dead_letter_held = 3, .redrive = { 5, 6, 7, "to", true } };
    struct queue_info q = answer(r).u.queue;
    assert_int_equal(q.dead_letter_held, 3);
    assert_true(q.redrive.redriven == 5 && q.redrive.left == 6 && q.redrive.rate == 7 && q.redrive.waits);
    assert_string_equal(q.redrive.to, "to");
    r.u.queue.redrive = (struct redriving_info){ 0 };
    q = answer(r).u.queue;
    assert_int_equal(q.redrive.rate, 0);
    assert_string_equal(q.redrive.to, "");
}

static struct reply explanation(void)
{
    struct reply r = { .result = RESULT_EXPLAINED };
    r.u.explained.event = (struct peeked){ .sequence = 1, .event = span_str("e"), .trouble = { .error = "" } };
    r.u.explained.attempts[0] = (struct attempt_info){ .number = 1, .consumer = "c", .error = "" };
    r.u.explained.attempt_count = 1;
    return r;
}

/* Their names come from tables. */
static void causes_of_a_newer_version_are_refused(void **state)
{
    (void)state;
    struct reply r = explanation();
    r.u.explained.attempts[0].outcome = (enum attempt_outcome)(ATTEMPT_OUTCOMES - 1);
    r.u.explained.blocked = (enum blocked_by)(BLOCKED_CAUSES - 1);
    r.u.explained.next = (enum next_step)(NEXT_STEPS - 1);
    r.u.explained.event.trouble.dead = DEAD_LAST;
    r.u.explained.event.trouble.held = (enum dead_hold)(DEAD_HOLDS - 1);
    answer(r);
    r = explanation(), r.u.explained.attempts[0].outcome = ATTEMPT_OUTCOMES;
    assert_answer_refused(r);
    r = explanation(), r.u.explained.blocked = BLOCKED_CAUSES;
    assert_answer_refused(r);
    r = explanation(), r.u.explained.next = NEXT_STEPS;
    assert_answer_refused(r);
    r = explanation(), r.u.explained.event.trouble.dead = (enum dead_reason)(DEAD_LAST + 1);
    assert_answer_refused(r);
    r = explanation(), r.u.explained.event.trouble.held = DEAD_HOLDS;
    assert_answer_refused(r);
}

/* ------------------------------------------------------------------ topics */

static void calls_about_topics_keep_what_they_say(void **state)
{
    (void)state;
    struct request r = { .call = CALL_PUT_TOPIC, .topic = "all" };
    struct request back = pass(r);
    assert_false(back.u.put_topic.has_unrouted || back.u.put_topic.only_create);
    r.u.put_topic.has_unrouted = r.u.put_topic.only_create = true;
    r.u.put_topic.unrouted = UNROUTED_QUEUE;
    r.u.put_topic.catch_all = "rest";
    back = pass(r);
    assert_true(back.u.put_topic.has_unrouted && back.u.put_topic.only_create);
    assert_int_equal(back.u.put_topic.unrouted, UNROUTED_QUEUE);
    assert_string_equal(back.u.put_topic.catch_all, "rest");
    pass((struct request){ .call = CALL_DESCRIBE_TOPIC, .topic = "all" });
    pass((struct request){ .call = CALL_DELETE_TOPIC, .topic = "all" });
    back = pass((struct request){ .call = CALL_LIST_TOPICS, .u.list = { "pre", "after", 5 } });
    assert_string_equal(back.u.list.prefix, "pre");
    assert_string_equal(back.u.list.after, "after");
    assert_int_equal(back.u.list.limit, 5);
}

static void a_binding_has_its_filter(void **state)
{
    (void)state;
    struct request r = { .call = CALL_BIND, .topic = "all", .queue = "q", .u.bind.filter = span_of("\1\0x", 3) };
    assert_true(span_equal(pass(r).u.bind.filter, r.u.bind.filter));
    r.call = CALL_UNBIND;
    assert_int_equal(pass(r).u.bind.filter.size, 0);
}

static void assert_same_topic(const struct topic_info *a, const struct topic_info *b)
{
    assert_string_equal(a->topic, b->topic);
    assert_string_equal(a->catch_all, b->catch_all);
    assert_true(a->created == b->created && a->managed == b->managed && a->unrouted == b->unrouted);
    assert_true(a->accepted == b->accepted && a->dropped == b->dropped && a->refused == b->refused);
    assert_true(a->duplicates == b->duplicates && a->waiting_publishers == b->waiting_publishers &&
                a->in_rate_milli == b->in_rate_milli);
    assert_int_equal(a->binding_count, b->binding_count);
    for (size_t i = 0; i < a->binding_count; i++) {
        assert_string_equal(a->bindings[i].queue, b->bindings[i].queue);
        assert_true(span_equal(a->bindings[i].filter, b->bindings[i].filter));
        assert_int_equal(a->bindings[i].matched, b->bindings[i].matched);
    }
}

static void topics_come_back_with_their_bindings(void **state)
{
    static const struct binding_info bindings[] = { { "audit", { NULL, 0 }, 1 },
                                                    { "mail", { (const uint8_t *)"\1x", 2 }, 2 } };
    const struct topic_info topics[] = { { "all", true, false, UNROUTED_QUEUE, "rest", bindings, 2, 1, 2, 3, 4, 5, 6 },
                                         { "none", false, true, UNROUTED_DROP, "", NULL, 0, 6, 5, 4, 3, 2, 1 } };
    (void)state;
    struct reply r = { .result = RESULT_TOPICS, .u.topics = { topics, 2, "none" } };
    struct reply back = answer(r);
    assert_int_equal(back.u.topics.count, 2);
    assert_string_equal(back.u.topics.next, "none");
    for (size_t i = 0; i < 2; i++) {
        assert_same_topic(&back.u.topics.topics[i], &topics[i]);
        back = answer((struct reply){ .result = RESULT_TOPIC, .u.topic = topics[i] });
        assert_same_topic(&back.u.topic, &topics[i]);
        back = answer(r);
    }
    r.u.topics.count = 1;
    struct topic_info newer = topics[0];
    newer.unrouted = (enum unrouted)(UNROUTED_QUEUE + 1);
    r.u.topics.topics = &newer;
    assert_answer_refused(r);
}

/* ------------------------------------------------------------------ subscriptions */

static void subscriptions_keep_their_settings(void **state)
{
    static const uint8_t bytes[SUBSCRIPTION_SETTINGS_MAX + 1] = "settings";
    (void)state;
    struct request r = { .call = CALL_PUT_SUBSCRIPTION };
    r.u.subscription.app = "shop", r.u.subscription.name = "push";
    r.u.subscription.settings = span_of(bytes, SUBSCRIPTION_SETTINGS_MAX);
    struct request back = pass(r);
    assert_string_equal(back.u.subscription.app, "shop");
    assert_string_equal(back.u.subscription.name, "push");
    assert_true(span_equal(back.u.subscription.settings, r.u.subscription.settings));
    r.u.subscription.settings.size++;
    assert_refused(r);
    r.call = CALL_DELETE_SUBSCRIPTION, r.u.subscription.settings.size = 0;
    assert_string_equal(pass(r).u.subscription.name, "push");
    r.call = CALL_SUBSCRIPTIONS, r.u.subscription.known = UINT64_C(1) << 40;
    back = pass(r);
    assert_string_equal(back.u.subscription.app, "shop");
    assert_true(back.u.subscription.known == UINT64_C(1) << 40);
    const struct kept_subscription items[] = { { "a", span_str("one"), 4 }, { "b", span_of("\0", 1), 5 } };
    struct reply list =
        answer((struct reply){ .result = RESULT_SUBSCRIPTIONS, .u.subscriptions = { 9, false, true, items, 2 } });
    assert_int_equal(list.u.subscriptions.revision, 9);
    assert_true(!list.u.subscriptions.same && list.u.subscriptions.created);
    assert_int_equal(list.u.subscriptions.count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_string_equal(list.u.subscriptions.items[i].name, items[i].name);
        assert_true(span_equal(list.u.subscriptions.items[i].settings, items[i].settings));
        assert_int_equal(list.u.subscriptions.items[i].revision, items[i].revision);
    }
    list = answer((struct reply){ .result = RESULT_SUBSCRIPTIONS, .u.subscriptions = { .revision = 9, .same = true } });
    assert_true(list.u.subscriptions.same && list.u.subscriptions.count == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_arena(a_redrive_keeps_what_it_asks_for),
        with_arena(a_redrive_beyond_its_bounds_is_refused),
        with_arena(a_purge_says_whether_it_is_of_dead_events),
        with_arena(a_cancel_names_its_event),
        with_arena(an_attach_names_at_most_1024_destinations),
        with_arena(the_counts_of_a_redrive_come_back),
        with_arena(causes_of_a_newer_version_are_refused),
        with_arena(calls_about_topics_keep_what_they_say),
        with_arena(a_binding_has_its_filter),
        with_arena(topics_come_back_with_their_bindings),
        with_arena(subscriptions_keep_their_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Outcomes on their way to their publisher: in frames of bounded size, however many queues a topic has, and however
 * slowly the publisher reads. */
#include "tests/broker/core/topic_driver.h"

#include <stdio.h>

#define HALF   6u   /* queues that an event goes to */
#define EVENTS 120u /* odd ones go to one half of the queues, even ones to the other: each is a run of its own */

static void bind_half(struct driver *d, const char *color)
{
    char queue[64], filter[64];
    snprintf(filter, sizeof filter, "{\"exact\":{\"type\":\"%s\"}}", color);
    for (unsigned i = 0; i < HALF; i++) {
        snprintf(queue, sizeof queue, "tenant-%u-%s-orders", i, color);
        assert_string_equal(declare(d, queue, "capacity=1000"), "ok");
        assert_string_equal(bind_filter(d, "all", queue, filter), "ok");
    }
}

static struct peer *publisher(struct driver *d)
{
    d->config.deliver_frame = 2000;
    d->config.attach_outcomes = 2000;
    d->config.window_events = EVENTS;
    driver_restart(d);
    struct peer *p = attached(d, "p");
    assert_string_equal(put_topic(d, "all"), "ok");
    bind_half(d, "red");
    bind_half(d, "blue");
    return p;
}

static void add_events(struct peer *p, uint64_t first, uint64_t end)
{
    struct open_body open = frame_begin_publish(&p->out, span_str("all"), first, 0);
    for (; first < end; first++)
        frame_add_entry(&p->out, &(struct entry){ .event = span_str(first % 2 ? RED : BLUE) }, 0);
    frame_end(&p->out, open);
}

static void publish_all(struct peer *p)
{
    add_events(p, 1, EVENTS + 1);
    push(p);
}

static struct session *session_of(struct peer *p)
{
    return session_find(p->driver->core, p->token);
}

static uint32_t largest_frame(const struct session *s)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < s->link.ring_count; i++) {
        const struct frame *f = s->link.ring[(s->link.ring_head + i) & (s->link.ring_capacity - 1)];
        most = f->size > most ? f->size : most;
    }
    return most;
}

/* How often `text` is in the trace. */
static unsigned times(const struct peer *p, const char *text)
{
    unsigned count = 0;
    size_t size = strlen(text);
    for (size_t at = 0; at + size <= p->trace.size; at++)
        count += memcmp(p->trace.data + at, text, size) == 0;
    return count;
}

static void assert_confirmed_once(const struct peer *p, unsigned first, unsigned end)
{
    for (; first < end; first++) {
        char text[32];
        snprintf(text, sizeof text, "confirm all %u ->", first);
        assert_int_equal(times(p, text), 1);
    }
}

static void a_turns_confirms_are_sent_in_frames_of_bounded_size(void **state)
{
    struct driver *d = *state;
    struct peer *p = publisher(d);
    publish_all(p);
    assert_true(largest_frame(session_of(p)) <= 2 * d->config.deliver_frame);
    assert_confirmed_once(p, 1, EVENTS + 1);
}

/* The link is full: the outcomes wait until the publisher has acknowledged what it got. */
static void confirms_wait_for_a_full_link(void **state)
{
    struct driver *d = *state;
    struct peer *p = publisher(d);
    session_of(p)->link.limits.bytes = 5000;
    publish_all(p);
    assert_in_range(times(p, "confirm"), 10, EVENTS / 2);
    assert_true(session_of(p)->out.size < 2 * d->config.deliver_frame);
    assert_int_equal(times(p, "window"), 0); /* else it would publish faster than it reads */
    for (unsigned i = 0; i < 10; i++) {
        heartbeat(p);
        turn(d);
    }
    assert_confirmed_once(p, 1, EVENTS + 1);
    assert_int_equal(times(p, "window"), 1);
    add_events(p, EVENTS + 1, EVENTS + 2);
    push(p);
    assert_confirmed_once(p, 1, EVENTS + 2);
}

static void a_bye_is_sent_behind_the_outcomes_that_wait(void **state)
{
    struct driver *d = *state;
    struct peer *p = publisher(d);
    session_of(p)->link.limits.bytes = 5000;
    publish_all(p);
    core_stop(d->core, d->now);
    turn(d);
    assert_false(core_has_said_bye(d->core));
    for (unsigned i = 0; i < 10; i++) {
        heartbeat(p);
        turn(d);
    }
    assert_true(core_has_said_bye(d->core));
    assert_confirmed_once(p, 1, EVENTS + 1);
    assert_int_equal(times(p, "bye"), 1);
    assert_memory_equal(p->trace.data + p->trace.size - 5, "; bye", 5);
}

/* What waits ends with the session; the answer to the next attach tells it. */
static void confirms_that_wait_end_with_their_session(void **state)
{
    struct driver *d = *state;
    struct peer *p = publisher(d);
    session_of(p)->link.limits.bytes = 5000;
    publish_all(p);
    bye(p);
    assert_false(is_attached(p));
}

static void attach_anew(struct peer *p)
{
    p->token = (struct token){ 0 };
    p->sent = p->received = 0;
    request_attach(p);
    heard(p);
    echo(p);
}

/* The answer to an attach has so many outcomes only; the rest follows in frames. The client takes them for undecided
 * until these arrive, and sends their events again. */
static void outcomes_beyond_those_of_the_answer_to_an_attach_follow_it(void **state)
{
    struct driver *d = *state;
    struct peer *p = publisher(d);
    p->deaf = true;
    publish_all(p);
    bye(p);
    p->deaf = false;
    attach_anew(p);
    unsigned listed = times(p, ":1 ") ? times(p, ", ") + 1 : 0;
    assert_in_range(listed, 2, 20);
    char through[64];
    snprintf(through, sizeof through, "attached known | all through %u: 1 -> ", listed);
    assert_int_equal(times(p, through), 1);
    assert_confirmed_once(p, listed + 1, EVENTS + 1);
    assert_int_equal(times(p, "confirm all"), EVENTS - listed);
    assert_true(largest_frame(session_of(p)) <= 2 * d->config.deliver_frame);
    add_events(p, listed + 1, EVENTS + 1);
    push(p);
    assert_int_equal(times(p, "confirm all"), EVENTS - listed);
    assert_int_equal(topic_of(d, "all").accepted, EVENTS);
    seen(p, "all", EVENTS);
    add_events(p, EVENTS + 1, EVENTS + 2);
    push(p);
    assert_confirmed_once(p, EVENTS + 1, EVENTS + 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        driven(a_turns_confirms_are_sent_in_frames_of_bounded_size),
        driven(confirms_wait_for_a_full_link),
        driven(a_bye_is_sent_behind_the_outcomes_that_wait),
        driven(confirms_that_wait_end_with_their_session),
        driven(outcomes_beyond_those_of_the_answer_to_an_attach_follow_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Answers: outcomes on their way to their producer's session.
 *
 * Neighbouring outcomes are sent as one run, so the newest of each destination is held back until the turn ends, or
 * until one comes that does not continue it. Of a topic each run names every queue that has its events: a turn's runs
 * may take many times the bytes of what was published. So a frame that has its bytes takes no more of them. Those that
 * find no room stand in the session's line, in order, and follow in other frames as far as the link has room for them;
 * as long as any stands there, the session gets no larger window, which bounds the line. */
#include "broker/core/state.h"
#include "broker/core/topic/targets.h"

#include "base/xalloc.h"

#include <stdlib.h>

static void drop_answer(struct answer *a)
{
    if (a->outcome.count)
        outcome_drop(&a->outcome);
    a->outcome.count = 0;
}

void destination_drop_unsent(struct destination *d)
{
    drop_answer(&d->unsent);
    d->listed = false;
}

/* ------------------------------------------------------------------ into a frame */

/* Name of the queue that refused entries to a topic; "": none. */
static struct span refusing_queue(struct core *c, const struct answer *a)
{
    const struct queue *q = a->queue ? queue_by_id(c, a->queue) : NULL;
    return span_str(q ? q->name : "");
}

static void write_answer(struct core *c, struct session *s, const struct destination *d, const struct answer *a)
{
    const struct outcome *o = &a->outcome;
    if (o->reason != REASON_ok) {
        frame_add_refuse(&s->out, span_str(d->name), o->first, o->count, o->reason, a->depth, a->capacity, a->retry_ms,
                         refusing_queue(c, a));
        return;
    }
    struct open_body open = frame_begin_confirm(&s->out, span_str(d->name));
    struct run run = { .first = o->first, .count = o->count, .sequence = o->sequence, .flags = o->flags };
    if (o->flags & RUN_TOPIC)
        frame_add_topic_run(&s->out, &run, o->targets, o->target_count);
    else
        frame_add_run(&s->out, &run);
    frame_end(&s->out, open);
}

/* ------------------------------------------------------------------ the line */

/* The reference to the outcome's targets passes. */
static void stand_in_line(struct session *s, struct destination *d, const struct answer *a, bool counts)
{
    struct answer_in_line *l = xmalloc(sizeof *l);
    *l = (struct answer_in_line){ .destination = d, .answer = *a, .counts = counts };
    if (s->line.first)
        s->line.last->next = l;
    else
        s->line.first = l;
    s->line.last = l;
    s->line.bytes += counts ? sizeof *l : 0;
}

static void leave_line(struct session *s)
{
    struct answer_in_line *l = s->line.first;
    s->line.first = l->next;
    s->line.bytes -= l->counts ? sizeof *l : 0;
    drop_answer(&l->answer);
    free(l);
}

void session_drop_answers(struct session *s)
{
    while (s->line.first)
        leave_line(s);
}

/* Writes the destination's newest run, or puts it in the line. */
static void put_unsent(struct core *c, struct session *s, struct destination *d)
{
    if (d->unsent.outcome.count == 0)
        return;
    if (s->line.first || s->out.size >= c->config.deliver_frame) {
        stand_in_line(s, d, &d->unsent, true);
        d->unsent.outcome = (struct outcome){ 0 };
        return;
    }
    write_answer(c, s, d, &d->unsent);
    drop_answer(&d->unsent);
}

bool session_write_answers(struct core *c, struct session *s)
{
    struct destination *d = s->unsent;
    s->unsent = NULL;
    for (; d; d = d->listed_next) {
        d->listed = false;
        put_unsent(c, s, d);
    }
    while (s->line.first && s->out.size < c->config.deliver_frame) {
        write_answer(c, s, s->line.first->destination, &s->line.first->answer);
        leave_line(s);
    }
    return s->line.first == NULL;
}

void session_answer(struct core *c, struct session *s, struct destination *d, const struct outcome *o,
                    const struct queue *q)
{
    struct answer *a = &d->unsent;
    uint32_t by = q && strcmp(q->name, d->name) != 0 ? q->id : 0;
    if (outcome_continues(&a->outcome, o) && (o->reason == REASON_ok || by == a->queue)) {
        a->outcome.count += o->count;
    } else {
        put_unsent(c, s, d);
        a->outcome = *o;
        outcome_hold(o);
    }
    a->queue = by;
    if (o->reason != REASON_ok) {
        a->depth = q ? queue_remaining(q) : 0;
        a->capacity = q ? q->settings.capacity : 0;
        a->retry_ms = q ? queue_retry_ms(c, q) : 0;
    }
    if (!d->listed) {
        d->listed = true;
        d->listed_next = s->unsent;
        s->unsent = d;
    }
    session_touch(c, s);
}

/* ------------------------------------------------------------------ the answer to an attach */

/* About the bytes of a run in the answer to an attach; no fewer. */
static uint64_t listed_size(const struct outcome *o)
{
    uint64_t size = 64;
    for (size_t i = 0; i < o->target_count; i++)
        size += 32 + strlen(o->targets[i].queue);
    return size;
}

/* To the client it looks as if the outcomes that are not listed were decided after the attach. So it sends their
 * entries again, which changes nothing. */
static struct outcomes list_some(struct session *s, struct destination *d, uint64_t *left)
{
    struct outcomes listed = { .destination = d->name, .decided = d->seen, .runs = d->outcomes };
    for (uint32_t i = 0; i < d->outcome_count; i++) {
        const struct outcome *o = &d->outcomes[i];
        uint64_t size = *left ? listed_size(o) : 0;
        if (size == 0 || size > *left) {
            *left = 0; /* nothing is listed behind the first that is not */
            outcome_hold(o);
            stand_in_line(s, d, &(struct answer){ .outcome = *o }, false);
            continue;
        }
        *left -= size;
        listed.run_count++;
        if (o->first == listed.decided + 1)
            listed.decided += o->count;
    }
    return listed;
}

size_t session_list_outcomes(struct core *c, struct session *s, struct outcomes *out)
{
    size_t count = 0;
    uint64_t left = c->config.attach_outcomes;
    for (struct destination *d = s->producer->destinations; d; d = d->hh.next)
        out[count++] = list_some(s, d, &left);
    return count;
}

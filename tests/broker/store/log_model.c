/* The model's calls; opening and comparing is in log_model_open.c. */
#include "tests/broker/store/log_model.h"

#include "base/xalloc.h"
#include "proto/frame.h"
#include "proto/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

uint64_t model_random(struct model *m, uint64_t below)
{
    uint64_t z = (m->random += 0x9e3779b97f4a7c15u); /* splitmix64 */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return below ? z % below : z;
}

void model_expect(struct model *m, bool fine, const char *what, uint64_t a, uint64_t b)
{
    if (!fine)
        fail_msg("seed %llu step %llu: %s (%llu, %llu)", (unsigned long long)m->seed, (unsigned long long)m->step, what,
                 (unsigned long long)a, (unsigned long long)b);
}

struct model_queue *model_new_queue(struct model *m)
{
    model_expect(m, m->queue_count < MODEL_QUEUES, "too many queues for the test", m->queue_count, 0);
    struct model_queue *q = &m->queues[m->queue_count++];
    *q = (struct model_queue){ .id = m->queue_count, .next = 1 };
    q->events = xcalloc(MODEL_EVENTS, sizeof *q->events);
    return q;
}

static void fill(uint8_t *to, const struct model_event *e)
{
    uint32_t x = e->salt | 1;
    for (uint32_t i = 0; i < e->size; i++) {
        x = x * 1664525u + 1013904223u;
        to[i] = (uint8_t)(x >> 24);
    }
}

/* ------------------------------------------------------------------ in */

static void make_run(struct model *m, struct model_queue *q, struct store_run *run, struct store_event *events,
                     uint32_t size, uint8_t *bytes)
{
    for (size_t i = 0; i < run->count; i++) {
        struct model_event *e = &q->events[run->first + i];
        *e =
            (struct model_event){ .size = size, .salt = (uint32_t)model_random(m, 0), .accepted_ms = run->accepted_ms };
        fill(bytes + i * size, e);
        events[i] = (struct store_event){ .event = span_of(bytes + i * size, size) };
    }
}

static void took_run(struct model *m, struct model_queue *q, const struct store_run *run, uint64_t ticket)
{
    model_expect(m, ticket >= m->ticket, "tickets are in order", ticket, m->ticket);
    m->ticket = ticket;
    for (size_t i = 0; i < run->count; i++) {
        struct model_event *e = &q->events[run->first + i];
        e->exists = true;
        e->ticket = ticket;
        e->at = run->events[i].locator;
        model_expect(m, run->keep || e->at == 0, "kept without being asked to", run->first, 0);
        q->live++;
        q->live_bytes += e->size;
    }
    q->next = run->first + run->count;
}

bool model_append(struct model *m, struct model_queue *q, uint32_t count, uint32_t size, bool keep)
{
    struct store_event events[MODEL_RUN_MAX];
    uint8_t *bytes = xmalloc((size_t)count * size + 1);
    uint8_t word[8];
    uint64_t ticket = 0, room = m->log->ops->room(m->log);
    model_expect(m, q->next + count < MODEL_EVENTS && count <= MODEL_RUN_MAX, "too many events for the test", q->next,
                 0);
    struct store_run run = { .queue = q->id,
                             .first = q->next,
                             .events = events,
                             .count = count,
                             .accepted_ms = (int64_t)(1000000 + m->step),
                             .note = span_of(word, sizeof word),
                             .keep = keep };
    wire_store64(word, run.first);
    make_run(m, q, &run, events, size, bytes);
    enum store_status status = m->log->ops->append(m->log, &run, &ticket);
    free(bytes);
    if (m->failed) {
        model_expect(m, status == STORE_FAILED, "nothing is taken after a failure", status, 0);
        return false;
    }
    if (status == STORE_LATER) {
        took_run(m, q, &run, ticket);
        return true;
    }
    if (status == STORE_FULL) {
        model_expect(m, room < (uint64_t)count * (size + 192), "refused although there was room", room, count);
        m->refused++;
    } else {
        model_expect(m, status == STORE_FAILED && log_failure(m->log)[0], "append's answer", status, 0);
    }
    return false;
}

/* Takes over what the first queue got. */
static void took_share(struct model *m, struct model_queue *q, const struct store_share *share, size_t target,
                       const struct model_event *like, uint64_t ticket)
{
    struct store_run run = {
        .first = q->next, .events = share->events, .count = share->count, .keep = share->targets[target].keep
    };
    for (size_t i = 0; i < share->count; i++) {
        q->events[q->next + i] = like[i];
        q->events[q->next + i].more = target > 0;
        if (!run.keep)
            share->events[i].locator = 0;
    }
    took_run(m, q, &run, ticket);
}

bool model_share(struct model *m, struct model_queue **queues, uint32_t queue_count, uint32_t count, uint32_t size,
                 bool keep)
{
    struct store_event events[MODEL_RUN_MAX];
    struct store_target targets[MODEL_QUEUES];
    struct model_event like[MODEL_RUN_MAX];
    uint8_t *bytes = xmalloc((size_t)count * size + 1);
    uint8_t word[8], more[8];
    uint64_t ticket = 0, room = m->log->ops->room(m->log);
    struct store_run first = { .first = queues[0]->next, .count = count, .accepted_ms = (int64_t)(1000000 + m->step) };
    make_run(m, queues[0], &first, events, size, bytes);
    memcpy(like, &queues[0]->events[first.first], count * sizeof *like);
    wire_store64(word, first.first);
    wire_store64(more, like->salt);
    for (uint32_t i = 0; i < queue_count; i++)
        targets[i] = (struct store_target){ queues[i]->id, queues[i]->next, keep && (i % 3 != 2) };
    struct store_share share = { .owner = MODEL_QUEUES + 1,
                                 .targets = targets,
                                 .target_count = queue_count,
                                 .events = events,
                                 .count = count,
                                 .accepted_ms = first.accepted_ms,
                                 .note = span_of(word, sizeof word),
                                 .other_note = span_of(more, sizeof more) };
    enum store_status status = m->log->ops->share(m->log, &share, &ticket);
    store_locator at[MODEL_RUN_MAX];
    for (uint32_t i = 0; i < count; i++)
        at[i] = events[i].locator;
    free(bytes);
    for (uint32_t i = 0; status == STORE_LATER && i < queue_count; i++) {
        for (uint32_t k = 0; k < count; k++)
            events[k].locator = at[k];
        took_share(m, queues[i], &share, i, like, ticket);
    }
    if (status == STORE_LATER)
        return true;
    if (status == STORE_FULL) {
        model_expect(m, room < (uint64_t)count * (size + 192) + queue_count * 48, "refused although there was room",
                     room, count);
        m->refused++;
    } else {
        model_expect(m, status == STORE_FAILED, "share's answer", status, 0);
    }
    return false;
}

void model_note(struct model *m)
{
    uint8_t word[8];
    uint64_t ticket = 0;
    wire_store64(word, m->notes + 1);
    enum store_status status = m->log->ops->note(m->log, span_of(word, sizeof word), &ticket);
    if (status == STORE_FAILED)
        return;
    model_expect(m, status == STORE_LATER && ticket >= m->ticket, "note's answer", status, ticket);
    m->ticket = ticket;
    m->notes++;
    model_expect(m, m->notes < MODEL_NOTES, "too many notes for the test", m->notes, 0);
    m->note_tickets[m->notes] = ticket;
}

/* ------------------------------------------------------------------ out */

static void gone(struct model *m, struct model_queue *q, struct model_event *e)
{
    e->settled = true;
    e->settle_epoch = m->epoch;
    e->at = 0;
    q->live--;
    q->live_bytes -= e->size;
}

void model_settle(struct model *m, struct model_queue *q, uint64_t sequence, enum store_cause cause)
{
    struct model_event *e = &q->events[sequence];
    m->epoch++;
    m->log->ops->settle(m->log, q->id, sequence, e->at, e->size, cause);
    gone(m, q, e);
}

void model_settle_rest(struct model *m, struct model_queue *q, uint64_t from)
{
    uint64_t bytes = 0;
    m->epoch++;
    for (uint64_t s = from; s < q->next; s++) {
        struct model_event *e = &q->events[s];
        if (!e->exists || e->settled)
            continue;
        if (e->at)
            model_release(m, q, s);
        bytes += e->size;
        gone(m, q, e);
    }
    m->log->ops->settle_rest(m->log, q->id, from, bytes, CAUSE_PURGED);
}

void model_release(struct model *m, struct model_queue *q, uint64_t sequence)
{
    struct model_event *e = &q->events[sequence];
    m->log->ops->release(m->log, q->id, e->at);
    e->at = 0;
}

void model_forget(struct model *m, struct model_queue *q)
{
    for (uint64_t s = 1; s < q->next; s++) {
        if (q->events[s].at)
            model_release(m, q, s);
    }
    q->forget_epoch = ++m->epoch;
    q->forgotten = true;
    m->log->ops->forget(m->log, q->id);
}

void model_ask_settled(struct model *m)
{
    uint64_t ticket = m->log->ops->settled_ticket(m->log);
    if (m->failed)
        return;
    if (ticket == 0) {
        m->durable_epoch = m->epoch;
        return;
    }
    model_expect(m, ticket > m->done, "a settlement's ticket is one to come", ticket, m->done);
    if (ticket > m->ticket)
        m->ticket = ticket;
    m->asked.epoch = m->epoch;
    m->asked.ticket = ticket;
}

uint64_t model_first_live(const struct model_queue *q, uint64_t from)
{
    for (uint64_t s = from; s < q->next; s++) {
        if (q->events[s].exists && !q->events[s].settled)
            return s;
    }
    return 0;
}

void model_load(struct model *m, struct model_queue *q, uint64_t from, uint64_t bytes)
{
    q->loading = true;
    q->load_from = from;
    q->load_done = m->done;
    m->log->ops->load(m->log, q->id, from, bytes, q->id);
}

/* ------------------------------------------------------------------ completions */

static void check_bytes(struct model *m, struct model_queue *q, uint64_t sequence, store_locator at)
{
    const struct model_event *e = &q->events[sequence];
    struct span lane;
    struct wire_field f = { 0 };
    uint8_t *want = xmalloc(e->size + 1u);
    m->log->ops->read(m->log, q->id, at, &lane);
    struct wire_reader r = wire_open(lane);
    model_expect(m, lane.data[0] == BATCH_EVENT_TAG && wire_next(&r, &f) && wire_done(&r), "lane form", q->id,
                 sequence);
    fill(want, e);
    model_expect(m, span_equal(f.bytes, span_of(want, e->size)), "bytes as they were", q->id, sequence);
    free(want);
}

static void check_loaded(struct model *m, struct model_queue *q, const struct store_completion *done)
{
    uint64_t expected = q->load_from;
    for (size_t i = 0; i < done->count; i++) {
        const struct store_loaded *l = &done->events[i];
        struct model_event *e = &q->events[l->sequence];
        expected = model_first_live(q, expected);
        model_expect(m, l->sequence == expected, "loaded in order, none left out", l->sequence, expected);
        model_expect(m, m->failed || e->ticket <= m->done, "only what is durable is loaded", l->sequence, e->ticket);
        model_expect(m, l->size == e->size && l->accepted_ms == e->accepted_ms, "size and time", l->sequence, l->size);
        check_bytes(m, q, l->sequence, l->locator);
        if (e->at)
            m->log->ops->release(m->log, q->id, l->locator);
        else
            e->at = l->locator;
        expected++;
    }
    m->loaded += done->count;
    if (done->count == 0) {
        uint64_t s = model_first_live(q, q->load_from);
        model_expect(m, s == 0 || q->events[s].ticket > q->load_done, "said that nothing is there", q->id, s);
    }
}

static void took_durable(struct model *m, const struct store_completion *done)
{
    model_expect(m, !m->failed, "nothing completes after a failure", done->ticket, 0);
    if (done->status == STORE_FAILED) {
        if (!m->may_fail)
            fail_msg("seed %llu step %llu: %s", (unsigned long long)m->seed, (unsigned long long)m->step,
                     log_failure(m->log));
        m->failed = true;
        m->failures++;
        model_expect(m, strstr(log_failure(m->log), ".log") || strstr(log_failure(m->log), "checkpoint"),
                     "the trouble names the file", 0, 0);
        return;
    }
    model_expect(m, done->ticket > m->done && done->ticket < UINT64_MAX, "completions go up", done->ticket, m->done);
    m->done = done->ticket;
    if (m->asked.ticket && m->asked.ticket <= m->done && m->asked.epoch > m->durable_epoch)
        m->durable_epoch = m->asked.epoch;
}

void model_poll(struct model *m)
{
    struct store_completion done;
    while (m->log->ops->poll(m->log, &done)) {
        if (done.kind == STORE_DURABLE) {
            took_durable(m, &done);
            continue;
        }
        struct model_queue *q = &m->queues[done.queue - 1];
        model_expect(m, q->loading && done.tag == q->id, "a load that was asked for", done.queue, done.tag);
        q->loading = false;
        if (q->forgotten)
            model_expect(m, done.count == 0, "events of a forgotten queue", done.queue, done.count);
        else
            check_loaded(m, q, &done);
    }
    log_validate(m->log);
}

void model_turn(struct model *m, int64_t ms, uint64_t steps)
{
    m->step++;
    m->now = mono_add_ms(m->now, ms);
    if (m->waits)
        log_may_wait(m->log, model_random(m, 2));
    m->log->ops->flush(m->log, m->now);
    log_validate(m->log);
    for (uint64_t i = 0; i < steps && disk_step(m->disk, &m->random); i++) {
    }
    if (steps == UINT64_MAX || model_random(m, 3)) /* else what is ready waits, and may be settled meanwhile */
        model_poll(m);
}

static bool under_way(struct model *m)
{
    bool loading = false;
    for (uint32_t i = 0; i < m->queue_count; i++)
        loading |= m->queues[i].loading;
    return loading || disk_pending(m->disk) || m->log->ops->settled_ticket(m->log) || m->done < m->ticket;
}

void model_quiet(struct model *m)
{
    for (int i = 0; !m->failed; i++) {
        if (!under_way(m) && i > 50)
            break;
        model_expect(m, i < 2000, "comes to rest", m->done, m->ticket);
        model_ask_settled(m);
        model_turn(m, 50, UINT64_MAX);
    }
    for (uint32_t i = 0; !m->failed && i < m->queue_count; i++)
        model_expect(m, m->log->ops->unsettled(m->log, m->queues[i].id) == 0, "all settlements are durable", i, 0);
}

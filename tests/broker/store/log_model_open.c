/* The model: opening, and comparing what came back. */
#include "tests/broker/store/log_model.h"

#include "base/xalloc.h"
#include "proto/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ------------------------------------------------------------------ the state that checkpoints carry */

static void put(struct buf *b, uint64_t value)
{
    wire_store64(buf_reserve(b, 8), value);
    b->size += 8;
}

static void snapshot(void *context, struct buf *out)
{
    struct model *m = context;
    put(out, m->notes);
    put(out, m->queue_count);
    for (uint32_t i = 0; i < m->queue_count; i++) {
        put(out, m->queues[i].next);
        put(out, m->queues[i].live);
    }
}

static bool restore(void *context, struct span state)
{
    struct model *m = context;
    model_expect(m, state.size >= 16, "the state is there", state.size, 0);
    m->books_notes = wire_load64(state.data);
    uint64_t count = wire_load64(state.data + 8);
    model_expect(m, state.size == 16 + count * 16 && count <= m->queue_count, "the state is whole", state.size, count);
    for (uint64_t i = 0; i < count; i++) {
        m->queues[i].books_next = wire_load64(state.data + 16 + i * 16);
        m->queues[i].books_live = wire_load64(state.data + 24 + i * 16);
    }
    return true;
}

/* ------------------------------------------------------------------ replay */

static void replay_run(void *context, const struct store_run *run, uint64_t bytes)
{
    struct model *m = context;
    model_expect(m, run->queue <= m->queue_count && run->first + run->count <= m->queues[run->queue - 1].next,
                 "a run that was appended", run->queue, run->first);
    struct model_queue *q = &m->queues[run->queue - 1];
    uint64_t sum = 0;
    for (uint64_t s = run->first; s < run->first + run->count; s++) {
        model_expect(m, q->events[s].exists && q->events[s].accepted_ms == run->accepted_ms, "invented", q->id, s);
        sum += q->events[s].size;
    }
    model_expect(m, sum == bytes, "bytes of a run", sum, bytes);
    uint64_t note = q->events[run->first].more ? q->events[run->first].salt : run->first;
    model_expect(m, run->note.size == 8 && wire_load64(run->note.data) == note, "its note", run->first, note);
    model_expect(m, run->first >= q->books_next, "runs come once", run->first, q->books_next);
    q->books_next = run->first + run->count;
    q->books_live += run->count;
}

static void replay_settled(void *context, uint32_t queue, enum store_cause cause, uint64_t first, uint64_t count)
{
    struct model *m = context;
    (void)cause;
    struct model_queue *q = &m->queues[queue - 1];
    for (uint64_t s = first; s < first + count; s++)
        model_expect(m, q->forgotten || q->events[s].settled, "settled without being", queue, s);
    model_expect(m, count <= q->books_live, "more left than came", queue, count);
    q->books_live -= count;
}

static void replay_note(void *context, struct span bytes)
{
    struct model *m = context;
    if (bytes.size == 0)
        return; /* of a repair */
    model_expect(m, bytes.size == 8 && wire_load64(bytes.data) == m->books_notes + 1, "notes come in order",
                 m->books_notes, wire_load64(bytes.data));
    m->books_notes++;
    model_expect(m, m->books_notes <= m->notes, "a note that was written", m->books_notes, m->notes);
}

/* ------------------------------------------------------------------ comparing */

struct visit {
    struct model *m;
    struct model_queue *q;
    uint64_t count, last;
};

static void is_back(void *context, uint64_t first, uint64_t end)
{
    struct visit *v = context;
    model_expect(v->m, first > v->last && end > first && end <= v->q->next, "live sequences are those appended", first,
                 end);
    for (uint64_t s = first; s < end; s++) {
        model_expect(v->m, v->q->events[s].exists, "a live event that never was", v->q->id, s);
        v->q->events[s].back = true;
        v->count++;
    }
    v->last = end - 1;
}

/* The last ticket that is certainly on disk, judging by what came back. */
static uint64_t reached(const struct model *m)
{
    uint64_t most = 0;
    for (uint32_t i = 0; i < m->queue_count; i++) {
        for (uint64_t s = 1; s < m->queues[i].next; s++) {
            const struct model_event *e = &m->queues[i].events[s];
            if (e->back && e->ticket > most)
                most = e->ticket;
        }
    }
    if (m->books_notes && m->note_tickets[m->books_notes] > most)
        most = m->note_tickets[m->books_notes];
    return most;
}

static void compare_queue(struct model *m, struct model_queue *q, uint64_t floor, uint64_t durable_epoch)
{
    uint64_t said = 0, sum = 0;
    struct visit v = { .m = m, .q = q };
    for (uint64_t s = 1; s < q->next; s++)
        sum += q->events[s].back ? q->events[s].size : 0;
    log_each_live(m->log, q->id, is_back, &v, &said);
    bool gone_for_sure = q->forgotten && q->forget_epoch <= durable_epoch;
    model_expect(m, !gone_for_sure || v.count == 0, "a forgotten queue came back", q->id, v.count);
    for (uint64_t s = 1; s < q->next; s++) {
        const struct model_event *e = &q->events[s];
        if (!e->exists)
            continue;
        if (e->settled)
            model_expect(m, !e->back || e->settle_epoch > durable_epoch, "settled durably, and back", q->id, s);
        else if (e->ticket <= floor && !q->forgotten)
            model_expect(m, e->back, "confirmed, and lost", q->id, s);
    }
    if (q->forgotten)
        return;
    model_expect(m, said == sum, "bytes of what is live", said, sum);
    model_expect(m, q->books_live == v.count, "the books agree", q->books_live, v.count);
    model_expect(m, q->books_next > v.last && q->books_next <= q->next, "the next sequence", q->books_next, q->next);
}

static void look(struct model *m)
{
    for (uint32_t i = 0; i < m->queue_count; i++) {
        struct visit v = { .m = m, .q = &m->queues[i] };
        uint64_t bytes;
        for (uint64_t s = 1; s < v.q->next; s++)
            v.q->events[s].back = false;
        log_each_live(m->log, v.q->id, is_back, &v, &bytes);
    }
}

/* Makes what came back the model's state. */
static void adopt(struct model_queue *q)
{
    uint64_t end = q->forgotten ? q->next : q->books_next;
    q->live = q->live_bytes = 0;
    for (uint64_t s = 1; s < q->next; s++) {
        struct model_event *e = &q->events[s];
        if (!e->exists)
            continue;
        e->ticket = 0;
        e->at = 0;
        e->settled = !e->back;
        e->settle_epoch = 0;
        q->live += e->back;
        q->live_bytes += e->back ? e->size : 0;
        if (s >= end)
            *e = (struct model_event){ 0 };
    }
    q->next = end;
    q->loading = false;
}

static void compare(struct model *m, enum model_end how)
{
    bool kept = how == MODEL_STOP || (how == MODEL_KILL && !m->failed) || m->config.sync == LOG_SYNC_GROUP;
    uint64_t durable_epoch = kept ? m->durable_epoch : 0, floor = kept ? m->done : 0;
    look(m);
    uint64_t most = reached(m);
    for (uint64_t n = m->books_notes + 1; n <= m->notes; n++)
        model_expect(m, m->note_tickets[n] > most && m->note_tickets[n] > floor, "a note was lost", n,
                     m->note_tickets[n]);
    for (uint32_t i = 0; i < m->queue_count; i++)
        compare_queue(m, &m->queues[i], most > floor ? most : floor, how == MODEL_STOP ? m->epoch : durable_epoch);
    for (uint32_t i = 0; i < m->queue_count; i++)
        adopt(&m->queues[i]);
    m->notes = m->books_notes;
    for (uint64_t n = 0; n <= m->notes; n++)
        m->note_tickets[n] = 0;
}

/* ------------------------------------------------------------------ life */

void model_open(struct model *m, enum model_end how)
{
    struct error e = { "" };
    struct log_info info;
    struct log_replay replay = { m, restore, replay_run, replay_settled, replay_note };
    m->books_notes = 0;
    for (uint32_t i = 0; i < m->queue_count; i++) {
        m->queues[i].books_next = 1;
        m->queues[i].books_live = 0;
    }
    m->files = disk_open(m->disk);
    m->log = log_open(&m->config, m->files, &replay, &e);
    if (!m->log)
        fail_msg("seed %llu step %llu: %s", (unsigned long long)m->seed, (unsigned long long)m->step, e.text);
    log_set_owner(m->log, &(struct log_owner){ m, snapshot });
    log_validate(m->log);
    compare(m, how);
    m->failed = false;
    m->ticket = m->done = 0;
    m->epoch = m->durable_epoch = 0;
    m->asked.ticket = m->asked.epoch = 0;
    for (uint32_t i = 0; i < m->queue_count; i++) {
        if (m->queues[i].forgotten)
            model_forget(m, &m->queues[i]);
    }
    log_info(m->log, &info);
    model_expect(m, how != MODEL_STOP || !info.torn, "an orderly end leaves nothing torn", 0, 0);
}

static void stop(struct model *m)
{
    for (int i = 0; !m->log->ops->stop(m->log); i++) {
        model_expect(m, i < 2000, "stops", (uint64_t)i, 0);
        model_turn(m, 10, UINT64_MAX);
    }
    model_poll(m);
    if (!m->failed)
        model_expect(m, m->done >= m->ticket, "everything completed before the end", m->done, m->ticket);
}

void model_shut(struct model *m, enum model_end how)
{
    if (how == MODEL_STOP)
        stop(m);
    if (how == MODEL_CRASH)
        disk_crash(m->disk, &m->random);
    if (how == MODEL_KILL)
        disk_kill(m->disk);
    m->log->ops->close(m->log);
    m->files->ops->close(m->files);
}

void model_restart(struct model *m, enum model_end how)
{
    bool failed = m->failed;
    model_shut(m, how);
    model_open(m, how == MODEL_STOP && (failed || m->failed) ? MODEL_CRASH : how);
}

void model_begin(struct model *m, uint64_t seed, uint64_t segment_size, enum log_sync sync)
{
    *m = (struct model){ .seed = seed, .random = seed, .now = { 1000 * MONO_MS } };
    log_config_defaults(&m->config);
    m->config.segment_size = segment_size;
    memcpy(m->config.key, "the log's secret", sizeof m->config.key);
    m->config.sync = sync;
    m->disk = disk_new();
    model_open(m, MODEL_CRASH);
}

void model_end(struct model *m)
{
    model_shut(m, MODEL_KILL);
    disk_free(m->disk);
    for (uint32_t i = 0; i < m->queue_count; i++)
        free(m->queues[i].events);
}

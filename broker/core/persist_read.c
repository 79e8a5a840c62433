/* The core's state from the log: a snapshot, what was noted and put into the log after it, and then the disk is taken over. */
#include "broker/core/attempts.h"
#include "broker/core/doomed.h"
#include "broker/core/items.h"
#include "broker/core/partition.h"
#include "broker/core/persist_attempts.h"
#include "broker/core/persist_fields.h"
#include "broker/core/persist_topic.h"
#include "broker/core/subscriptions.h"
#include "broker/core/topic.h"
#include "broker/core/trouble.h"

/* ------------------------------------------------------------------ notes and the snapshot */

static void take_setting(struct queue_settings *settings, struct span bytes)
{
    struct wire_reader r = wire_open(bytes);
    struct wire_field f;
    uint64_t index = 0, value = 0;
    struct span text = { 0 };
    bool is_text = false;
    while (!wire_done(&r) && wire_next(&r, &f)) {
        index = f.tag == 1 ? f.number : index;
        value = f.tag == 2 ? f.number : value;
        text = f.tag == 3 ? f.bytes : text;
        is_text |= f.tag == 3;
    }
    if (index < QUEUE_SETTING_COUNT && is_text)
        queue_settings_put_text(settings, (enum queue_setting)index, text);
    else if (index < QUEUE_SETTING_COUNT)
        queue_settings_put(settings, (enum queue_setting)index, value);
}

static void take_ledger(struct ledger *l, struct span bytes)
{
    struct wire_reader r = wire_open(bytes);
    struct wire_field f = { 0 };
    while (!wire_done(&r) && wire_next(&r, &f)) {
        switch (f.tag) {
        case LEDGER_ACCEPTED: l->accepted = f.number; break;
        case LEDGER_ACKED: l->acked = f.number; break;
        case LEDGER_DEAD: l->dead_lettered = f.number; break;
        case LEDGER_EXPIRED: l->expired = f.number; break;
        case LEDGER_PURGED: l->purged = f.number; break;
        case LEDGER_DROPPED: l->dropped = f.number; break;
        default: break;
        }
    }
}

struct queue_words {
    uint32_t id;
    struct span name;
    struct queue_settings settings;
    bool paused, closed, has_ledger;
    uint64_t next_sequence, mark;
    struct ledger ledger;
    struct span dedup, waiting, expiring, fresh;
};

static bool read_queue(struct span bytes, struct queue_words *w)
{
    struct wire_reader r = wire_open(bytes);
    struct wire_field f;
    *w = (struct queue_words){ .settings = queue_settings_defaults() };
    while (!wire_done(&r)) {
        if (!wire_next(&r, &f))
            return false;
        switch (f.tag) {
        case QUEUE_ID: w->id = (uint32_t)f.number; break;
        case QUEUE_NAME: w->name = f.bytes; break;
        case QUEUE_SETTING: take_setting(&w->settings, f.bytes); break;
        case QUEUE_PAUSED: w->paused = f.number != 0; break;
        case QUEUE_CLOSED: w->closed = f.number != 0; break;
        case QUEUE_NEXT_SEQUENCE: w->next_sequence = f.number; break;
        case QUEUE_MARK: w->mark = f.number; break;
        case QUEUE_LEDGER:
            w->has_ledger = true;
            take_ledger(&w->ledger, f.bytes);
            break;
        case QUEUE_DEDUP: w->dedup = f.bytes; break;
        case QUEUE_WAITING: w->waiting = f.bytes; break;
        case QUEUE_EXPIRING: w->expiring = f.bytes; break;
        case QUEUE_FRESH: w->fresh = f.bytes; break;
        default: break;
        }
    }
    return w->id && name_valid(w->name);
}

static void take_dedup(struct core *c, struct queue *q, struct span bytes)
{
    for (; bytes.size >= DEDUP_ENTRY_SIZE;
         bytes = span_of(bytes.data + DEDUP_ENTRY_SIZE, bytes.size - DEDUP_ENTRY_SIZE))
        duplicate_restore(c, q, span_of(bytes.data, DEDUP_HASH_SIZE), wire_load64(bytes.data + DEDUP_HASH_SIZE),
                          (int64_t)wire_load64(bytes.data + DEDUP_HASH_SIZE + 8));
}

/* The runs of QUEUE_WAITING, or of QUEUE_EXPIRING. */
static void take_runs(struct core *c, struct queue *q, struct span bytes, bool waiting)
{
    struct wire_reader r = wire_open(bytes);
    int64_t from = 0;
    uint64_t step, first, count;
    while (wire_varint(&r, &step) && wire_varint(&r, &first) && wire_varint(&r, &count)) {
        int64_t at = from + (int64_t)(step >> 1 ^ (0 - (step & 1)));
        struct terms t = { waiting ? at : 0, waiting ? 0 : at };
        if (count && count <= UINT32_MAX)
            calendar_restore(c, q, first, count, &t);
        from = from ? from : at;
    }
}

static void take_fresh(struct core *c, struct queue *q, struct span bytes)
{
    struct wire_reader r = wire_open(bytes);
    uint64_t first, count;
    while (wire_varint(&r, &first) && wire_varint(&r, &count)) {
        if (first < q->next_sequence && count && count <= q->next_sequence - first)
            ranges_add(&calendar_of(c, q)->fresh, first, first + count);
    }
}

static bool read_trouble(struct span bytes, uint32_t *queue, struct trouble *t, struct span *error)
{
    struct wire_reader r = wire_open(bytes);
    struct wire_field f;
    *t = (struct trouble){ 0 };
    *queue = 0;
    *error = (struct span){ 0 };
    while (!wire_done(&r)) {
        if (!wire_next(&r, &f))
            return false;
        switch (f.tag) {
        case TROUBLE_QUEUE: *queue = (uint32_t)f.number; break;
        case TROUBLE_SEQUENCE: t->sequence = f.number; break;
        case TROUBLE_DEAD: t->dead = (enum dead_reason)f.number; break;
        case TROUBLE_FAILURES: t->failures = (uint8_t)f.number; break;
        case TROUBLE_CRASHES: t->crashes = (uint8_t)f.number; break;
        case TROUBLE_STATUS: t->status = (uint16_t)f.number; break;
        case TROUBLE_ATTEMPT: t->attempt = (uint16_t)f.number; break;
        case TROUBLE_SIZE: t->size = (uint32_t)f.number; break;
        case TROUBLE_FIRST: t->first_ms = (int64_t)f.number; break;
        case TROUBLE_LAST: t->last_ms = (int64_t)f.number; break;
        case TROUBLE_ERROR: *error = f.bytes; break;
        case TROUBLE_DROPPED: t->dropped = f.number != 0; break;
        case TROUBLE_DELAY: t->delay_ms = f.number; break;
        case TROUBLE_SINCE: t->since_ms = (int64_t)f.number; break;
        default: break;
        }
    }
    t->since_ms = t->since_ms ? t->since_ms : t->last_ms;
    return t->sequence && t->dead <= DEAD_LAST;
}

/* The queue in which it died by that; NULL: it did not, or was dead before. */
static struct queue *take_trouble(struct core *c, struct span bytes, enum dead_reason *why)
{
    struct trouble words;
    struct span error;
    uint32_t queue;
    struct queue *q = read_trouble(bytes, &queue, &words, &error) ? queue_by_id(c, queue) : NULL;
    if (!q || !q->durable)
        return NULL;
    struct trouble *t = trouble_of(q, words.sequence);
    bool died = words.dead && !t->dead;
    t->dead = words.dead;
    t->dropped = words.dropped;
    t->failures = words.failures;
    t->crashes = words.crashes;
    t->attempt = words.attempt;
    t->size = words.size;
    t->first_ms = words.first_ms;
    t->last_ms = words.last_ms;
    t->delay_ms = words.delay_ms;
    t->since_ms = words.since_ms;
    trouble_say(t, words.status, error);
    persist_take_attempts(c, q, t, bytes);
    t->recovered = attempts_known(t);
    *why = t->dead;
    if (died)
        dead_restore(q, t);
    return died ? q : NULL;
}

/* One that dies is counted here; in a snapshot the books have it. */
static void take_trouble_note(struct core *c, struct span bytes)
{
    enum dead_reason why;
    struct queue *q = take_trouble(c, bytes, &why);
    if (q)
        ++*dead_book(&q->ledger, why);
}

static void take_troubles(struct core *c, struct span queue)
{
    struct wire_reader r = wire_open(queue);
    struct wire_field f;
    enum dead_reason why; /* the books know */
    while (!wire_done(&r) && wire_next(&r, &f)) {
        if (f.tag == QUEUE_TROUBLE)
            take_trouble(c, f.bytes, &why);
    }
}

static bool take_queue(struct core *c, struct span bytes)
{
    struct queue_words w;
    if (!read_queue(bytes, &w))
        return false;
    struct queue *q = queue_find(c, w.name);
    if (!q) {
        uint32_t next = c->next_queue_id;
        c->next_queue_id = w.id - 1;
        q = queue_create(c, w.name, &w.settings);
        c->next_queue_id = next > w.id ? next : w.id;
    }
    q->settings = w.settings;
    partitions_set(q);
    q->paused = w.paused;
    q->closed = w.closed;
    if (q->durable && w.has_ledger) {
        q->ledger = w.ledger;
        q->next_sequence = w.next_sequence;
        q->durable->recovered_mark = w.mark;
        take_dedup(c, q, w.dedup);
        take_runs(c, q, w.waiting, true);
        take_runs(c, q, w.expiring, false);
        take_fresh(c, q, w.fresh);
        take_troubles(c, bytes);
    }
    return true;
}

static struct producer *producer_of(struct core *c, struct token id)
{
    struct producer *p = NULL;
    HASH_FIND(hh, c->producers, &id, sizeof id, p);
    if (!p)
        p = producer_add(c, id);
    p->recovered = true;
    return p;
}

static struct destination *lasting_destination(struct producer *p, struct span name)
{
    struct destination *d = destination_of(p, name);
    d->lasts = true;
    return d;
}

static void take_run(struct core *c, struct destination *d, struct span bytes)
{
    struct wire_reader r = wire_open(bytes);
    struct wire_field f;
    struct outcome o = { 0 };
    while (!wire_done(&r) && wire_next(&r, &f)) {
        switch (f.tag) {
        case RUN_FIRST: o.first = f.number; break;
        case RUN_COUNT: o.count = f.number; break;
        case RUN_SEQUENCE: o.sequence = f.number; break;
        case RUN_REASON: o.reason = (uint32_t)f.number; break;
        case RUN_FLAGS: o.flags = (uint32_t)f.number; break;
        default: break;
        }
    }
    uint64_t offset = o.sequence;
    if (o.flags & RUN_TOPIC) {
        persist_take_targets(c, bytes, RUN_TARGET, &d->newest, &o);
        o.sequence += offset;
    }
    if (o.count)
        destination_restore(d, &o);
}

static void take_destination(struct core *c, struct producer *p, struct span bytes)
{
    struct wire_reader r = wire_open(bytes);
    struct wire_field f;
    struct destination *d = NULL;
    while (!wire_done(&r) && wire_next(&r, &f)) {
        if (f.tag == DESTINATION_NAME && name_valid(f.bytes))
            d = lasting_destination(p, f.bytes);
        else if (d && f.tag == DESTINATION_NEXT)
            d->next = f.number;
        else if (d && f.tag == DESTINATION_SEEN)
            d->seen = f.number;
        else if (d && f.tag == DESTINATION_RUN)
            take_run(c, d, f.bytes);
    }
}

static bool take_producer(struct core *c, struct span bytes)
{
    struct wire_reader r = wire_open(bytes);
    struct wire_field f;
    struct token id = { 0 };
    uint64_t epoch = 0;
    struct producer *p = NULL;
    while (!wire_done(&r)) {
        if (!wire_next(&r, &f))
            return false;
        if (f.tag == PRODUCER_HIGH)
            id.high = f.number;
        else if (f.tag == PRODUCER_LOW)
            id.low = f.number;
        else if (f.tag == PRODUCER_EPOCH)
            epoch = f.number;
        else if (f.tag == PRODUCER_DESTINATION)
            take_destination(c, p = producer_of(c, id), f.bytes);
    }
    if (!p)
        p = producer_of(c, id);
    if (epoch > p->epoch)
        p->epoch = epoch;
    return true;
}

static void take_mark(struct core *c, struct span bytes)
{
    struct wire_reader r = wire_open(bytes);
    struct wire_field f;
    struct queue *q = NULL;
    while (!wire_done(&r) && wire_next(&r, &f)) {
        if (f.tag == MARK_QUEUE)
            q = queue_by_id(c, f.number);
        else if (q && q->durable && f.tag == MARK_END && f.number > q->durable->recovered_mark)
            q->durable->recovered_mark = f.number;
    }
}

static void take_outcome(struct core *c, struct span bytes)
{
    struct wire_reader r = wire_open(bytes);
    struct wire_field f;
    struct token id = { 0 };
    struct destination *d = NULL;
    while (!wire_done(&r) && wire_next(&r, &f)) {
        const struct queue *q;
        if (f.tag == OUTCOME_HIGH)
            id.high = f.number;
        else if (f.tag == OUTCOME_LOW)
            id.low = f.number;
        else if (f.tag == OUTCOME_QUEUE && (q = queue_by_id(c, f.number)))
            d = lasting_destination(producer_of(c, id), span_str(q->name));
        else if (f.tag == OUTCOME_TOPIC && name_valid(f.bytes))
            d = lasting_destination(producer_of(c, id), f.bytes);
        else if (d && f.tag == OUTCOME_SEEN)
            destination_seen(d, f.number);
        else if (d && f.tag == OUTCOME_RUN)
            take_run(c, d, f.bytes);
    }
}

static void take_deleted(struct core *c, uint64_t id)
{
    struct queue *q = queue_by_id(c, id);
    if (!q)
        return;
    q->ledger.purged += q->ledger.accepted - (q->ledger.acked + q->ledger.dead_lettered + q->ledger.expired +
                                              q->ledger.purged + q->ledger.dropped);
    ledger_add(&c->closed_ledger, &q->ledger);
    topic_forget_queue(c, q);
    queue_free(c, q);
}

static bool take_field(struct core *c, const struct wire_field *f)
{
    switch (f->tag) {
    case NOTE_QUEUE: return take_queue(c, f->bytes);
    case NOTE_PRODUCER: return take_producer(c, f->bytes);
    case NOTE_DELETED: take_deleted(c, f->number); return true;
    case NOTE_MARK: take_mark(c, f->bytes); return true;
    case NOTE_OUTCOME: take_outcome(c, f->bytes); return true;
    case NOTE_TROUBLE: take_trouble_note(c, f->bytes); return true;
    case NOTE_TOPIC: return persist_take_topic(c, f->bytes);
    case NOTE_TOPIC_DELETED: persist_take_topic_deleted(c, f->number); return true;
    case NOTE_SUBSCRIPTION: return subscription_restore(c, f->bytes, false);
    case NOTE_SUBSCRIPTION_DELETED: return subscription_restore(c, f->bytes, true);
    case STATE_SUBSCRIPTION_REVISION: c->subscription_revision = f->number; return true;
    case STATE_NEXT_QUEUE: c->next_queue_id = (uint32_t)f->number; return true;
    case STATE_CLOSED_LEDGER: take_ledger(&c->closed_ledger, f->bytes); return true;
    default: return true;
    }
}

static bool restore(void *context, struct span state)
{
    struct wire_reader r = wire_open(state);
    struct wire_field f;
    while (!wire_done(&r)) {
        if (!wire_next(&r, &f) || !take_field(context, &f))
            return false;
    }
    return true;
}

static void replay_note(void *context, struct span bytes)
{
    restore(context, bytes);
}

/* ------------------------------------------------------------------ replaying runs and settlements */

static void replay_hashes(struct core *c, struct queue *q, const struct store_run *run, struct span hashes)
{
    for (size_t i = 0; i < run->count && hashes.size >= (i + 1) * DEDUP_HASH_SIZE; i++)
        duplicate_restore(c, q, span_of(hashes.data + i * DEDUP_HASH_SIZE, DEDUP_HASH_SIZE), run->first + i,
                          run->accepted_ms);
}

static void replay_origin(struct core *c, struct queue *q, const struct store_run *run)
{
    struct wire_reader r = wire_open(run->note);
    struct wire_field f;
    struct token id = { 0 };
    struct span topic = { 0 };
    uint64_t first = 0, seen = 0;
    struct terms terms = { 0 };
    while (!wire_done(&r) && wire_next(&r, &f)) {
        switch (f.tag) {
        case ORIGIN_HIGH: id.high = f.number; break;
        case ORIGIN_LOW: id.low = f.number; break;
        case ORIGIN_FIRST: first = f.number; break;
        case ORIGIN_SEEN: seen = f.number; break;
        case ORIGIN_HASHES: replay_hashes(c, q, run, f.bytes); break;
        case ORIGIN_TOPIC: topic = f.bytes; break;
        case ORIGIN_NOT_BEFORE: terms.not_before_ms = (int64_t)f.number; break;
        case ORIGIN_EXPIRES: terms.expires_ms = (int64_t)f.number; break;
        default: break;
        }
    }
    terms = calendar_terms(q, &terms, run->accepted_ms); /* the settings are those of then */
    if (terms.not_before_ms || terms.expires_ms)
        calendar_restore(c, q, run->first, run->count, &terms);
    if (token_is_zero(id) || first == 0)
        return;
    struct destination *d = lasting_destination(producer_of(c, id), topic.size ? topic : span_str(q->name));
    struct outcome o = { .first = first,
                         .count = run->count,
                         .reason = REASON_ok,
                         .sequence = run->first,
                         .flags = c->config.confirm_synced ? RUN_DURABLE : 0 };
    if (topic.size)
        persist_take_targets(c, run->note, ORIGIN_TARGET, &d->newest, &o);
    destination_restore(d, &o);
    destination_seen(d, seen);
}

static void replay_run(void *context, const struct store_run *run, uint64_t bytes)
{
    struct core *c = context;
    struct queue *q = queue_by_id(c, run->queue);
    (void)bytes;
    if (!q || !q->durable)
        return;
    q->next_sequence = run->first + run->count;
    q->ledger.accepted += run->count;
    replay_origin(c, q, run);
}

static void forget_settled(struct queue *q, struct trouble *t)
{
    if (!t)
        return;
    q->dead -= t->dead != DEAD_NOT;
    q->dead_bytes -= t->dead ? t->size : 0;
    trouble_forget(q, t);
}

/* Whichever is fewer is gone through: settlements, or troubles. */
static void replay_settled(void *context, uint32_t queue, enum store_cause cause, uint64_t first, uint64_t count)
{
    struct queue *q = queue_by_id(context, queue);
    if (!q)
        return;
    if (cause != CAUSE_REMOVED)
        *ledger_of(&q->ledger, cause) += count;
    if (count < HASH_COUNT(q->troubles)) {
        for (uint64_t s = first; s < first + count; s++)
            forget_settled(q, trouble_find(q, s));
        return;
    }
    struct trouble *t, *next;
    HASH_ITER (hh, q->troubles, t, next) {
        if (t->sequence >= first && t->sequence - first < count)
            forget_settled(q, t);
    }
}

struct log_replay core_replay(struct core *core)
{
    return (struct log_replay){ core, restore, replay_run, replay_settled, replay_note };
}

/* ------------------------------------------------------------------ taking over */

static void add_live(void *context, uint64_t first, uint64_t end)
{
    backlog_add(context, first, end - first, 0);
}

/* Where a confirm does not wait for the sync, confirmed events may be gone after an unclean stop: their sequences are not given to
 * others, which a late receipt or a log of the application would take for the same. */
#define SEQUENCES_SKIPPED (UINT64_C(1) << 24)

/* What is dead is none of the backlog. */
static void take_out_dead(struct queue *q)
{
    struct durable *d = q->durable;
    for (struct trouble *t = dead_next(q, NULL); t; t = dead_next(q, t))
        d->backlog_events -= ranges_remove(&d->backlog, t->sequence, t->sequence + 1);
    d->backlog_bytes -= q->dead_bytes < d->backlog_bytes ? q->dead_bytes : d->backlog_bytes;
    if (d->backlog_events == 0)
        d->backlog_bytes = 0;
}

/* Everything a queue held before is its backlog. */
static bool take_over(struct core *c, struct queue *q, struct error *e)
{
    struct durable *d = q->durable;
    struct log_info log;
    uint64_t bytes;
    log_info(c->disk, &log);
    if (log.unclean && !c->config.confirm_synced)
        q->next_sequence += SEQUENCES_SKIPPED;
    log_each_live(c->disk, q->id, add_live, q, &bytes);
    d->backlog_bytes = bytes;
    take_out_dead(q);
    calendar_take_over(c, q, !log.unclean);
    q->bytes = d->backlog_bytes;
    q->ready = d->backlog_events;
    q->delayed = backlog_on_disk(q) - d->backlog_events;
    doomed_take_over(c, q);
    uint64_t first = q->next_sequence, end;
    ranges_next(&d->backlog, 0, &first, &end);
    q->base = q->loaded = q->next_ready = d->backlog_events ? first : q->next_sequence;
    d->end = d->recovered_end = q->next_sequence;
    d->mark = d->mark_written = d->recovered_mark > 1 ? d->recovered_mark : 1;
    const struct ledger *l = &q->ledger;
    uint64_t gone = l->acked + l->dead_lettered + l->expired + l->purged + l->dropped;
    if (l->accepted == gone + queue_remaining(q))
        return true;
    return error_set(e,
                     "the books of queue '%s' do not balance: accepted %llu, left %llu, remaining %llu; run "
                     "sluice-broker --check on the data directory",
                     q->name, (unsigned long long)l->accepted, (unsigned long long)gone,
                     (unsigned long long)queue_remaining(q));
}

bool core_open_disk(struct core *c, struct store *disk, struct now now, struct error *e)
{
    c->now = now;
    c->disk = disk;
    for (uint32_t i = 0; i < c->queue_count; i++) {
        struct queue *q = c->by_name[i];
        if (q->durable && !take_over(c, q, e))
            return false;
        core_run_queue(c, q);
    }
    for (struct producer *p = c->producers; p; p = p->hh.next) {
        for (struct destination *d = p->destinations; d; d = d->hh.next)
            destination_close_holes(d);
        producer_release(c, p);
    }
    return true;
}

/* Queues from the log: their settings, what a snapshot has of their events, and the troubles of those. */
#include "broker/core/durable/persist_read.h"

#include "broker/core/deliver/attempts.h"
#include "broker/core/durable/persist_attempts.h"
#include "broker/core/durable/persist_fields.h"
#include "broker/core/durable/salvaged.h"
#include "broker/core/partition/partition.h"
#include "broker/core/queue/schedule.h"
#include "broker/core/topic/topic.h"

/* ------------------------------------------------------------------ settings, ledger, what a snapshot has of events */

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

void persist_take_ledger(struct ledger *l, struct span bytes)
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

struct queue_fields {
    uint32_t id;
    struct span name;
    struct queue_settings settings;
    bool paused, closed, has_ledger;
    uint64_t next_sequence, mark;
    struct ledger ledger;
    struct span dedup, waiting, expiring, fresh;
};

static bool read_queue(struct span bytes, struct queue_fields *w)
{
    struct wire_reader r = wire_open(bytes);
    struct wire_field f;
    *w = (struct queue_fields){ .settings = queue_settings_defaults() };
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
            persist_take_ledger(&w->ledger, f.bytes);
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
            schedule_restore(c, q, first, count, &t);
        from = from ? from : at;
    }
}

static void take_fresh(struct queue *q, struct span bytes)
{
    struct wire_reader r = wire_open(bytes);
    uint64_t first, count;
    while (wire_varint(&r, &first) && wire_varint(&r, &count)) {
        if (first < q->next_sequence && count && count <= q->next_sequence - first)
            ranges_add(&q->durable->fresh, first, first + count);
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

/* Reads a trouble. Returns the queue in which the event died by this; NULL: it did not, or was dead before. */
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
    trouble_set_error(t, words.status, error);
    persist_take_attempts(c, q, t, bytes);
    t->recovered = attempts_known(t);
    *why = t->dead;
    if (died)
        dead_restore(q, t);
    return died ? q : NULL;
}

/* Counts a death in the ledger. In a snapshot the ledger includes it already. */
void persist_take_trouble(struct core *c, struct span bytes)
{
    enum dead_reason why;
    struct queue *q = take_trouble(c, bytes, &why);
    if (q)
        ++*dead_counter(&q->ledger, why);
}

static void take_troubles(struct core *c, struct span queue)
{
    struct wire_reader r = wire_open(queue);
    struct wire_field f;
    enum dead_reason why; /* counted in the snapshot's ledger */
    while (!wire_done(&r) && wire_next(&r, &f)) {
        if (f.tag == QUEUE_TROUBLE)
            take_trouble(c, f.bytes, &why);
    }
}

bool persist_take_queue(struct core *c, struct span bytes)
{
    struct queue_fields w;
    if (!read_queue(bytes, &w))
        return false;
    struct queue *q = salvaged_as(c, w.id, w.name, &w.settings);
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
        take_fresh(q, w.fresh);
        take_troubles(c, bytes);
    }
    return true;
}

/* ------------------------------------------------------------------ other notes */

void persist_take_mark(struct core *c, struct span bytes)
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

void persist_take_deleted(struct core *c, uint64_t id)
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

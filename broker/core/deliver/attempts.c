/* A history is a list of attempts that hangs off a struct trouble; a queue lists its histories by when they began. An
 * attempt is a single allocation with its texts at the end. Items do not refer to any of this, so an event that never
 * failed costs nothing. */
#include "broker/core/deliver/attempts.h"

#include "base/mutation.h"
#include "base/utf8.h"
#include "base/xalloc.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

/* What the allocator adds to each allocation, about. */
#define PIECE 16u
/* Below this a history is begun even for an event that was only handed back. */
#define HISTORY_BYTES_RETURNED (HISTORY_BYTES / 16)

static uint64_t size_of(const struct attempt *a)
{
    size_t texts = a->error_at + strlen(a->text + a->error_at) + 1;
    return PIECE + offsetof(struct attempt, text) + texts;
}

static void count(struct queue *q, struct history *h, uint64_t bytes)
{
    h->bytes += bytes;
    q->history_bytes += bytes;
    *h->total += bytes;
}

static void uncount(struct queue *q, struct history *h, uint64_t bytes)
{
    assert(bytes <= h->bytes);
    h->bytes -= bytes;
    q->history_bytes -= bytes;
    *h->total -= bytes;
}

/* ------------------------------------------------------------------ removing */

static void forget_oldest(struct queue *q, struct history *h)
{
    struct attempt *a = h->oldest;
    h->oldest = a->next;
    h->newest = a->next ? h->newest : NULL;
    h->count--;
    uncount(q, h, size_of(a));
    free(a);
}

void attempts_free(struct queue *q, struct trouble *t)
{
    struct history *h = t->history;
    if (!h)
        return;
    while (h->oldest)
        forget_oldest(q, h);
    uncount(q, h, h->bytes);
    DL_DELETE(q->histories, h);
    t->history = NULL;
    free(h);
}

/* Frees the history, and its trouble too if that holds nothing else. */
static void give_up(struct queue *q, struct trouble *t)
{
    attempts_free(q, t);
    if (!t->failures && !t->crashes && !t->dead && !t->held && !t->dropped && !t->delay_ms)
        trouble_forget(q, t);
}

/* The bound for all queues together, bytes. */
static uint64_t most_of(const struct core *c)
{
    uint64_t part = c->config.memory_budget / HISTORY_PART;
    return part < HISTORY_BYTES_ALL ? part : HISTORY_BYTES_ALL;
}

/* Enforces the bounds after `own` grew, by giving up other histories of the queue. */
static void bound(const struct core *c, struct queue *q, const struct history *own)
{
    while (q->history_bytes > HISTORY_BYTES || c->history_bytes > most_of(c)) {
        struct history *first = q->histories == own ? own->next : q->histories;
        if (!first)
            return;
        give_up(q, first->trouble);
    }
}

/* ------------------------------------------------------------------ adding */

static struct history *history_of(struct core *c, struct queue *q, struct trouble *t)
{
    if (t->history)
        return t->history;
    struct history *h = t->history = xcalloc(1, sizeof *h);
    h->trouble = t;
    h->total = &c->history_bytes;
    count(q, h, PIECE + sizeof *h);
    DL_APPEND(q->histories, h);
    return h;
}

static struct attempt *new_attempt(const struct attempt_info *info, struct span consumer, struct span error)
{
    consumer = utf8_cut(consumer, CONSUMER_NAME_MAX);
    error = trouble_clip_error(error);
    struct attempt *a = xcalloc(1, sizeof *a + consumer.size + error.size + 2);
    a->delivered_ms = info->delivered_ms;
    a->latency_ms = info->latency_ms;
    a->number = (uint16_t)(info->number <= UINT16_MAX ? info->number : UINT16_MAX);
    a->status = (uint16_t)(info->status <= UINT16_MAX ? info->status : 0);
    a->outcome = (uint8_t)info->outcome;
    a->error_at = (uint8_t)(consumer.size + 1);
    if (consumer.size)
        memcpy(a->text, consumer.data, consumer.size);
    if (error.size)
        memcpy(a->text + a->error_at, error.data, error.size);
    return a;
}

static void append(struct core *c, struct queue *q, struct history *h, struct attempt *a)
{
    if (h->newest)
        h->newest->next = a;
    else
        h->oldest = a;
    h->newest = a;
    h->count++;
    count(q, h, size_of(a));
    while (h->count > ATTEMPTS_KEPT) {
        forget_oldest(q, h);
        h->older++;
    }
    bound(c, q, h);
}

static uint32_t latency_of(const struct core *c, const struct lease *l)
{
    int64_t ms = mono_since_ms(c->now.mono, l->delivered);
    return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

static struct attempt_info info_of(const struct core *c, const struct lease *l, const struct item *item)
{
    uint32_t latency = latency_of(c, l);
    return (struct attempt_info){ .number = item->attempt,
                                  .delivered_ms = c->now.wall.ms - (int64_t)latency,
                                  .latency_ms = latency,
                                  .consumer = l->consumer->session->name,
                                  .error = "" };
}

void attempts_add(struct core *c, struct queue *q, uint64_t sequence, const struct item *item,
                  enum attempt_outcome outcome, uint32_t status, struct span error)
{
    const struct lease *l = lease_of(c, q, item);
    bool much = q->history_bytes >= HISTORY_BYTES_RETURNED || c->history_bytes >= most_of(c);
    if (MUTATED(forget_attempts))
        return;
    if (outcome == ATTEMPT_RETURNED && much && (!q->troubles || !trouble_find(q, sequence)))
        return;
    struct attempt_info info = info_of(c, l, item);
    struct trouble *t = trouble_of(q, sequence);
    info.outcome = outcome;
    info.status = status;
    t->attempt = item->attempt;
    append(c, q, history_of(c, q, t), new_attempt(&info, span_str(info.consumer), error));
}

void attempts_restore(struct core *c, struct queue *q, struct trouble *t, const struct attempt_info *info,
                      struct span consumer, struct span error)
{
    const struct attempt *newest = t->history ? t->history->newest : NULL;
    if (newest && newest->number == info->number && newest->delivered_ms == info->delivered_ms)
        return; /* a later note repeats it */
    append(c, q, history_of(c, q, t), new_attempt(info, consumer, error));
}

/* ------------------------------------------------------------------ reading */

/* In logs of earlier brokers only the history has the number. */
uint16_t attempts_known(const struct trouble *t)
{
    uint16_t newest = t->history && t->history->newest ? t->history->newest->number : 0;
    return newest > t->attempt ? newest : t->attempt;
}

struct attempt_info attempt_info(const struct attempt *a)
{
    return (struct attempt_info){ .number = a->number,
                                  .outcome = (enum attempt_outcome)a->outcome,
                                  .delivered_ms = a->delivered_ms,
                                  .latency_ms = a->latency_ms,
                                  .status = a->status,
                                  .consumer = a->text,
                                  .error = a->text + a->error_at };
}

void attempts_describe(struct core *c, const struct queue *q, const struct item *item, struct explained *e)
{
    const struct trouble *t = trouble_find(q, e->event.sequence);
    const struct history *h = t ? t->history : NULL;
    e->attempts_older = h ? h->older : 0;
    e->attempt_count = 0;
    for (const struct attempt *a = h ? h->oldest : NULL; a; a = a->next)
        e->attempts[e->attempt_count++] = attempt_info(a);
    if (item && item->state == ITEM_IN_FLIGHT)
        e->attempts[e->attempt_count++] = info_of(c, lease_of(c, q, item), item);
}

void attempts_validate(const struct core *c)
{
    uint64_t all = 0;
    for (uint32_t i = 0; i < c->queue_count; i++) {
        uint64_t bytes = 0;
        for (const struct history *h = c->by_name[i]->histories; h; h = h->next) {
            uint64_t own = PIECE + sizeof *h, attempts = 0;
            for (const struct attempt *a = h->oldest; a; a = a->next, attempts++)
                own += size_of(a);
            if (own != h->bytes || attempts != h->count || h->trouble->history != h)
                abort();
            bytes += own;
        }
        if (bytes != c->by_name[i]->history_bytes)
            abort();
        all += bytes;
    }
    if (all != c->history_bytes)
        abort();
}

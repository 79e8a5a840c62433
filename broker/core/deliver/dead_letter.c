/* Dead-letter queues. An event that dies in a queue with a dead-letter queue is accepted there as a new event, at the
 * tail, and settled in its old queue by the same step of the store: wherever the broker crashes, the event is in
 * exactly one of the two. Attributes that are added to it tell the consumer what went wrong (proto/dead_letter.h).
 *
 * Which settings are allowed:
 *   - A queue in memory may name one on disk. Until the disk has the event, it is as safe as it was.
 *   - A queue on disk may not name one in memory, where a restart would lose confirmed events.
 *   - Names must not form a cycle: an event that nobody can handle would go round for ever. */
#include "broker/core/deliver/dead_letter.h"

#include "base/mutation.h"
#include "proto/dead_letter.h"

#include <stdio.h>

/* ------------------------------------------------------------------ checking settings */

/* The dead-letter queue of queue `target`; NULL: it has none. */
static const char *next_of(struct core *c, const char *target)
{
    const struct queue *q = queue_find(c, span_str(target));
    return q && q->settings.dead_letter[0] ? q->settings.dead_letter : NULL;
}

/* Writes "a -> b -> a", truncated to `size`. */
static void write_chain(struct core *c, struct span name, const char *target, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "%.*s", (int)name.size, (const char *)name.data);
    for (const char *at = target; at && used < size; at = span_equal(span_str(at), name) ? NULL : next_of(c, at))
        used += (size_t)snprintf(out + used, size - used, " -> %s", at);
}

static bool leads_to(struct core *c, const char *target, struct span name)
{
    const char *at = target;
    while (at && !span_equal(span_str(at), name))
        at = next_of(c, at);
    return at != NULL;
}

static enum reason check_circle(struct core *c, struct span name, const char *target, struct error *why)
{
    char chain[200];
    if (span_equal(span_str(target), name)) {
        error_set(why, "queue '%s' cannot be its own dead_letter; leave it empty to keep dead events beside the queue",
                  target);
        return REASON_invalid;
    }
    if (!leads_to(c, target, name))
        return REASON_ok;
    write_chain(c, name, target, chain, sizeof chain);
    error_set(why, "dead letters would go in a circle: %s; change one of these queues' dead_letter first", chain);
    return REASON_conflict;
}

/* Finds the target, or declares it where queues are declared by their first use. */
static enum reason find_target(struct core *c, struct span name, const char *target, struct queue **to,
                               struct error *why)
{
    *to = queue_find(c, span_str(target));
    if (*to)
        return REASON_ok;
    if (c->config.auto_declare && !c->stopping) {
        bool both = !queue_find(c, name); /* queue `name` is about to be created, too */
        if (both && c->queue_count + 2 > c->config.max_queues) {
            error_set(why,
                      "the broker's max_queues (%u) has no room for '%s', its dead_letter queue, too; delete queues or "
                      "raise it",
                      c->config.max_queues, target);
            return REASON_too_many_queues;
        }
        return operate_declare(c, span_str(target), NULL, false, false, to, NULL, why);
    }
    error_set(why, "there is no queue '%s' for the dead letters of '%.*s'; declare it first (PUT /v1/queues/%s)",
              target, (int)name.size, (const char *)name.data, target);
    return REASON_unknown_queue;
}

static enum reason refuse_memory(const char *from, const char *to, struct error *why)
{
    error_set(
        why,
        "queue '%s' is on disk and its dead_letter '%s' would be in memory, where a restart loses events; declare "
        "'%s' with durability disk",
        from, to, to);
    return REASON_conflict;
}

/* A new queue `name` in memory must not become the dead-letter queue of a queue on disk that still names a deleted
 * one. */
static enum reason check_sources(const struct core *c, struct span name, const struct queue_settings *settings,
                                 struct error *why)
{
    for (uint32_t i = 0; settings->durability == DURABILITY_MEMORY && i < c->queue_count; i++) {
        const struct queue *q = c->by_name[i];
        if (q->durable && span_equal(span_str(q->settings.dead_letter), name) && !MUTATED(letters_to_memory))
            return refuse_memory(q->name, q->settings.dead_letter, why);
    }
    return REASON_ok;
}

enum reason dead_letter_check(struct core *c, struct span name, const struct queue_settings *settings,
                              struct error *why)
{
    const char *target = settings->dead_letter;
    struct queue *to;
    enum reason done = queue_find(c, name) ? REASON_ok : check_sources(c, name, settings, why);
    if (done == REASON_ok && *target)
        done = check_circle(c, name, target, why);
    if (done == REASON_ok && *target)
        done = find_target(c, name, target, &to, why);
    if (done != REASON_ok || !*target || settings->durability == DURABILITY_MEMORY || to->durable)
        return done;
    char from[NAME_MAX_SIZE + 1];
    snprintf(from, sizeof from, "%.*s", (int)name.size, (const char *)name.data);
    return refuse_memory(from, target, why);
}

const struct queue *dead_letter_source(const struct core *c, const char *name)
{
    for (uint32_t i = 0; i < c->queue_count; i++) {
        if (strcmp(c->by_name[i]->settings.dead_letter, name) == 0)
            return c->by_name[i];
    }
    return NULL;
}

/* ------------------------------------------------------------------ sending */

/* Is there room for the event at the target? Between two queues in memory the event's bytes only move, so `size` is
 * added to what is left of the memory budget. Otherwise a broker whose memory is full of events that should be dead
 * could never get rid of them. (`size` includes the added attributes, which may thus exceed the budget.) */
static enum reason take_room(struct core *c, const struct queue *q, const struct queue *to, uint64_t size)
{
    struct room room = queue_room(c, to);
    if (!q->durable && !to->durable)
        room.budget += size;
    return room_take(&room, size);
}

static void accept(struct core *c, struct queue *q, struct queue *to, const struct item *item, uint64_t sequence,
                   struct span event, enum store_cause cause)
{
    struct store *from = queue_store(c, q);
    struct store_leaving leaving = { q->id, sequence, item->at, item->size, cause };
    struct store_event new = { .event = event };
    uint64_t accepted = to->next_sequence, ticket;
    bool same = from == queue_store(c, to);
    queue_accept_from(c, to, &new, same && !MUTATED(copy_dead) ? &leaving : NULL, &ticket);
    if (!same)
        from->ops->settle(from, q->id, sequence, item->at, item->size, cause);
    durable_accepted(c, to, ticket, accepted);
    core_run_queue(c, to);
}

enum dead_hold dead_letter_send(struct core *c, struct queue *q, const struct item *item, const struct trouble *t,
                                enum store_cause cause)
{
    struct queue *to = queue_find(c, span_str(q->settings.dead_letter));
    if (!to || to->closed)
        return to ? HOLD_CLOSED : HOLD_MISSING;
    struct buf event = { 0 };
    dead_letter_write(&event, queue_event(c, q, item->at),
                      &(struct dead_letter){ q->name, t->sequence, item->attempt, trouble_info(t) });
    enum reason room = take_room(c, q, to, event.size);
    if (room == REASON_ok)
        accept(c, q, to, item, t->sequence, buf_span(&event), cause);
    buf_free(&event);
    return room == REASON_ok ? HOLD_NOT : room == REASON_disk ? HOLD_DISK : HOLD_FULL;
}

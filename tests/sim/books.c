/* Checks the queues' ledgers at the end against what was seen outside: every event that a queue says it accepted was
 * seen, or left the queue in a way that nobody sees; and the ledgers have as many of those. */
#include "broker/core/state.h"
#include "tests/sim/sim.h"

#define N(number) ((unsigned long long)(number))

static const struct queue *find(const struct sim *s, unsigned queue)
{
    return queue_find(s->core, span_str(sim_queue_name(queue)));
}

/* The ledger of a queue on disk covers all runs, that of one in memory the last. */
static bool is_in_books(const struct sim *s, const struct fact *f, unsigned queue)
{
    bool was_there = f->queue == queue || f->origin == queue;
    return was_there && f->sequence > 0 && (s->on_disk[queue] || f->incarnation == s->config.incarnation);
}

static uint64_t seen(const struct sim *s, unsigned queue)
{
    uint64_t count = 0;
    for (size_t i = 0; i < s->fact_count; i++)
        count += is_in_books(s, s->facts[i], queue);
    return count;
}

uint64_t books_never_seen(const struct sim *s, unsigned queue)
{
    const struct queue *q = find(s, queue);
    uint64_t accepted = q ? q->ledger.accepted : 0, known = seen(s, queue);
    return accepted > known ? accepted - known : 0;
}

/* ------------------------------------------------------------------ dead letters */

uint64_t books_dead_letters_sent(const struct sim *s)
{
    const struct queue *from = find(s, 0);
    if (!from)
        return 0;
    return from->ledger.dead_lettered + from->ledger.dropped + (s->scenario.expiries ? from->ledger.expired : 0);
}

static uint64_t dead_letters_seen(const struct sim *s)
{
    uint64_t dead_letters = 0;
    for (size_t i = 0; i < s->fact_count; i++)
        dead_letters += fact_is_dead_letter(s->facts[i]);
    return dead_letters;
}

/* Each event that died in the first queue became one event of the second, by both queues' ledgers. */
static void check_dead_letters(struct sim *s)
{
    uint64_t died = books_dead_letters_sent(s), dead_letters = dead_letters_seen(s), unseen = books_never_seen(s, 1);
    if (s->on_disk[0] && (died < dead_letters || died > dead_letters + unseen))
        sim_wrong(s, "%llu events died in %s, and %llu (or %llu more) arrived where they go", N(died),
                  sim_queue_name(0), N(dead_letters), N(unseen));
}

/* ------------------------------------------------------------------ ends */

/* It was seen in the queue, nobody acked it, and it is not dead. */
static bool ended_unseen(struct sim *s, const struct fact *f, unsigned queue)
{
    return f->queue == queue && f->sequence > 0 && !f->ack_asked && !storing_is_dead(s, f);
}

/* The number of events that may have ended unseen: they died, or expired for good, or ended in the dead-letter
 * queue. */
static uint64_t unseen_ends(struct sim *s, const struct queue *q, unsigned queue)
{
    uint64_t ends = storing_dead_unseen(s, queue) + (s->scenario.expiries ? 0 : q->ledger.expired);
    if (s->scenario.dead_letters && queue == 0)
        ends += books_dead_letters_sent(s) - dead_letters_seen(s);
    return ends;
}

/* Checks the events of a queue on disk. */
static void check_ends(struct sim *s, unsigned queue)
{
    const struct queue *q = find(s, queue);
    uint64_t known = seen(s, queue), ended = 0;
    if (!q || q->ledger.accepted < known) {
        sim_wrong(s, "%s says it accepted %llu events, seen were %llu", sim_queue_name(queue),
                  N(q ? q->ledger.accepted : 0), N(known));
        return;
    }
    for (size_t i = 0; i < s->fact_count; i++)
        ended += ended_unseen(s, s->facts[i], queue);
    uint64_t never = q->ledger.accepted - known, ends = unseen_ends(s, q, queue);
    if (never + ended > ends)
        sim_wrong(s, "%s: %llu events were never seen and %llu no more, and only %llu died or expired unseen", q->name,
                  N(never), N(ended), N(ends));
}

/* ------------------------------------------------------------------ topics */

static bool is_elsewhere(const struct fact *f)
{
    bool found = false;
    for (const struct fact *each = f->sibling; each && each != f; each = each->sibling)
        found |= each->sequence > 0;
    return found;
}

/* On disk, with no purges and no deaths, an event sent to the topic arrives in all queues it goes to or in none. In a
 * queue with a ttl it may expire unseen; then it is in that queue's ledger. */
static void check_all_or_none(struct sim *s)
{
    uint64_t missing[SIM_QUEUES] = { 0 };
    for (size_t i = 0; i < s->fact_count; i++) {
        const struct fact *f = s->facts[i];
        if (f->sequence > 0 || !is_elsewhere(f))
            continue;
        if (s->ttl_ms[f->queue] == 0)
            sim_wrong(s, "#%llu, sent to the topic, was not in all of its queues", N(f->id));
        missing[f->queue]++;
    }
    for (unsigned q = 0; q < s->queues; q++) {
        if (missing[q] > books_never_seen(s, q))
            sim_wrong(s, "%llu events, sent to the topic, were not seen in %s, which accepted %llu that nobody saw",
                      N(missing[q]), sim_queue_name(q), N(books_never_seen(s, q)));
    }
}

void books_check(struct sim *s)
{
    if (s->scenario.dead_letters)
        check_dead_letters(s);
    for (unsigned q = 0; q < s->queues && !s->scenario.deletes && !s->scenario.purges && !s->scenario.redrives; q++) {
        if (s->on_disk[q])
            check_ends(s, q);
    }
    if (s->scenario.topics && s->on_disk[0] && !s->scenario.purges && !s->scenario.dies)
        check_all_or_none(s);
}

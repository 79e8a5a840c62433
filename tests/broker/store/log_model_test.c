/* Random operations, crashes and faults against the model. Without arguments: some hundred seeds of each kind. By
 * hand: log_model_test KIND FIRST LAST */
#include "tests/broker/store/log_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEGMENT (64u << 10)

enum kind { KIND_GROUP, KIND_INTERVAL, KIND_NONE, KIND_FULL, KIND_FAULTS, KINDS };

static const char *const names[KINDS] = { "group", "interval", "none", "full", "faults" };

static struct {
    uint64_t loaded, refused, failures, freed, moved;
} seen;

static struct model_queue *any_queue(struct model *m)
{
    for (;;) {
        struct model_queue *q = &m->queues[model_random(m, m->queue_count)];
        if (!q->forgotten)
            return q;
    }
}

static void append_some(struct model *m, struct model_queue *q)
{
    if (q->next + MODEL_RUN_MAX + 16 > MODEL_EVENTS)
        return;
    if (model_random(m, 50) == 0)
        q->next += 1 + model_random(m, 5); /* a hole */
    uint32_t count = 1 + (uint32_t)model_random(m, model_random(m, 4) ? 3 : MODEL_RUN_MAX);
    uint32_t size = (uint32_t)model_random(m, model_random(m, 20) ? 300 : 6000);
    if (count * size > 6000)
        count = 1;
    model_append(m, q, count, size, model_random(m, 3) == 0);
}

/* Mostly the same queues, so that shared runs continue each other; sometimes others. */
static void share_some(struct model *m)
{
    struct model_queue *queues[MODEL_QUEUES];
    uint32_t count = 0;
    for (uint32_t i = 0; i < m->queue_count; i++) {
        struct model_queue *q = &m->queues[i];
        if (!q->forgotten && q->next + MODEL_RUN_MAX + 16 < MODEL_EVENTS && model_random(m, 8))
            queues[count++] = q;
    }
    if (count == 0)
        return;
    uint32_t any = (uint32_t)model_random(m, count); /* it is the first */
    struct model_queue *first = queues[any];
    queues[any] = queues[0];
    queues[0] = first;
    uint32_t size = (uint32_t)model_random(m, model_random(m, 20) ? 300 : 6000);
    uint32_t events = size > 300 ? 1 : 1 + (uint32_t)model_random(m, model_random(m, 4) ? 3 : MODEL_RUN_MAX);
    model_share(m, queues, count, events, size, model_random(m, 3) == 0);
}

static void settle_some(struct model *m, struct model_queue *q)
{
    uint64_t count = model_random(m, 12), skip = model_random(m, 4) ? 0 : model_random(m, 40);
    bool early = model_random(m, 20) == 0;
    enum store_cause cause = (enum store_cause)model_random(m, 5);
    uint64_t s = model_first_live(q, 1);
    for (; s && skip; skip--)
        s = model_first_live(q, s + 1);
    for (; s && count; count--) {
        if (early || q->events[s].ticket <= m->done)
            model_settle(m, q, s, cause);
        s = model_first_live(q, s + 1 + (model_random(m, 10) == 0));
    }
}

/* Settles all but a few stragglers: what compaction is for. */
static void settle_most(struct model *m, struct model_queue *q)
{
    for (uint64_t s = model_first_live(q, 1); s; s = model_first_live(q, s + 1)) {
        if (q->events[s].ticket <= m->done && model_random(m, 12))
            model_settle(m, q, s, CAUSE_ACKED);
    }
}

static void load_some(struct model *m, struct model_queue *q)
{
    uint64_t from = model_first_live(q, model_random(m, 2) ? 1 : 1 + model_random(m, q->next));
    if (!q->loading && from && q->events[from].ticket <= m->done)
        model_load(m, q, from, 1 + model_random(m, 20000));
}

static void release_some(struct model *m, struct model_queue *q)
{
    uint64_t n = model_random(m, 30);
    for (uint64_t s = model_first_live(q, 1); s && n; s = model_first_live(q, s + 1), n--) {
        if (q->events[s].at)
            model_release(m, q, s);
    }
}

static void forget_one(struct model *m)
{
    if (m->queue_count == MODEL_QUEUES)
        return;
    model_forget(m, any_queue(m));
    model_new_queue(m);
}

static void change_faults(struct model *m, enum kind kind)
{
    if (kind == KIND_FULL && model_random(m, 40) == 0) {
        uint64_t used = disk_used(m->disk);
        disk_set_capacity(m->disk, model_random(m, 3) ? used + model_random(m, 2 * SEGMENT) : UINT64_MAX);
    }
    if (kind == KIND_FAULTS && model_random(m, 60) == 0)
        disk_set_fault(m->disk, (enum disk_fault)model_random(m, DISK_FAULTS), true);
}

static void do_something(struct model *m)
{
    struct model_queue *q = any_queue(m);
    switch (model_random(m, 24)) {
    case 0:
    case 1:
    case 2:
    case 3: append_some(m, q); break;
    case 4:
    case 5:
    case 6:
        if (m->shares)
            share_some(m);
        else
            append_some(m, q);
        break;
    case 7:
    case 8:
    case 9:
    case 10:
    case 11: settle_some(m, q); break;
    case 12:
    case 13:
    case 14: load_some(m, q); break;
    case 15:
    case 16: release_some(m, q); break;
    case 17: model_note(m); break;
    case 18: model_ask_settled(m); break;
    case 19:
        if (model_random(m, 3) == 0)
            settle_most(m, q);
        break;
    case 20:
        if (model_random(m, 12) == 0)
            model_settle_rest(m, q, 1 + model_random(m, q->next));
        break;
    case 21:
        if (model_random(m, 40) == 0)
            forget_one(m);
        break;
    default: break;
    }
}

static void clear_faults(struct model *m)
{
    disk_set_capacity(m->disk, UINT64_MAX);
    for (int i = 0; i < DISK_FAULTS; i++)
        disk_set_fault(m->disk, (enum disk_fault)i, false);
}

static void count_seen(struct model *m)
{
    struct log_info info;
    log_info(m->log, &info);
    seen.freed += info.freed_segments;
    seen.moved += info.moved_events;
}

static void restart(struct model *m)
{
    clear_faults(m);
    count_seen(m);
    model_restart(m, (enum model_end)model_random(m, 3));
    if (model_random(m, 5) == 0)
        model_restart(m, MODEL_CRASH); /* right after the start */
}

/* Once the faults stop, everything works again: appends are taken, and settled segments are freed. */
static void drain(struct model *m)
{
    struct log_info info;
    clear_faults(m);
    model_poll(m);
    if (m->failed)
        model_restart(m, MODEL_CRASH);
    model_quiet(m);
    for (uint32_t i = 0; i < m->queue_count; i++) {
        if (!m->queues[i].forgotten)
            model_settle_rest(m, &m->queues[i], 1);
    }
    model_quiet(m);
    model_expect(m, model_append(m, any_queue(m), 1, 100, false), "service goes on", 0, 0);
    model_quiet(m);
    log_info(m->log, &info);
    model_expect(m, info.segments <= 2, "settled segments are freed", info.segments, 0);
    model_expect(m, m->log->ops->memory(m->log) <= 8192u * MODEL_QUEUES, "memory is given back",
                 m->log->ops->memory(m->log), 0);
    model_restart(m, MODEL_STOP);
}

static void run_seed(enum kind kind, uint64_t seed)
{
    static struct model m;
    static const enum log_sync syncs[KINDS] = { LOG_SYNC_GROUP, LOG_SYNC_INTERVAL, LOG_SYNC_NONE, LOG_SYNC_GROUP,
                                                LOG_SYNC_GROUP };
    model_begin(&m, seed, SEGMENT, syncs[kind]);
    m.may_fail = kind == KIND_FAULTS;
    uint64_t steps = 200 + model_random(&m, 1500), crashes = 1 + model_random(&m, 300);
    if (model_random(&m, 4) == 0)
        m.config.cache_bytes = 2000;
    m.shares = model_random(&m, 3) > 0;
    m.waits = seed % 3 == 0;
    for (uint64_t i = 1 + model_random(&m, m.shares ? 12 : 5); i; i--)
        model_new_queue(&m);
    for (uint64_t i = 0; i < steps; i++) {
        for (uint64_t n = model_random(&m, 6); n && !m.failed; n--)
            do_something(&m);
        change_faults(&m, kind);
        model_turn(&m, (int64_t)model_random(&m, model_random(&m, 10) ? 4 : 2000), model_random(&m, 8));
        if (m.failed || model_random(&m, crashes + 20) == 0)
            restart(&m);
    }
    count_seen(&m);
    drain(&m);
    seen.loaded += m.loaded;
    seen.refused += m.refused;
    seen.failures += m.failures;
    model_end(&m);
}

static void run_seeds(enum kind kind, uint64_t first, uint64_t last)
{
    memset(&seen, 0, sizeof seen);
    for (uint64_t seed = first; seed <= last; seed++)
        run_seed(kind, seed);
    print_message("%s: %llu events loaded, %llu refused, %llu failures, %llu segments freed, %llu events moved\n",
                  names[kind], (unsigned long long)seen.loaded, (unsigned long long)seen.refused,
                  (unsigned long long)seen.failures, (unsigned long long)seen.freed, (unsigned long long)seen.moved);
}

static void seeds_hold(void **state)
{
    enum kind kind = *(enum kind *)*state;
    run_seeds(kind, 1, 100);
    /* The seeds reach what they are for. */
    assert_true(seen.loaded > 0 && seen.freed > 0 && seen.moved > 0);
    assert_true(kind != KIND_FULL || seen.refused > 0);
    assert_true(kind != KIND_FAULTS || seen.failures > 0);
}

static struct {
    enum kind kind;
    uint64_t first, last;
} by_hand;

static void seeds_by_hand(void **state)
{
    (void)state;
    run_seeds(by_hand.kind, by_hand.first, by_hand.last);
}

int main(int argc, char **argv)
{
    static enum kind kinds[KINDS] = { KIND_GROUP, KIND_INTERVAL, KIND_NONE, KIND_FULL, KIND_FAULTS };
    const struct CMUnitTest all[KINDS] = {
        { "group_sync_keeps_its_promises", seeds_hold, NULL, NULL, &kinds[0] },
        { "interval_sync_keeps_its_promises", seeds_hold, NULL, NULL, &kinds[1] },
        { "no_sync_keeps_its_promises", seeds_hold, NULL, NULL, &kinds[2] },
        { "a_full_disk_loses_nothing", seeds_hold, NULL, NULL, &kinds[3] },
        { "a_failing_disk_loses_nothing", seeds_hold, NULL, NULL, &kinds[4] },
    };
    const struct CMUnitTest one[] = { cmocka_unit_test(seeds_by_hand) };
    if (argc < 4)
        return cmocka_run_group_tests_name("log_model", all, NULL, NULL);
    while (by_hand.kind < KIND_FAULTS && strcmp(names[by_hand.kind], argv[1]) != 0)
        by_hand.kind++;
    by_hand.first = strtoull(argv[2], NULL, 10);
    by_hand.last = strtoull(argv[3], NULL, 10);
    return cmocka_run_group_tests_name("log_model", one, NULL, NULL);
}

/* The broker's disk: its log runs over a simulated disk that is slow, full or broken for a while, and whose operations
 * are executed one by one between everything else. Checks what a start finds after an end. */
#include "tests/sim/sim.h"

#include "broker/core/deliver/doomed.h"
#include "broker/core/deliver/trouble.h"
#include "broker/store/log.h"

#define EVER INT64_MAX

/* ------------------------------------------------------------------ drawing */

/* Makes the disk rather than the queues the limit, and each delivery and ack wait for its note. With a dead-letter
 * queue it is the dead letters that fill the disk; each needs more room there than it gives back here. */
static void cramp(struct sim *s)
{
    s->log_config.segment_size = s->scenario.dead_letters ? 1u << 13 : 4096;
    s->log_config.disk_budget = s->log_config.segment_size * (6 + s->seed / 4 % 2);
    s->log_config.lazy_ms = 1;
    s->config.mark_ahead = s->config.unsettled_most = 1;
    for (unsigned q = s->scenario.drops; q < s->queues; q++) /* a queue that drops is to be full first */
        s->capacity[q] += s->scenario.dead_letters ? 20 : 60;
}

void storing_draw(struct sim *s)
{
    s->disk_due = s->disk_full_until = EVER;
    if (!s->scenario.disk)
        return;
    s->disk = disk_new();
    for (unsigned q = 0; q < s->queues; q++)
        s->on_disk[q] = sim_chance(s, 75);
    s->on_disk[sim_random(s, s->queues)] = true;
    s->on_disk[0] |= s->scenario.pinched;
    log_config_defaults(&s->log_config);
    s->log_config.segment_size = (uint64_t)8192 << sim_random(s, 6);
    s->log_config.lazy_ms = 1 + (int64_t)sim_random(s, 100);
    s->log_config.cache_bytes = sim_chance(s, 50) ? sim_random(s, 4000) : 1u << 20;
    if (s->scenario.full_disk && sim_chance(s, 50))
        s->log_config.disk_budget = s->log_config.segment_size * (5 + sim_random(s, 4)) + 65536;
    s->config.confirm_synced = true;
    s->config.mark_ahead = sim_chance(s, 50) ? 1 + (uint32_t)sim_random(s, 8) : 1024;
    s->config.unsettled_most = sim_chance(s, 50) ? 2 + (uint32_t)sim_random(s, 10) : 1000;
    for (unsigned i = 0; i < sizeof s->config.receipt_key; i++)
        s->config.receipt_key[i] = (uint8_t)(1 + sim_random(s, 255));
    if (s->scenario.cramped)
        cramp(s);
    if (s->scenario.anything && s->seed / 6 % 3 == 1) { /* not drawn, as in draw_scenario */
        s->log_config.segment_size = 1u << 14;
        s->log_config.disk_budget = s->log_config.segment_size * 6;
    }
    if (s->scenario.anything && s->seed / 6 % 4 >= 2) { /* nor this */
        s->log_config.sync = s->seed / 6 % 4 == 2 ? LOG_SYNC_INTERVAL : LOG_SYNC_NONE;
        s->config.confirm_synced = false;
    }
}

/* ------------------------------------------------------------------ faults */

static void fill(struct sim *s)
{
    sim_trace(s, "fault: the disk is full");
    disk_set_capacity(s->disk, disk_used(s->disk) + sim_random(s, 3 * s->log_config.segment_size));
    if (s->seed / 8 % 2) { /* a file system that needs room to create, and to remove, a file; not drawn either */
        disk_set_fault(s->disk, DISK_NO_SPACE, true);
        disk_set_fault(s->disk, DISK_REMOVE_NO_SPACE, true);
    }
    s->disk_full_until = s->now + (int64_t)(500 + sim_random(s, 8000)) * MS;
}

static void empty(struct sim *s)
{
    sim_trace(s, "the disk has room again");
    disk_set_capacity(s->disk, UINT64_MAX);
    s->disk_full_until = EVER;
}

static void stall(struct sim *s)
{
    int64_t ms = (int64_t)sim_random(s, 6000);
    sim_trace(s, "fault: the disk stands still for %lld ms", (long long)ms);
    s->disk_stalled_until = s->now + ms * MS;
}

static void break_it(struct sim *s)
{
    enum disk_fault fault = (enum disk_fault)(DISK_WRITE_FAILS + sim_random(s, DISK_FAULTS - DISK_WRITE_FAILS));
    sim_trace(s, "fault: the disk fails, kind %d", (int)fault);
    disk_set_fault(s->disk, fault, true);
}

void storing_fault(struct sim *s)
{
    if (!s->disk)
        return;
    uint64_t kind = sim_random(s, 10);
    if (kind < 2 && s->scenario.failing_disk && s->config.incarnation < SIM_STARTS)
        break_it(s);
    else if (kind < 6 && s->scenario.full_disk)
        fill(s);
    else if (s->scenario.slow_disk)
        stall(s);
}

static void repair(struct sim *s)
{
    for (unsigned f = 0; f < DISK_FAULTS; f++)
        disk_set_fault(s->disk, (enum disk_fault)f, false);
}

void storing_heal(struct sim *s)
{
    if (!s->disk)
        return;
    empty(s);
    repair(s);
    s->disk_stalled_until = 0;
    s->disk_disturbed = s->now;
}

bool storing_disturbed(const struct sim *s)
{
    return s->disk_full_until != EVER || s->disk_stalled_until > s->now;
}

static struct log_info info_of(const struct sim *s)
{
    struct log_info info = { 0 };
    if (s->log)
        log_info(s->log, &info);
    return info;
}

bool storing_carries(const struct sim *s)
{
    struct log_info info = s->scenario.cramped ? info_of(s) : (struct log_info){ 0 };
    return info.carries || info.carried_groups;
}

uint64_t storing_carried(const struct sim *s)
{
    return info_of(s).carried_groups;
}

/* ------------------------------------------------------------------ operations */

static int64_t next_delay(struct sim *s)
{
    if (s->calm)
        return 50000;
    return (int64_t)sim_random(s, sim_chance(s, 3) ? 300 * (uint64_t)MS : (uint64_t)MS);
}

/* Shall the disk stall now, while it has no room left? Then notes and settlements fill up the room that is reserved
 * for them. More often so while the log carries groups. */
static bool is_crowded(struct sim *s)
{
    if (!s->scenario.cramped || s->calm || !s->log || s->disk_stalled_until > s->now || s->log->ops->room(s->log))
        return false;
    return sim_random(s, info_of(s).carries ? 5 : 100) == 0;
}

/* Executes the operations that are due, each after a delay of its own. */
void storing_step(struct sim *s)
{
    if (!s->disk)
        return;
    if (s->disk_full_until <= s->now)
        empty(s);
    if (is_crowded(s))
        stall(s);
    if (storing_disturbed(s))
        s->disk_disturbed = s->now;
    while (s->disk_stalled_until <= s->now && s->disk_due <= s->now && disk_step(s->disk, &s->random))
        s->disk_due += next_delay(s);
    if (disk_pending(s->disk) == 0)
        s->disk_due = EVER;
    storing_wake(s);
}

/* If something was submitted, sets the time at which it is executed. */
void storing_wake(struct sim *s)
{
    if (s->disk && s->disk_due == EVER && disk_pending(s->disk))
        s->disk_due = s->now + next_delay(s);
}

/* As the loop does it. In a quarter of the worlds it waits for the disk when that is quick (not drawn, as in
 * draw_scenario). */
bool storing_flush(struct sim *s)
{
    log_may_wait(s->log, s->seed / 16 % 4 == 0 && s->disk_stalled_until <= s->now);
    s->log->ops->flush(s->log, sim_now(s).mono);
    return log_has_news(s->log);
}

int64_t storing_log_due(const struct sim *s)
{
    return s->log ? s->log->ops->due(s->log).ns : INT64_MAX;
}

int64_t storing_due(const struct sim *s)
{
    int64_t due = s->disk_due < s->disk_stalled_until ? s->disk_stalled_until : s->disk_due;
    int64_t own = storing_log_due(s);
    due = due < s->disk_full_until ? due : s->disk_full_until;
    return own < due ? own : due;
}

/* ------------------------------------------------------------------ repairs */

static void hear(void *context, const char *line)
{
    struct sim *s = context;
    sim_trace(s, "repair: %s", line);
    if (strstr(line, " lost, sequences") || strstr(line, "in no whole record"))
        sim_fail(s, "a repair of what is whole says: %s", line);
}

/* The operator repairs the log although nothing of it is damaged: nothing may be lost by that. */
static void repair_for_nothing(struct sim *s)
{
    bool whole = s->config.confirm_synced; /* else records that were not synced may be torn */
    if (!s->scenario.repairs || !whole || s->config.incarnation < 2 || s->disk_full_until != EVER || sim_chance(s, 50))
        return;
    uint8_t key[LOG_KEY_SIZE];
    struct disk *to = disk_new();
    struct files *source = disk_open(s->disk), *target = disk_open(to);
    for (unsigned i = 0; i < sizeof key; i++)
        key[i] = (uint8_t)sim_random(s, 256);
    sim_trace(s, "the log is repaired");
    if (!log_repair(source, target, key, core_can_restore, hear, s))
        sim_fail(s, "the log cannot be repaired");
    source->ops->close(source);
    target->ops->close(target);
    disk_free(s->disk);
    s->disk = to;
}

/* ------------------------------------------------------------------ starts */

static bool open_log(struct sim *s, struct error *e)
{
    struct log_replay replay = core_replay(s->core);
    s->files = disk_open(s->disk);
    s->log = log_open(&s->log_config, s->files, &replay, e);
    if (!s->log || !core_open_disk(s->core, s->log, sim_now(s), e))
        return false;
    log_set_owner(s->log, &(struct log_owner){ s->core, core_snapshot });
    return true;
}

bool storing_open(struct sim *s, bool *hopeless)
{
    struct error e = { "" };
    *hopeless = false;
    if (!s->disk)
        return true;
    repair_for_nothing(s);
    bool full = s->disk_full_until != EVER;
    bool armed = s->config.incarnation > 1 && s->scenario.failing_disk && !s->calm && sim_chance(s, 30);
    if (armed)
        break_it(s);
    bool opened = open_log(s, &e);
    repair(s);
    if (opened)
        return true;
    sim_trace(s, "the broker does not start: %s", e.text);
    if (full)
        empty(s); /* the operator makes room */
    *hopeless = !armed && !full;
    if (*hopeless)
        sim_fail(s, "the broker does not start: %s", e.text);
    return false;
}

void storing_cut_off(struct sim *s, bool machine)
{
    if (!s->disk)
        return;
    if (machine)
        disk_crash(s->disk, &s->random);
    else
        disk_kill(s->disk);
    repair(s);
    if (s->disk_full_until != EVER && sim_chance(s, 50))
        empty(s);
    s->disk_due = EVER;
    s->disk_disturbed = s->now;
}

void storing_close(struct sim *s)
{
    s->carried += info_of(s).carried_groups;
    if (s->log)
        s->log->ops->close(s->log);
    if (s->files)
        s->files->ops->close(s->files);
    s->log = NULL;
    s->files = NULL;
}

void storing_free(struct sim *s)
{
    if (s->disk)
        disk_free(s->disk);
}

/* ------------------------------------------------------------------ what survived */

static bool is_dead(const struct queue *q, uint64_t sequence)
{
    const struct trouble *t = trouble_find(q, sequence);
    return t && t->dead;
}

/* It was dead and has been purged. */
static bool was_cleared(const struct sim *s, const struct fact *f)
{
    return f->queue == 1 && ranges_has(&s->cleared, f->sequence);
}

static bool is_live(struct queue *q, uint64_t sequence)
{
    return queue_item(q, sequence) || backlog_where(q, sequence) != BACKLOG_NOWHERE || is_dead(q, sequence);
}

/* A start may bring settled events back: few, only those of the run before, and only if that ended uncleanly. */
static void check_returned(struct sim *s, struct fact *f, unsigned *returned)
{
    uint64_t last = s->config.incarnation - 1;
    if (f->acked_by != last || s->clean[last])
        sim_wrong(s, "#%llu came back at a start, though run %llu had confirmed its ack and run %llu ended%s",
                  (unsigned long long)f->id, (unsigned long long)f->acked_by, (unsigned long long)last,
                  s->clean[last] ? " in order" : "");
    if (++returned[f->queue] > s->config.unsettled_most)
        sim_wrong(s, "%s: more than %u settled events came back at once", sim_queue_name(f->queue),
                  s->config.unsettled_most);
    sim_trace(s, "#%llu comes again, its ack was not on disk", (unsigned long long)f->id);
    f->acked = false;
}

/* After an unclean end a queue may hold more than its capacity: events that came back, and those that had taken their
 * place. An orderly stop brings nothing back: an earlier excess remains, and cannot grow. */
static void note_excess(struct sim *s)
{
    for (unsigned i = 0; i < s->queues; i++) {
        const struct queue *q = queue_find(s->core, span_str(sim_queue_name(i)));
        uint64_t held = q ? queue_remaining(q) : 0;
        uint64_t over = q && held > q->settings.capacity ? held - q->settings.capacity : 0;
        if (!s->clean[s->config.incarnation - 1] || over < s->over[i])
            s->over[i] = over;
    }
}

/* Checks that each queue has the events that were confirmed or delivered, and gives their sequences to no others. */
void storing_check_start(struct sim *s)
{
    unsigned returned[SIM_QUEUES] = { 0 };
    uint64_t elsewhere = 0;
    note_excess(s);
    for (size_t i = 0; i < s->fact_count && s->disk; i++) {
        struct fact *f = s->facts[i];
        struct queue *q = queue_find(s->core, span_str(sim_queue_name(f->queue)));
        if (!s->on_disk[f->queue] || f->sequence == 0)
            continue;
        bool live = storing_has_returned(s, f);
        if (live && f->acked)
            check_returned(s, f, returned);
        else if (s->scenario.deletes)
            continue;
        else if (!q || q->next_sequence <= f->sequence)
            sim_wrong(s, "#%llu was %s as %llu, which will be used again", (unsigned long long)f->id,
                      f->handed_over ? "delivered" : "confirmed", (unsigned long long)f->sequence);
        else if (timing_may_be_gone(s, f) || was_cleared(s, f))
            continue;
        else if (!live && !f->ack_asked && s->scenario.dead_letters && f->queue == 0)
            elsewhere++; /* in the other queue; if not, it never arrives, and check_end fails */
        else if (!live && !f->ack_asked && !s->scenario.purges && !s->scenario.redrives)
            sim_wrong(s, "#%llu was %s and did not survive", (unsigned long long)f->id,
                      f->handed_over ? "delivered" : "confirmed");
    }
    const struct queue *q = queue_find(s->core, span_str(sim_queue_name(0)));
    if (q && elsewhere > books_dead_letters_sent(s))
        sim_wrong(s, "%llu events of %s are gone, and only %llu of it died", (unsigned long long)elsewhere, q->name,
                  (unsigned long long)books_dead_letters_sent(s));
}

uint64_t storing_dead_unseen(struct sim *s, unsigned queue)
{
    struct queue *q = queue_find(s->core, span_str(sim_queue_name(queue)));
    uint64_t seen = 0;
    for (size_t i = 0; q && i < s->fact_count; i++)
        seen += s->facts[i]->queue == queue && storing_is_dead(s, s->facts[i]);
    uint64_t cleared = queue == 1 ? ranges_count_in(&s->cleared, 0, UINT64_MAX) : 0;
    return q ? q->dead + cleared - seen : 0;
}

bool storing_is_dead(struct sim *s, const struct fact *f)
{
    struct queue *q = queue_find(s->core, span_str(sim_queue_name(f->queue)));
    return q && (is_dead(q, f->sequence) || was_cleared(s, f));
}

bool storing_is_doomed_by_failure(struct sim *s, const struct fact *f)
{
    struct queue *q = queue_find(s->core, span_str(sim_queue_name(f->queue)));
    return q && q->schedule && doomed_by_failure(q->schedule, f->sequence);
}

bool storing_has_returned(struct sim *s, const struct fact *f)
{
    struct queue *q = queue_find(s->core, span_str(sim_queue_name(f->queue)));
    return s->on_disk[f->queue] && q && (!f->life || f->life->queue_id == q->id) && is_live(q, f->sequence);
}

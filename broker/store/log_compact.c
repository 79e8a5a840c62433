/* Compaction: when less than half of what is in sealed segments is live, or events wait for room and nothing else
 * gives any, the segment with the least live bytes is emptied. Its live events are written again as moved runs, each
 * once for all queues that want it; the next checkpoint frees the segment. One part is moved at a time, so that
 * moving never competes much with what clients wait for. log_plan.c chooses the segment and measures it. */
#include "broker/store/log_move.h"

static void read_file(struct log *l, uint64_t offset, uint64_t size)
{
    char name[FILE_NAME_SIZE];
    segment_name(name, l->victim->id);
    l->moving = true;
    log_submit(l, FILE_READ, name, offset, size, NULL, TAG_COMPACT);
}

static void drop_plan(struct log *l)
{
    plan_free(l->plan);
    l->plan = NULL;
    l->victim = NULL;
}

/* The moved part was carried instead of placed, so its events stay where they were. The segment may be chosen again. */
void compact_give_up(struct log *l, uint64_t through)
{
    if (!l->move_ticket || l->move_ticket > through)
        return;
    l->moving = false;
    l->move_ticket = 0;
    drop_plan(l);
}

static void damaged(struct log *l, const char *name, uint64_t offset)
{
    log_fail(l, "damaged record in", name, offset, "run sluice-broker --check on the data directory");
}

/* Decides once whether emptying the segment is worth it: when all of its table is measured. */
static void measure(struct log *l)
{
    bool bad = false, through = plan_measure(l->plan, &bad);
    char name[FILE_NAME_SIZE];
    segment_name(name, l->victim->id);
    if (bad)
        damaged(l, name, l->victim->table_at);
    else if (through && !plan_pays(l->plan))
        drop_plan(l);
}

bool compact_goes_on(const struct log *l)
{
    return l->plan && !l->moving && !l->stopping && !plan_is_measured(l->plan);
}

/* There is no place for what would be moved. A plan that was not begun is dropped then, because it would be in the
 * way of segments of which less has to be moved; the segment may be chosen again once there is a place. A plan that
 * was begun has its place reserved (room_is_reserved). */
static bool lacks_place(const struct log *l)
{
    return !plan_is_begun(l->plan) && !group_has_place(l, plan_rest(l->plan));
}

void compact_consider(struct log *l)
{
    uint32_t offset, size;
    if (l->failed || l->moving || l->stopping)
        return;
    if (compact_goes_on(l))
        measure(l);
    if (l->loads || compact_goes_on(l))
        return;
    if (l->plan && (l->victim->live_events == 0 || !plan_part(l->plan, &offset, &size))) {
        drop_plan(l);
    } else if (l->plan && lacks_place(l)) {
        l->victim->no_place = true;
        drop_plan(l);
    } else if (l->plan && group_has_place(l, plan_rest(l->plan))) {
        read_file(l, offset, size);
    } else if (!l->plan && (l->victim = plan_choose(l))) {
        read_file(l, l->victim->table_at, l->victim->table_size);
    }
}

static bool move_record(struct log *l, struct span bytes)
{
    struct record r;
    struct shared_record run;
    uint8_t own[OWN_TARGET_MAX];
    if (record_next(&bytes, &r) != LOG_OK || !record_shared(&r, &run, own) || run.count > UINT32_MAX)
        return false;
    struct table_entry e = { .count = (uint32_t)run.count };
    struct stretches s = live_stretches(plan_live(l->plan), &e, targets_open(run.targets, run.target_count, 0));
    while (stretch_next(&s)) {
        uint64_t size;
        struct span lane = stretch_lane(&s, &run, &size);
        struct group *g = group_open_behind(l, size);
        stretch_move(g, &s, run.accepted_ms, lane, size);
        g->urgent = true;
        l->move_ticket = g->number;
    }
    return true;
}

static void move_part(struct log *l, const struct file_op *op)
{
    uint32_t offset, size;
    struct span bytes = buf_span(&op->data);
    l->move_ticket = 0;
    while (plan_record(l->plan, &offset, &size)) {
        uint64_t at = offset - op->offset;
        if (at + size > bytes.size || !move_record(l, span_of(bytes.data + at, size))) {
            damaged(l, op->name, offset);
            return;
        }
    }
    if (l->move_ticket == 0)
        l->moving = false; /* all of it was settled in the meantime */
}

void compact_read(struct log *l, struct file_op *op)
{
    if (op->error) {
        log_fail(l, "cannot read", op->name, op->offset, strerror(op->error));
        return;
    }
    if (l->plan) {
        move_part(l, op);
        return;
    }
    l->moving = false;
    l->plan = plan_new(l, l->victim, &op->data);
    if (l->plan)
        measure(l);
    else
        damaged(l, op->name, op->offset);
}

void compact_durable(struct log *l)
{
    if (l->moving && l->move_ticket && l->move_ticket <= l->durable) {
        l->moving = false;
        l->move_ticket = 0;
    }
}

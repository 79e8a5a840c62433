/* Work with a model that several tests share. */
#include "tests/broker/store/log_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

void model_new_queues(struct model *m, uint32_t count)
{
    while (count--)
        model_new_queue(m);
}

struct log_info model_info(const struct model *m)
{
    struct log_info i;
    log_info(m->log, &i);
    return i;
}

static void append_one(struct model *m, struct model_queue *q)
{
    while (!model_append(m, q, 1, 200, false))
        model_turn(m, 1, UINT64_MAX);
}

void model_fill(struct model *m, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        for (uint32_t q = 0; q < m->queue_count; q++)
            append_one(m, &m->queues[q]);
        if (i % 8 == 7)
            model_turn(m, 1, UINT64_MAX);
    }
    model_quiet(m);
}

static void load_queue(struct model *m, struct model_queue *q)
{
    for (uint64_t from = 1; (from = model_first_live(q, from)) != 0;) {
        uint64_t before = m->loaded;
        if (q->events[from].at) {
            from++;
            continue;
        }
        model_load(m, q, from, 30000);
        while (q->loading)
            model_turn(m, 1, UINT64_MAX);
        assert_true(m->loaded > before);
    }
}

void model_load_all(struct model *m)
{
    for (uint32_t q = 0; q < m->queue_count; q++)
        load_queue(m, &m->queues[q]);
}

void model_write_groups(struct model *m, int groups)
{
    for (int i = 0; i < groups; i++) {
        assert_true(model_append(m, &m->queues[i % 2], 4, 100, false));
        model_note(m);
        model_turn(m, 1, UINT64_MAX);
        model_turn(m, 1, UINT64_MAX);
        assert_true(m->done == m->ticket);
    }
}

void model_write_segments(struct model *m)
{
    model_write_groups(m, 150);
    model_restart(m, MODEL_STOP);
    model_write_groups(m, 10);
}

#include "tests/broker/store/cramped_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

struct model m;

struct log *log_now(void)
{
    return (struct log *)(void *)m.log;
}

void open_log(uint64_t seed, enum log_sync sync, unsigned segments)
{
    model_begin(&m, seed, SEGMENT, sync);
    model_new_queues(&m, QUEUES);
    model_shut(&m, MODEL_KILL);
    m.config.disk_budget = segments * SEGMENT + 4096;
    model_open(&m, MODEL_KILL);
}

void open_log_on_small_disk(uint64_t seed, enum log_sync sync, uint64_t bytes)
{
    open_log(seed, sync, 1000);
    disk_set_capacity(m.disk, bytes);
}

int cramped_end(void **state)
{
    (void)state;
    model_end(&m);
    return 0;
}

void fill(void)
{
    for (uint32_t i = 0; model_append(&m, &m.queues[i % QUEUES], 1, 100, false); i++)
        model_turn(&m, 5, UINT64_MAX);
    model_quiet(&m);
}

void stall(unsigned notes)
{
    for (unsigned i = 0; i < notes; i++) {
        model_note(&m);
        model_turn(&m, 1, 0);
    }
}

void goes_on(void)
{
    model_quiet(&m);
    for (uint32_t q = 0; q < QUEUES; q++) {
        for (uint64_t s = 1; (s = model_first_live(&m.queues[q], s)) != 0; s++) {
            model_settle(&m, &m.queues[q], s, CAUSE_ACKED);
            model_turn(&m, 5, UINT64_MAX);
        }
    }
    model_quiet(&m);
    for (int i = 0; i < 5; i++)
        model_turn(&m, 1000, UINT64_MAX);
    assert_true(log_now()->spares >= RESERVED);
    assert_true(model_append(&m, &m.queues[0], 1, 100, false));
    assert_true(disk_used(m.disk) <= m.config.disk_budget);
}

void begin_carry(void)
{
    fill();
    stall(2000);
    for (unsigned i = 0; i < 2000 && !log_now()->carry_through; i++)
        model_turn(&m, 1, i % 2);
    assert_true(log_now()->carry_through > 0);
    model_poll(&m);
}

bool wants_a_turn(void)
{
    return mono_before(m.log->ops->due(m.log), mono_add_ms(m.now, 1));
}

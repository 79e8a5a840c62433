/* The parts of a snapshot that grow with what a queue or a producer has may take more than 256 MiB, which fits into no
 * size of 4 bytes. The test makes none of that size; it looks at how their sizes are written. */
#include "broker/core/deliver/trouble.h"
#include "broker/core/durable/persist_fields.h"
#include "broker/core/queue/schedule.h"
#include "tests/broker/core/driver.h"

#define NOW_MS INT64_C(1700000000000)

struct bare {
    struct store *store;
    struct core *core;
};

/* A core that was never run. */
static struct bare bare_new(void)
{
    struct core_config config;
    struct bare b = { .store = store_memory_open() };
    core_config_defaults(&config);
    b.core = core_new(&config, b.store, (struct now){ { 1 }, { NOW_MS } });
    return b;
}

static void bare_free(struct bare *b)
{
    core_free(b->core);
    b->store->ops->close(b->store);
}

/* Its queue has a dead event, a delayed one and one that will expire; a publisher has not seen their outcome. */
static void fill(struct core *c)
{
    struct queue_settings settings = queue_settings_defaults();
    settings.durability = DURABILITY_DISK;
    struct queue *q = queue_create(c, span_str("orders"), &settings);
    struct trouble *t = trouble_of(q, 1);
    t->dead = DEAD_MAX_DELIVERIES;
    t->size = 500;
    trouble_set_error(t, 500, span_str("no luck"));
    dead_restore(q, t);
    schedule_restore(c, q, 2, 1, &(struct terms){ .not_before_ms = NOW_MS + 1000 });
    schedule_restore(c, q, 3, 1, &(struct terms){ .expires_ms = NOW_MS + 1000 });
    duplicate_restore(c, q, span_str("0123456789abcdef"), 3, NOW_MS);
    q->next_sequence = 4;
    struct destination *to = destination_of(producer_add(c, (struct token){ 1, 2 }), span_str("orders"));
    to->persistent = true;
    destination_restore(to, &(struct outcome){ .first = 1, .count = 3, .sequence = 1 });
}

/* Bytes that the size of the first message with that tag takes; 0: there is none. `inner` is set to it. */
static unsigned size_bytes(struct span message, uint32_t tag, struct span *inner)
{
    struct wire_reader r = wire_open(message);
    while (!wire_done(&r)) {
        const uint8_t *start = r.at;
        struct wire_field f = { 0 };
        assert_true(wire_next(&r, &f));
        if (f.tag != tag || f.type != WIRE_BYTES)
            continue;
        *inner = f.bytes;
        return (unsigned)(f.bytes.data - start) - (unsigned)wire_varint_size((uint64_t)tag << 3);
    }
    return 0;
}

static void what_grows_without_a_bound_has_room_for_its_size(void **state)
{
    (void)state;
    struct bare bare = bare_new();
    struct buf b = { 0 };
    struct span queue, producer, part;
    fill(bare.core);
    core_snapshot(bare.core, &b);
    assert_int_equal(size_bytes(buf_span(&b), NOTE_QUEUE, &queue), 5);
    static const uint32_t parts[] = { QUEUE_DEDUP, QUEUE_WAITING, QUEUE_EXPIRING };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        assert_int_equal(size_bytes(queue, parts[i], &part), 5);
    assert_int_equal(size_bytes(buf_span(&b), NOTE_PRODUCER, &producer), 5);
    assert_int_equal(size_bytes(producer, PRODUCER_DESTINATION, &part), 5);
    assert_true(core_can_restore(buf_span(&b)));
    buf_free(&b);
    bare_free(&bare);
}

/* A size that was cut off: what follows is taken for something else. */
static void a_snapshot_that_is_malformed_cannot_be_restored(void **state)
{
    (void)state;
    struct bare bare = bare_new();
    struct buf b = { 0 };
    struct span queue;
    fill(bare.core);
    core_snapshot(bare.core, &b);
    size_bytes(buf_span(&b), NOTE_QUEUE, &queue);
    wire_put_padded(b.data + (queue.data - b.data) - 5, queue.size / 2, 5);
    assert_false(core_can_restore(buf_span(&b)));
    buf_free(&b);
    bare_free(&bare);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_grows_without_a_bound_has_room_for_its_size),
        cmocka_unit_test(a_snapshot_that_is_malformed_cannot_be_restored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

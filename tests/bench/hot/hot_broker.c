/* The broker's core, driven as in its unit tests, and the log over the simulated disk. In each round of the core, 64
 * events are published, confirmed, delivered and acked; core_frame, core_tick and core_flush are counted. */
#include "broker/store/log.h"
#include "tests/bench/hot/hot.h"
#include "tests/broker/core/driver.h"
#include "tests/sim/disk.h"

#define ROUNDS 100
#define EVENTS 64

static void add_events(struct peer *p, struct span event)
{
    struct known_queue *k = known(p, "orders");
    struct open_body open = frame_begin_publish(&p->out, span_str("orders"), k->next_publish, 5000);
    for (unsigned i = 0; i < EVENTS; i++)
        frame_add_entry(&p->out, &(struct entry){ .event = event, .wait_ms = 5000 }, 5000);
    frame_end(&p->out, open);
    k->next_publish += EVENTS;
}

unsigned long queue_case(void)
{
    void *state;
    struct buf event = { 0 };
    driver_setup(&state);
    struct driver *d = state;
    hot_event(&event, 1);
    declare(d, "orders", "capacity=1000");
    struct peer *producer = attached(d, "producer"), *consumer = attached(d, "consumer");
    consume(consumer, "orders");
    credit(consumer, "orders", 1u << 20);
    for (uint64_t i = 0; i < ROUNDS; i++) {
        if (i > 0)
            frame_add_seen(&producer->out, span_str("orders"), i * EVENTS);
        add_events(producer, buf_span(&event));
        push(producer);
        ack(consumer, "orders", i * EVENTS + 1, EVENTS);
        buf_clear(&producer->trace);
        buf_clear(&consumer->trace);
    }
    hot_expect(strstr(ledger(d, "orders"), "acked 6400 ") != NULL, "not everything was acked");
    buf_free(&event);
    driver_teardown(&state);
    return ROUNDS * EVENTS;
}

/* ------------------------------------------------------------------ the log */

static void snapshot(void *context, struct buf *out)
{
    (void)context, (void)out;
}

/* One commit: a group of events, and the settlements of the group before. */
static HOT void hot_log(struct store *log, struct store_run *run, mono_t now, uint32_t size)
{
    uint64_t ticket;
    hot_expect(log->ops->append(log, run, &ticket) == STORE_LATER, "the log took nothing");
    for (uint64_t i = run->first; i < run->first + run->count && run->first > run->count; i++)
        log->ops->settle(log, run->queue, i - run->count, 0, size, CAUSE_ACKED);
    log->ops->flush(log, now);
}

unsigned long log_case(void)
{
    struct error why;
    struct log_config config;
    struct log_replay replay = { 0 };
    struct buf event = { 0 };
    struct store_event events[EVENTS];
    struct store_completion done;
    uint64_t random = 1;
    mono_t now = { MONO_MS };
    log_config_defaults(&config);
    memset(config.key, 7, sizeof config.key);
    struct disk *disk = disk_new();
    struct files *files = disk_open(disk);
    struct store *log = log_open(&config, files, &replay, &why);
    hot_expect(log != NULL, "the log cannot be opened");
    log_set_owner(log, &(struct log_owner){ NULL, snapshot });
    hot_event(&event, 1);
    for (unsigned i = 0; i < EVENTS; i++)
        events[i] = (struct store_event){ .event = buf_span(&event) };
    for (uint64_t i = 0; i < ROUNDS; i++, now = mono_add_ms(now, 10)) {
        struct store_run run = { .queue = 1, .first = i * EVENTS + 1, .events = events, .count = EVENTS };
        hot_log(log, &run, now, (uint32_t)event.size);
        disk_settle(disk, &random);
        while (log->ops->poll(log, &done))
            hot_expect(done.status == STORE_OK, "the log failed");
    }
    log->ops->close(log);
    files->ops->close(files);
    disk_free(disk);
    buf_free(&event);
    return ROUNDS * EVENTS;
}

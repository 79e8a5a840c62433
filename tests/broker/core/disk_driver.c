#include "tests/broker/core/disk_driver.h"

struct bench bench;

static void open_log(void)
{
    struct log_config config;
    struct core *core = bench.d->core;
    struct log_replay replay = core_replay(core);
    struct error e = { "" };
    log_config_defaults(&config);
    config.segment_size = 64u << 10;
    config.cache_bytes = bench.cache_bytes;
    config.sync = bench.sync;
    bench.files = disk_open(bench.disk);
    bench.log = log_open(&config, bench.files, &replay, &e);
    if (!bench.log || !core_open_disk(core, bench.log, bench.d->now, &e))
        fail_msg("%s", e.text);
    log_set_owner(bench.log, &(struct log_owner){ core, core_snapshot });
}

void settle_disk(void)
{
    struct driver *d = bench.d;
    for (unsigned i = 0; i < 4; i++) {
        bench.log->ops->flush(bench.log, d->now.mono);
        disk_settle(bench.disk, &bench.random);
        core_disk(d->core, d->now);
        turn(d);
    }
    assert_false(core_disk_failed(d->core));
}

void wait_ms(int64_t ms)
{
    pass(bench.d, ms);
    settle_disk();
}

static void close_log(void)
{
    driver_restart(bench.d); /* frees the core, which speaks to the log until then */
    bench.log->ops->close(bench.log);
    bench.files->ops->close(bench.files);
}

int bench_setup(void **state)
{
    driver_setup(state);
    bench = (struct bench){ .d = *state, .disk = disk_new(), .random = 1, .cache_bytes = 1u << 20 };
    open_log();
    struct queue_settings settings = settings_of("capacity=1000 durability=disk");
    assert_true(core_configure_queue(bench.d->core, "orders", &settings, NULL, bench.d->now));
    settle_disk();
    return 0;
}

int bench_teardown(void **state)
{
    disk_kill(bench.disk);
    close_log();
    disk_free(bench.disk);
    return driver_teardown(state);
}

void crash(int64_t ms)
{
    wall_t wall = { bench.d->now.wall.ms + ms };
    disk_crash(bench.disk, &bench.random);
    close_log();
    bench.d->now.wall = wall;
    core_tick(bench.d->core, bench.d->now); /* what is replayed is as old as the wall clock says */
    open_log();
}

void end_orderly(void)
{
    core_stop(bench.d->core, bench.d->now);
    do
        settle_disk();
    while (!bench.log->ops->stop(bench.log));
}

void stop_orderly(void)
{
    end_orderly();
    crash(0);
}

struct peer *joined(const char *name)
{
    struct peer *p = peer_new(bench.d, name);
    request_attach(p);
    echo(p);
    settle_disk();
    assert_non_null(strstr(heard(p), "attached"));
    return p;
}

void publish_durably(struct peer *p, const char *words)
{
    publish(p, "orders", 0, words);
    settle_disk();
}

const char *ask_durably(struct request *r)
{
    unsigned before = bench.d->replies;
    ask_only(bench.d, r);
    settle_disk();
    assert_int_equal(bench.d->replies, before + 1);
    return reason_info(bench.d->reply.reason)->name;
}

const char *declare_durably(const char *queue, const char *settings)
{
    return ask_durably(
        &(struct request){ .call = CALL_DECLARE, .queue = queue, .u.declare.settings = settings_of(settings) });
}

struct peer *orders_consumer(void)
{
    struct peer *p = joined("c");
    consume(p, "orders");
    credit(p, "orders", 1000);
    settle_disk();
    heard(p);
    return p;
}

struct peer *mail_consumer(const char *name, uint64_t wanted)
{
    struct peer *k = joined(name);
    consume(k, "mail");
    if (wanted)
        credit(k, "mail", wanted);
    settle_disk();
    return k;
}

/* Duplicates on queues on disk: told once the first one is durable, and known again after a crash. The real log runs over a
 * simulated disk. */
#include "tests/broker/core/driver.h"
#include "tests/sim/disk.h"

struct bench {
    struct driver *d;
    struct disk *disk;
    struct files *files;
    struct store *log;
    uint64_t random;
};

static struct bench bench;

/* ------------------------------------------------------------------ life */

static void open_log(void)
{
    struct log_config config;
    struct core *core = bench.d->core;
    struct log_replay replay = core_replay(core);
    struct error e = { "" };
    log_config_defaults(&config);
    config.segment_size = 64u << 10;
    bench.files = disk_open(bench.disk);
    bench.log = log_open(&config, bench.files, &replay, &e);
    if (!bench.log || !core_open_disk(core, bench.log, bench.d->now, &e))
        fail_msg("%s", e.text);
    log_set_owner(bench.log, &(struct log_owner){ core, core_snapshot });
}

/* The disk does all it was asked for, and the core hears of it. */
static void settle_disk(void)
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

static void close_log(void)
{
    driver_restart(bench.d); /* frees the core, which speaks to the log until then */
    bench.log->ops->close(bench.log);
    bench.files->ops->close(bench.files);
}

static int begin(void **state)
{
    driver_setup(state);
    bench = (struct bench){ .d = *state, .disk = disk_new(), .random = 1 };
    open_log();
    struct queue_settings settings = settings_of("capacity=1000 durability=disk");
    assert_true(core_configure_queue(bench.d->core, "orders", &settings, NULL, bench.d->now));
    settle_disk();
    return 0;
}

static int end(void **state)
{
    disk_kill(bench.disk);
    close_log();
    disk_free(bench.disk);
    return driver_teardown(state);
}

/* The machine stops, and the broker starts `ms` later by the wall clock. */
static void crash(int64_t ms)
{
    wall_t wall = { bench.d->now.wall.ms + ms };
    disk_crash(bench.disk, &bench.random);
    close_log();
    bench.d->now.wall = wall;
    core_tick(bench.d->core, bench.d->now); /* what is replayed is as old as the wall clock says */
    open_log();
}

static void stop_orderly(void)
{
    core_stop(bench.d->core, bench.d->now);
    do
        settle_disk();
    while (!bench.log->ops->stop(bench.log));
    crash(0);
}

/* A producer is made durable before its attach is answered. */
static struct peer *joined(const char *name)
{
    struct peer *p = peer_new(bench.d, name);
    request_attach(p);
    echo(p);
    settle_disk();
    assert_non_null(strstr(heard(p), "attached"));
    return p;
}

static void publish_durably(struct peer *p, const char *words)
{
    publish(p, "orders", 0, words);
    settle_disk();
}

/* ------------------------------------------------------------------ */

static void a_duplicate_is_told_when_the_first_one_is_durable(void **state)
{
    (void)state;
    struct peer *p = joined("p"), *q = joined("q");
    publish(p, "orders", 0, "one@1");
    publish(q, "orders", 0, "one@1");
    assert_string_equal(heard(p), "");
    assert_string_equal(heard(q), "");
    settle_disk();
    assert_string_equal(heard(p), "confirm orders 1 -> 1");
    assert_string_equal(heard(q), "confirm orders 1 -> 1 duplicate");
    publish_durably(p, "one@1");
    assert_string_equal(heard(p), "confirm orders 2 -> 1 duplicate");
}

static void after_a_crash_it_is_known(void **state)
{
    struct driver *d = *state;
    struct peer *p = joined("p");
    publish_durably(p, "zero one@1 two@2");
    crash(1000);
    p = joined("p");
    publish(p, "orders", 0, "one"); /* the producer's own number 1: decided, and nothing else */
    publish_from(p, "orders", 4, 0, "one@1 two@2 zero three@3");
    settle_disk();
    assert_string_equal(heard(p), "confirm orders 4..5 -> 2 duplicate; confirm orders 6..7 -> 4");
    assert_string_equal(ledger(d, "orders"), "accepted 5 acked 0 purged 0 dropped 0 remaining 5");
}

static void its_age_goes_on_by_the_wall_clock(void **state)
{
    struct driver *d = *state;
    struct peer *p = joined("p");
    publish_durably(p, "one@1");
    pass(d, 60000);
    p = joined("p2");
    publish_durably(p, "two@2");
    crash(59999);
    p = joined("q");
    publish_from(p, "orders", 10, 0, "one@1 two@2");
    settle_disk();
    assert_non_null(strstr(heard(p), "confirm orders 10..11 -> 1 duplicate"));
    crash(2);
    p = joined("q");
    publish_from(p, "orders", 12, 0, "one@1 two@2");
    settle_disk();
    assert_non_null(strstr(heard(p), "confirm orders 12 -> 3; confirm orders 13 -> 2 duplicate"));
}

static void a_clock_that_was_set_back_forgets_nothing(void **state)
{
    (void)state;
    struct peer *p = joined("p");
    publish_durably(p, "one@1");
    crash(-3600000);
    p = joined("q");
    publish_from(p, "orders", 10, 0, "one@1");
    settle_disk();
    assert_non_null(strstr(heard(p), "confirm orders 10 -> 1 duplicate"));
}

static void snapshots_carry_the_window(void **state)
{
    struct driver *d = *state;
    struct peer *p = joined("p");
    publish_durably(p, "one@1 two@2");
    stop_orderly();
    stop_orderly(); /* now only the snapshot has it */
    p = joined("q");
    publish_from(p, "orders", 10, 0, "two@2 one@1");
    settle_disk();
    assert_non_null(strstr(heard(p), "confirm orders 10 -> 2 duplicate; confirm orders 11 -> 1 duplicate"));
    assert_string_equal(ledger(d, "orders"), "accepted 2 acked 0 purged 0 dropped 0 remaining 2");
}

/* Else the hole it leaves below a later acceptance would mean "refused". */
static void the_outcome_of_a_duplicate_survives_until_it_is_seen(void **state)
{
    struct driver *d = *state;
    struct peer *p = joined("p");
    publish_durably(p, "one@1 again@1 two@2");
    crash(1000);
    p = joined("p");
    publish_from(p, "orders", 4, 0, "three");
    settle_disk();
    const struct producer *producer = d->core->producers;
    const struct destination *to = producer->destinations;
    assert_int_equal(to->outcome_count, 3);
    assert_int_equal(to->outcomes[1].reason, REASON_ok);
    assert_int_equal(to->outcomes[1].sequence, 1);
    assert_int_equal(to->outcomes[1].flags & RUN_DUPLICATE, RUN_DUPLICATE);
}

static void what_was_not_durable_is_new_after_a_crash(void **state)
{
    (void)state;
    struct peer *p = joined("p");
    publish(p, "orders", 0, "one@1 one@1");
    crash(0);
    p = joined("q");
    publish_from(p, "orders", 1, 0, "one@1");
    settle_disk();
    assert_non_null(strstr(heard(p), "confirm orders 1 -> 1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
        T(a_duplicate_is_told_when_the_first_one_is_durable),
        T(after_a_crash_it_is_known),
        T(its_age_goes_on_by_the_wall_clock),
        T(a_clock_that_was_set_back_forgets_nothing),
        T(snapshots_carry_the_window),
        T(the_outcome_of_a_duplicate_survives_until_it_is_seen),
        T(what_was_not_durable_is_new_after_a_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What a start makes of a repaired log: where the bytes of a dead event are lost, the ledger balances all the same. */
#include "broker/core/deliver/trouble.h"
#include "tests/broker/core/disk_driver.h"

#include <stdlib.h>

static struct queue *mail(struct core *core)
{
    return queue_find(core, span_str("mail"));
}

/* Event "lost" is dead, "kept" and "other" are not. */
static void one_is_dead(void)
{
    assert_string_equal(declare_durably("mail", "durability=disk max_deliveries=1"), "ok");
    struct peer *p = joined("p"), *k = mail_consumer("k", 1);
    const char *const words[] = { "lost", "kept", "other" };
    for (unsigned i = 0; i < 3; i++) { /* each in a group of its own */
        publish(p, "mail", 0, words[i]);
        settle_disk();
    }
    settle(k, "mail", SETTLE_NACK, 1, 1, 0);
    settle_disk();
    assert_true(mail(bench.d->core)->dead == 1 && queue_remaining(mail(bench.d->core)) == 2);
}

static void copy(void *to, const char *name, struct span content)
{
    disk_put(to, name, content);
}

static void damage(void *disk, const char *name, struct span content)
{
    uint64_t random = 1;
    const uint8_t *at = strstr(name, ".log") ? memmem(content.data, content.size, "lost", 4) : NULL;
    if (at)
        disk_damage(disk, name, (uint64_t)(at - content.data), 4, &random);
}

static void hear(void *context, const char *line)
{
    (void)context;
    (void)line;
}

/* Repairs what is on the disk now, without the event's group. */
static struct disk *repaired(void)
{
    struct disk *from = disk_new(), *to = disk_new();
    disk_each(bench.disk, copy, from);
    disk_each(bench.disk, damage, from);
    struct files *source = disk_open(from), *target = disk_open(to);
    assert_true(log_repair(source, target, (const uint8_t[LOG_KEY_SIZE]){ "repaired" }, core_can_restore, hear, NULL));
    source->ops->close(source);
    target->ops->close(target);
    disk_free(from);
    return to;
}

static void start_repaired(void)
{
    struct disk *to = repaired();
    disk_kill(bench.disk);
    disk_free(bench.disk);
    bench.disk = to;
    crash(0);
}

static void check_repaired(void)
{
    struct disk *to = repaired();
    struct store *memory = store_memory_open();
    struct core *core = core_new(&bench.d->config, memory, bench.d->now);
    struct log_replay replay = core_replay(core);
    struct log_config config;
    struct error e = { "" };
    log_config_defaults(&config);
    struct files *files = disk_open(to);
    struct store *log = log_open(&config, files, &replay, &e);
    if (!log || !core_open_disk(core, log, bench.d->now, &e))
        fail_msg("%s", e.text);
    core_validate(core);
    assert_true(mail(core)->dead == 0 && !mail(core)->troubles && queue_remaining(mail(core)) == 2);
    core_free(core);
    log->ops->close(log);
    files->ops->close(files);
    memory->ops->close(memory);
    disk_free(to);
}

static void a_death_s_note_may_survive_its_event(void **state)
{
    (void)state;
    one_is_dead();
    check_repaired();
}

static void a_dead_event_of_a_checkpoint_may_be_lost(void **state)
{
    (void)state;
    one_is_dead();
    stop_orderly();
    check_repaired();
}

/* The newest event of a queue is lost, but not the note that it is dead. A second start reads the note again if the
 * first had no room for a checkpoint. */
static void a_new_event_is_not_taken_for_a_lost_dead_one(void **state)
{
    (void)state;
    assert_string_equal(declare_durably("mail", "durability=disk max_deliveries=1"), "ok");
    struct peer *p = joined("p"), *k = mail_consumer("k", 1);
    publish(p, "mail", 0, "lost");
    settle_disk();
    settle(k, "mail", SETTLE_NACK, 1, 1, 0);
    settle_disk();
    assert_true(mail(bench.d->core)->dead == 1 && queue_remaining(mail(bench.d->core)) == 0);
    start_repaired();
    disk_set_fault(bench.disk, DISK_NO_SPACE, true);
    publish(joined("p"), "mail", 0, "new");
    settle_disk();
    assert_false(disk_fault_is_armed(bench.disk, DISK_NO_SPACE));
    assert_int_equal(queue_remaining(mail(bench.d->core)), 1);
    crash(0);
    assert_true(mail(bench.d->core)->dead == 0 && queue_remaining(mail(bench.d->core)) == 1);
}

static uint64_t next_sequence(void)
{
    return queue_find(bench.d->core, span_str("orders"))->next_sequence;
}

/* After an orderly stop, from when on confirms do not wait for the sync. Returns the next sequence. */
static uint64_t publish_unsynced(void)
{
    publish_durably(joined("p"), "old"); /* its segment stays, so that no checkpoint is due after the start */
    bench.sync = LOG_SYNC_NONE;
    bench.d->config.confirm_synced = false;
    stop_orderly();
    publish_from(joined("p"), "orders", 2, 0, "one two");
    settle_disk();
    return next_sequence();
}

/* The run that follows an orderly stop may leave nothing but the seal of the segment that it found, which is not
 * copied. */
static void a_repair_does_not_make_a_crash_an_orderly_stop(void **state)
{
    (void)state;
    uint64_t next = publish_unsynced();
    start_repaired();
    assert_true(next_sequence() > next);
}

static void a_repair_leaves_an_orderly_stop_orderly(void **state)
{
    (void)state;
    uint64_t next = publish_unsynced();
    end_orderly();
    start_repaired();
    assert_int_equal(next_sequence(), next);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_disk(a_death_s_note_may_survive_its_event),         on_disk(a_dead_event_of_a_checkpoint_may_be_lost),
        on_disk(a_new_event_is_not_taken_for_a_lost_dead_one), on_disk(a_repair_does_not_make_a_crash_an_orderly_stop),
        on_disk(a_repair_leaves_an_orderly_stop_orderly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

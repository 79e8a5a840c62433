/* What a producer is told of its entries after a restart, when their destination is a queue on disk by then, one in
 * memory, or none. */
#include "tests/broker/core/disk_driver.h"

#include <stdio.h>

static const struct destination *destination_known(const char *name)
{
    for (const struct producer *p = bench.d->core->producers; p; p = p->hh.next) {
        struct destination *d = NULL;
        HASH_FIND(hh, p->destinations, name, strlen(name), d);
        if (d)
            return d;
    }
    return NULL;
}

/* The publisher may have been away all the time, and must not hear "refused" of what was accepted. */
static void outcomes_survive_the_deletion_of_their_queue(void **state)
{
    (void)state;
    declare_durably("mail", "durability=disk");
    struct peer *p = joined("p");
    publish(p, "mail", 0, "one");
    settle_disk();
    struct request r = { .call = CALL_DELETE, .queue = "mail", .u.delete_.force = true };
    assert_string_equal(ask_durably(&r), "ok");
    stop_orderly();
    stop_orderly(); /* now only the snapshot has it */
    const struct destination *to = destination_known("mail");
    assert_non_null(to);
    assert_int_equal(to->outcome_count, 1);
    assert_int_equal(to->outcomes[0].reason, REASON_ok);
}

static void outcomes_of_queues_in_memory_do_not_survive_a_restart(void **state)
{
    (void)state;
    declare_durably("mail", "durability=memory");
    struct peer *p = joined("p");
    publish(p, "mail", 0, "one");
    stop_orderly();
    assert_null(destination_known("mail"));
}

/* Publishes as somebody else until the log writes a checkpoint. */
static void checkpoint_comes(void)
{
    struct peer *other = joined("other");
    struct log_info before, now;
    log_info(bench.log, &before);
    for (unsigned i = 0; i < 100; i++) {
        publish(other, "orders", 0, "big:6000");
        settle_disk();
        ask_durably(&(struct request){ .call = CALL_PURGE, .queue = "orders" });
        log_info(bench.log, &now);
        if (now.checkpoints > before.checkpoints)
            return;
    }
    fail_msg("there was no checkpoint");
}

/* Replaces queue "mail" by a new one. */
static void declare_anew(const char *durability)
{
    struct request r = { .call = CALL_DELETE, .queue = "mail", .u.delete_.force = true };
    assert_string_equal(ask_durably(&r), "ok");
    assert_string_equal(declare_durably("mail", durability), "ok");
}

/* "1..2 ok, 3..3 unavailable" */
static const char *outcomes_known(void)
{
    static char text[200];
    const struct destination *to = destination_known("mail");
    size_t at = 0;
    text[0] = '\0';
    for (uint32_t i = 0; to && i < to->outcome_count; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%llu..%llu %s", i ? ", " : "",
                               (unsigned long long)to->outcomes[i].first,
                               (unsigned long long)(to->outcomes[i].first + to->outcomes[i].count - 1),
                               reason_info((enum reason)to->outcomes[i].reason)->name);
    return text;
}

/* The publisher heard no confirm all the time. */
static void entries_accepted_in_memory_are_not_refused_once_the_queue_is_on_disk(void **state)
{
    (void)state;
    declare_durably("mail", "durability=disk");
    struct peer *p = joined("p");
    publish(p, "mail", 0, "one");
    settle_disk();
    declare_anew("durability=memory");
    publish(p, "mail", 0, "two");
    checkpoint_comes();
    declare_anew("durability=disk");
    publish(p, "mail", 0, "three");
    settle_disk();
    crash(0);
    assert_string_equal(outcomes_known(), "1..1 ok, 2..2 ok, 3..3 ok");
}

/* Otherwise the publisher would send them again, and they would be doubled. */
static void entries_accepted_in_memory_are_known_once_the_queue_is_on_disk(void **state)
{
    (void)state;
    declare_durably("mail", "durability=memory");
    struct peer *p = joined("p");
    publish(p, "mail", 0, "one two");
    declare_anew("durability=disk");
    crash(0);
    assert_string_equal(outcomes_known(), "1..2 ok");
}

/* Of every publisher that is still known. */
static void outcomes_of_every_publisher_in_memory_are_known_then(void **state)
{
    struct driver *d = *state;
    declare_durably("mail", "durability=memory");
    struct peer *gone = joined("gone");
    publish(gone, "mail", 0, "one");
    bye(gone);
    pass(d, d->config.producer_memory_ms);
    assert_null(d->core->producers);
    struct peer *p = joined("p"), *q = joined("q");
    struct token ids[] = { p->producer, q->producer };
    publish(p, "mail", 0, "two");
    publish(q, "mail", 0, "three four");
    publish(q, "other", 0, "five");
    declare_anew("durability=disk");
    declare_anew("durability=memory");
    publish(p, "mail", 0, "six");
    declare_anew("durability=disk");
    settle_disk();
    crash(0);
    for (unsigned i = 0; i < 2; i++) {
        struct producer *known = NULL;
        HASH_FIND(hh, d->core->producers, &ids[i], sizeof ids[i], known);
        assert_non_null(known);
        assert_int_equal(HASH_COUNT(known->destinations), 1);
        assert_int_equal(known->destinations->next, 3);
    }
}

/* If the broker listed the destination, the publisher would send again what may have been accepted in memory. */
static void outcomes_are_unknown_once_a_queue_on_disk_is_replaced_by_one_in_memory(void **state)
{
    (void)state;
    declare_durably("mail", "durability=disk");
    struct peer *p = joined("p");
    publish(p, "mail", 0, "one");
    settle_disk();
    declare_anew("durability=memory");
    publish(p, "mail", 0, "two");
    settle_disk();
    crash(0);
    assert_null(destination_known("mail"));
}

/* If the broker listed the destination, the publisher would hear that there is no such queue. */
static void outcomes_are_unknown_even_if_that_queue_was_deleted_since(void **state)
{
    (void)state;
    declare_durably("mail", "durability=disk");
    struct peer *p = joined("p");
    publish(p, "mail", 0, "one");
    settle_disk();
    declare_anew("durability=memory");
    publish(p, "mail", 0, "two");
    struct request r = { .call = CALL_DELETE, .queue = "mail", .u.delete_.force = true };
    assert_string_equal(ask_durably(&r), "ok");
    crash(0);
    assert_null(destination_known("mail"));
}

/* An entry accepted in memory is confirmed, and delivered, before the note that the destination is no longer
 * persistent is durable. */
static void outcomes_are_unknown_even_if_the_log_could_not_record_that(void **state)
{
    (void)state;
    declare_durably("mail", "durability=disk");
    struct peer *p = joined("p");
    publish(p, "mail", 0, "one");
    settle_disk();
    declare_anew("durability=memory");
    heard(p);
    publish(p, "mail", 0, "two");
    assert_string_equal(heard(p), "confirm mail 2 -> 1");
    crash(0);
    assert_null(destination_known("mail"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_disk(outcomes_survive_the_deletion_of_their_queue),
        on_disk(outcomes_of_queues_in_memory_do_not_survive_a_restart),
        on_disk(entries_accepted_in_memory_are_not_refused_once_the_queue_is_on_disk),
        on_disk(entries_accepted_in_memory_are_known_once_the_queue_is_on_disk),
        on_disk(outcomes_of_every_publisher_in_memory_are_known_then),
        on_disk(outcomes_are_unknown_once_a_queue_on_disk_is_replaced_by_one_in_memory),
        on_disk(outcomes_are_unknown_even_if_that_queue_was_deleted_since),
        on_disk(outcomes_are_unknown_even_if_the_log_could_not_record_that),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

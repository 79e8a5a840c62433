/* Dead letters where one or both queues are on disk: wherever the broker ends, the event is in exactly one of the
 * two. */
#include "tests/broker/core/disk_driver.h"

#include <stdio.h>

static struct peer *consuming(const char *queue)
{
    struct peer *p = joined("p");
    consume(p, queue);
    credit(p, queue, 100);
    settle_disk();
    return p;
}

/* "mail" has the dead-letter queue "parking"; its first `count` events have just died, which is not durable yet. */
static struct peer *dying(const char *mail, const char *parking, const char *words, uint64_t count)
{
    char settings[200];
    snprintf(settings, sizeof settings, "durability=%s max_deliveries=1 backoff=0s dead_letter=parking", mail);
    assert_string_equal(declare_durably("parking", parking), "ok");
    assert_string_equal(declare_durably("mail", settings), "ok");
    struct peer *p = consuming("mail");
    publish(p, "mail", 0, words);
    settle_disk();
    for (uint64_t i = 1; i <= count; i++) {
        frame_add_receipt_ack(&p->out, &(struct receipt_ack){ .kind = SETTLE_NACK,
                                                              .receipt = span_str(receipt_of(p, "mail", i)),
                                                              .status = 503,
                                                              .error = span_str("no luck") });
        push(p);
    }
    heard(p);
    return p;
}

/* "mail accepted 2 dead 1 remaining 1 | parking accepted 1 remaining 1" */
static const char *books(void)
{
    static char text[2][200];
    static unsigned turns;
    char *out = text[turns++ % 2];
    struct queue_info mail = describe(bench.d, "mail"), parking = describe(bench.d, "parking");
    snprintf(out, sizeof text[0], "mail accepted %llu dead %llu remaining %llu | parking accepted %llu remaining %llu",
             (unsigned long long)mail.ledger.accepted, (unsigned long long)mail.ledger.dead_lettered,
             (unsigned long long)mail.ledger.remaining, (unsigned long long)parking.ledger.accepted,
             (unsigned long long)parking.ledger.remaining);
    return out;
}

static void assert_parked(const char *what)
{
    const char *said = heard(consuming("parking"));
    if (!strstr(said, what))
        fail_msg("'%s' is not in \"%s\"", what, said);
}

static void a_dead_letter_arrives_and_survives_a_crash(void **state)
{
    (void)state;
    dying("disk", "durability=disk", "one two", 1);
    settle_disk();
    assert_string_equal(books(), "mail accepted 2 dead 1 remaining 1 | parking accepted 1 remaining 1");
    crash(0);
    assert_string_equal(books(), "mail accepted 2 dead 1 remaining 1 | parking accepted 1 remaining 1");
    assert_parked("s1 a1 one{mail/1 max_deliveries no luck}");
    assert_string_equal(describe(bench.d, "mail").settings.dead_letter, "parking");
}

static void a_dead_letter_survives_an_orderly_stop(void **state)
{
    (void)state;
    dying("disk", "durability=disk", "one two", 2);
    settle_disk();
    stop_orderly();
    assert_string_equal(books(), "mail accepted 2 dead 2 remaining 0 | parking accepted 2 remaining 2");
    stop_orderly();
    assert_string_equal(describe(bench.d, "mail").settings.dead_letter, "parking");
    assert_parked("one{mail/1 max_deliveries no luck} two{mail/2 max_deliveries no luck}");
}

static void before_the_move_is_durable_the_event_is_where_it_was(void **state)
{
    (void)state;
    dying("disk", "durability=disk", "one two", 1);
    crash(0);
    assert_string_equal(books(), "mail accepted 2 dead 0 remaining 2 | parking accepted 0 remaining 0");
}

/* As every event of a queue on disk. */
static void a_dead_letter_is_delivered_once_it_is_durable(void **state)
{
    (void)state;
    assert_string_equal(declare_durably("parking", "durability=disk"), "ok");
    struct peer *k = consuming("parking");
    heard(k);
    dying("disk", "durability=disk", "one", 1);
    assert_string_equal(heard(k), "");
    settle_disk();
    assert_non_null(strstr(heard(k), "deliver parking d1 s1 a1 one{"));
}

/* The broker ends after each number of disk operations that belong to the move. */
static void wherever_the_broker_ends_the_event_is_in_exactly_one_queue(void **state)
{
    unsigned before = 0, after = 0;
    for (unsigned steps = 0; steps < 40; steps++) {
        bench_teardown(state);
        bench_setup(state);
        bench.random = steps;
        dying("disk", "durability=disk", "one two three", 3);
        bench.log->ops->flush(bench.log, bench.d->now.mono);
        for (unsigned i = 0; i < steps % 8 && disk_step(bench.disk, &bench.random); i++)
            ;
        crash(0);
        struct queue_info mail = describe(bench.d, "mail"), parking = describe(bench.d, "parking");
        assert_int_equal(mail.ledger.remaining + parking.ledger.remaining, 3);
        assert_int_equal(mail.ledger.dead_lettered, parking.ledger.accepted);
        before += parking.ledger.remaining == 0;
        after += parking.ledger.remaining == 3;
    }
    assert_true(before && after);
}

static void from_memory_to_disk_it_is_as_safe_as_it_was_and_then_safer(void **state)
{
    (void)state;
    dying("memory", "durability=disk", "one two", 1);
    assert_string_equal(books(), "mail accepted 2 dead 1 remaining 1 | parking accepted 1 remaining 1");
    settle_disk();
    crash(0);
    assert_int_equal(describe(bench.d, "parking").ready, 1);
    assert_parked("one{mail/1 max_deliveries no luck}");
}

static void from_disk_to_memory_is_refused(void **state)
{
    struct driver *d = *state;
    struct request r = { .call = CALL_DECLARE,
                         .queue = "mail",
                         .u.declare.settings = settings_of("dead_letter=parking") };
    assert_string_equal(declare_durably("parking", "durability=memory"), "ok");
    assert_string_equal(ask_durably(&r), "conflict");
    assert_non_null(strstr(d->reply.detail, "'mail' is on disk and its dead_letter 'parking' would be in memory"));
    assert_null(queue_find(d->core, span_str("mail")));
}

static void a_target_cannot_be_declared_again_in_memory(void **state)
{
    struct driver *d = *state;
    dying("disk", "durability=disk", "one", 0);
    struct request r = { .call = CALL_DELETE, .queue = "parking", .u.delete_.force = true };
    assert_string_equal(ask_durably(&r), "ok");
    r = (struct request){ .call = CALL_DECLARE,
                          .queue = "parking",
                          .u.declare.settings = settings_of("durability=memory") };
    assert_string_equal(ask_durably(&r), "conflict");
    assert_non_null(strstr(d->reply.detail, "where a restart loses events"));
    assert_string_equal(declare_durably("parking", "durability=disk"), "ok");
}

static void a_target_missing_at_a_start_holds_events_back(void **state)
{
    (void)state;
    dying("disk", "durability=disk", "one", 0);
    struct request r = { .call = CALL_DELETE, .queue = "parking", .u.delete_.force = true };
    assert_string_equal(ask_durably(&r), "ok");
    crash(0);
    struct peer *p = consuming("mail");
    settle(p, "mail", SETTLE_NACK, 1, 1, 0);
    settle_disk();
    assert_int_equal(describe(bench.d, "mail").dead_letter_held, 1);
}

static void a_dropped_event_that_is_kept_counts_as_dropped_after_a_crash(void **state)
{
    (void)state;
    const char *own = "durability=disk capacity=2 overflow=drop_oldest dead_letter_dropped=true";
    assert_string_equal(declare_durably("mail", own), "ok");
    assert_string_equal(declare_durably("parking", "durability=disk"), "ok");
    assert_string_equal(
        declare_durably("news",
                        "durability=disk capacity=2 overflow=drop_oldest dead_letter_dropped=true dead_letter=parking"),
        "ok");
    struct peer *p = joined("p");
    publish(p, "mail", 0, "one two three");
    publish(p, "news", 0, "one two three");
    settle_disk();
    for (unsigned i = 0; i < 2; i++) {
        struct queue_info mail = describe(bench.d, "mail"), news = describe(bench.d, "news");
        assert_true(mail.dead == 1 && mail.ready == 2 && mail.ledger.dropped == 1 && mail.ledger.dead_lettered == 0);
        assert_true(news.dead == 0 && news.ready == 2 && news.ledger.dropped == 1 && news.ledger.dead_lettered == 0);
        assert_int_equal(describe(bench.d, "parking").ready, 1);
        crash(0);
    }
    assert_parked("one{news/1 dropped}");
}

static void fill_disk(struct peer *p, const char *word)
{
    const char *said = "";
    for (unsigned i = 0; i < 200 && !strstr(said, " disk"); i++) {
        publish(p, "mail", 0, word);
        settle_disk();
        said = heard(p);
    }
    assert_non_null(strstr(said, " disk"));
}

/* On a full disk there is no room for dead letters; that the event was dropped is durable all the same. */
static void an_event_dropped_on_a_full_disk_is_not_redelivered_after_a_crash(void **state)
{
    (void)state;
    assert_string_equal(declare_durably("parking", "durability=disk"), "ok");
    assert_string_equal(declare_durably("mail", "durability=disk dead_letter=parking"), "ok");
    struct peer *p = consuming("mail");
    disk_set_capacity(bench.disk, disk_used(bench.disk));
    fill_disk(p, "big:3000");
    fill_disk(p, "big:10");
    settle(p, "mail", SETTLE_DROP, 1, 1, 0);
    settle_disk();
    assert_non_null(strstr(heard(p), "dropped"));
    assert_int_equal(describe(bench.d, "mail").dead_letter_held, 1);
    disk_set_capacity(bench.disk, UINT64_MAX);
    crash(0);
    assert_null(strstr(heard(consuming("mail")), " s1 "));
    assert_parked("deliver parking d1 s1 a1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_disk(a_dead_letter_arrives_and_survives_a_crash),
        on_disk(a_dead_letter_survives_an_orderly_stop),
        on_disk(before_the_move_is_durable_the_event_is_where_it_was),
        on_disk(a_dead_letter_is_delivered_once_it_is_durable),
        on_disk(wherever_the_broker_ends_the_event_is_in_exactly_one_queue),
        on_disk(from_memory_to_disk_it_is_as_safe_as_it_was_and_then_safer),
        on_disk(from_disk_to_memory_is_refused),
        on_disk(a_target_cannot_be_declared_again_in_memory),
        on_disk(a_target_missing_at_a_start_holds_events_back),
        on_disk(an_event_dropped_on_a_full_disk_is_not_redelivered_after_a_crash),
        on_disk(a_dropped_event_that_is_kept_counts_as_dropped_after_a_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

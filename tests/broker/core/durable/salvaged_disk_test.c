/* What a start makes of a log that was damaged anywhere and repaired: the broker starts, its ledgers balance, no queue
 * is taken for another, and the log has no bytes that belong to no queue. */
#include "broker/core/deliver/trouble.h"
#include "broker/core/topic/topic.h"
#include "tests/broker/core/disk_driver.h"

#include <stdio.h>
#include <stdlib.h>

static struct queue *find(const struct core *c, const char *name)
{
    return queue_find((struct core *)(uintptr_t)c, span_str(name));
}

/* ------------------------------------------------------------------ a log that was repaired */

struct damage {
    struct disk *disk;
    uint64_t random;
    uint64_t from, to;   /* what was written between these is lost; 0: some bytes anywhere */
    bool and_checkpoint; /* the checkpoint is lost, too */
};

static void copy(void *to, const char *name, struct span content)
{
    disk_put(to, name, content);
}

static uint64_t draw(uint64_t *random, uint64_t below)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (*random >> 33) % below;
}

#define HEADER 64u

static uint64_t used(struct span content)
{
    while (content.size && content.data[content.size - 1] == 0)
        content.size--;
    return content.size;
}

static void damage(void *context, const char *name, struct span content)
{
    struct damage *d = context;
    if (d->and_checkpoint && strcmp(name, "checkpoint") == 0)
        disk_damage(d->disk, name, 0, 1, &d->random);
    if (!strstr(name, ".log") || used(content) <= HEADER)
        return;
    if (d->from)
        disk_damage(d->disk, name, d->from, d->to - d->from, &d->random);
    else if (draw(&d->random, 2))
        disk_damage(d->disk, name, HEADER + draw(&d->random, used(content) - HEADER), 1, &d->random);
}

static void find_end(void *end, const char *name, struct span content)
{
    if (strstr(name, ".log") && used(content) > HEADER)
        *(uint64_t *)end = used(content);
}

/* Where the log ends now; all of it is in one segment. */
static uint64_t written(void)
{
    uint64_t end = 0;
    disk_each(bench.disk, find_end, &end);
    return end;
}

static void hear(void *context, const char *line)
{
    (void)context;
    (void)line;
}

/* Repairs what is on the disk now, with that damage. */
static struct disk *repaired(struct damage *d)
{
    struct disk *to = disk_new();
    d->disk = disk_new();
    disk_each(bench.disk, copy, d->disk);
    disk_each(bench.disk, damage, d);
    struct files *source = disk_open(d->disk), *target = disk_open(to);
    assert_true(log_repair(source, target, (const uint8_t[LOG_KEY_SIZE]){ "salvaged" }, core_can_restore, hear, NULL));
    source->ops->close(source);
    target->ops->close(target);
    disk_free(d->disk);
    return to;
}

/* Starts the broker from that disk. */
static void start_from(struct disk *disk)
{
    disk_kill(bench.disk);
    disk_free(bench.disk);
    bench.disk = disk;
    crash(0);
}

static void check_all_is_known(void)
{
    const struct core *c = bench.d->core;
    struct log_info log;
    uint64_t bytes = 0;
    core_validate(c);
    log_validate(bench.log);
    log_info(bench.log, &log);
    for (uint32_t i = 0; i < c->queue_count; i++)
        bytes += c->by_name[i]->durable ? c->by_name[i]->bytes + c->by_name[i]->dead_bytes : 0;
    assert_int_equal(log.live_bytes, bytes);
}

/* ------------------------------------------------------------------ one thing lost */

static void events_survive_the_loss_of_their_queue_s_declaration(void **state)
{
    (void)state;
    struct damage d = { .from = written(), .and_checkpoint = true };
    assert_string_equal(declare_durably("mail", "durability=disk"), "ok");
    d.to = written();
    struct peer *p = joined("p");
    publish(p, "mail", 0, "one two");
    settle_disk();
    uint32_t id = find(bench.d->core, "mail")->id;
    start_from(repaired(&d));
    struct queue *q = queue_by_id(bench.d->core, id);
    assert_true(q && queue_remaining(q) == 2 && !find(bench.d->core, "mail"));
    check_all_is_known();
    assert_string_equal(declare_durably("mail", "durability=disk"), "ok");
    assert_true(find(bench.d->core, "mail")->id > id);
    assert_string_equal(ask_durably(&(struct request){ .call = CALL_PURGE, .queue = q->name }), "ok");
    check_all_is_known();
}

static void a_later_note_gives_the_queue_its_name_back(void **state)
{
    (void)state;
    struct damage d = { .from = written(), .and_checkpoint = true };
    assert_string_equal(declare_durably("mail", "durability=disk"), "ok");
    d.to = written();
    struct peer *p = joined("p");
    publish(p, "mail", 0, "one two");
    settle_disk();
    assert_string_equal(declare_durably("mail", "capacity=7"), "ok");
    publish(p, "mail", 0, "three");
    settle_disk();
    start_from(repaired(&d));
    const struct queue *q = find(bench.d->core, "mail");
    assert_true(q && q->settings.capacity == 7 && queue_remaining(q) == 3);
    check_all_is_known();
}

/* Also those found before the queue had its name again. */
static void outcomes_are_told_under_the_queue_s_name(void **state)
{
    (void)state;
    struct damage d = { .from = written(), .and_checkpoint = true };
    assert_string_equal(declare_durably("mail", "durability=disk"), "ok");
    d.to = written();
    struct peer *p = joined("p");
    struct token id = p->producer;
    publish(p, "mail", 0, "one two");
    settle_disk();
    assert_string_equal(declare_durably("mail", "capacity=7"), "ok");
    publish(p, "mail", 0, "three");
    settle_disk();
    start_from(repaired(&d));
    p = peer_new(bench.d, "again");
    p->producer = id;
    request_attach(p);
    echo(p);
    settle_disk();
    assert_non_null(strstr(heard(p), "attached known | mail through 3: 1..3 -> 1"));
}

/* What was found while the queue had a made-up name belongs to it, even if another queue really has that name. */
static void outcomes_are_not_told_under_a_name_that_another_queue_has(void **state)
{
    (void)state;
    struct damage d = { .from = written(), .and_checkpoint = true };
    assert_string_equal(declare_durably("mail", "durability=disk"), "ok");
    d.to = written();
    struct peer *p = joined("p");
    struct token id = p->producer;
    publish(p, "mail", 0, "one two");
    settle_disk();
    char name[32];
    snprintf(name, sizeof name, "recovered-%u", find(bench.d->core, "mail")->id);
    assert_string_equal(declare_durably(name, "durability=disk"), "ok");
    publish(p, name, 0, "three");
    settle_disk();
    start_from(repaired(&d));
    const struct queue *q = find(bench.d->core, name);
    assert_true(q && queue_remaining(q) == 1);
    p = peer_new(bench.d, "again");
    p->producer = id;
    request_attach(p);
    echo(p);
    settle_disk();
    char told[80];
    snprintf(told, sizeof told, "%s through 1: 1 -> 1", name);
    const char *text = heard(p);
    if (!strstr(text, told))
        fail_msg("'%s' is not in: %s", told, text);
    check_all_is_known();
}

static void a_queue_is_not_mistaken_for_an_earlier_one_of_its_name(void **state)
{
    (void)state;
    struct damage d = { 0 };
    assert_string_equal(declare_durably("mail", "durability=disk"), "ok");
    struct peer *p = joined("p");
    publish(p, "mail", 0, "one two");
    settle_disk();
    d.from = written();
    struct request gone = { .call = CALL_DELETE, .queue = "mail", .u.delete_.force = true };
    assert_string_equal(ask_durably(&gone), "ok");
    d.to = written();
    assert_string_equal(declare_durably("mail", "durability=disk"), "ok");
    publish(p, "mail", 0, "three");
    settle_disk();
    uint32_t id = find(bench.d->core, "mail")->id;
    start_from(repaired(&d));
    const struct queue *q = find(bench.d->core, "mail");
    assert_true(q && q->id == id && queue_remaining(q) == 1);
    check_all_is_known();
}

static void dead_letters_that_would_go_in_a_circle_stay_in_the_dead_store(void **state)
{
    (void)state;
    struct damage d = { 0 };
    assert_string_equal(declare_durably("spam", ""), "ok");
    assert_string_equal(declare_durably("mail", "dead_letter=spam"), "ok");
    d.from = written();
    assert_string_equal(declare_durably("mail", "dead_letter="), "ok");
    d.to = written();
    assert_string_equal(declare_durably("spam", "dead_letter=mail"), "ok");
    start_from(repaired(&d));
    assert_string_equal(find(bench.d->core, "mail")->settings.dead_letter, "");
    assert_string_equal(declare_durably("other", "dead_letter=spam"), "ok");
    crash(0);
    assert_string_equal(find(bench.d->core, "mail")->settings.dead_letter, "");
    assert_string_equal(find(bench.d->core, "spam")->settings.dead_letter, "mail");
}

/* ------------------------------------------------------------------ anything lost */

static const char *const queues[] = { "a", "b", "c" };

static const char *some_settings(uint64_t *random)
{
    static const char *const settings[] = { "durability=disk max_deliveries=1 backoff=0s",
                                            "durability=disk dead_letter=c",
                                            "capacity=50",
                                            "durability=disk dead_letter=b backoff=0s",
                                            "dead_letter=",
                                            "ttl=10s",
                                            "durability=disk max_deliveries=1 dead_letter= ttl=0s" };
    return settings[draw(random, sizeof settings / sizeof *settings)];
}

static void operate_on(const char *queue, enum call call, const char *topic)
{
    struct request r = { .call = call, .queue = call == CALL_PUT_TOPIC || call == CALL_DELETE_TOPIC ? "" : queue };
    r.topic = topic;
    if (call == CALL_DELETE)
        r.u.delete_.force = true;
    ask_durably(&r);
}

static void do_something(struct peer *p, uint64_t *random)
{
    static const enum call on_topics[] = { CALL_PUT_TOPIC, CALL_BIND, CALL_BIND, CALL_UNBIND, CALL_DELETE_TOPIC };
    const char *queue = queues[draw(random, 3)];
    switch (draw(random, 10)) {
    case 0:
    case 1: declare_durably(queue, some_settings(random)); break;
    case 2: operate_on(queue, draw(random, 3) ? CALL_PURGE : CALL_DELETE, ""); break;
    case 3: operate_on(queue, on_topics[draw(random, 5)], draw(random, 4) ? "all" : queue); break;
    case 4: settle(p, queue, SETTLE_NACK, 1, known(p, queue)->next_publish, 0); break;
    case 5: ack(p, queue, 1, 3); break;
    case 6:
        if (known(p, queue)->consumption == 0)
            consume(p, queue);
        credit(p, queue, 4);
        break;
    default: publish(p, draw(random, 3) ? queue : "all", 0, "one@1 two~50 three"); break;
    }
    settle_disk();
    heard(p);
}

static void live(const char *name, uint64_t *random, unsigned steps)
{
    struct peer *p = joined(name);
    for (unsigned i = 0; i < steps; i++) {
        do_something(p, random);
        if (!is_attached(p))
            return;
    }
}

static void the_broker_starts_whatever_is_lost(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        uint64_t random = seed;
        struct damage d = { .random = seed, .and_checkpoint = seed % 2 };
        start_from(disk_new());
        for (unsigned i = 0; i < 3; i++)
            declare_durably(queues[i], some_settings(&random));
        live("before", &random, 20);
        if (draw(&random, 3) == 0)
            crash(0);
        live("again", &random, 20);
        start_from(repaired(&d));
        check_all_is_known();
        live("after", &random, 20);
        crash(0);
        check_all_is_known();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_disk(events_survive_the_loss_of_their_queue_s_declaration),
        on_disk(a_later_note_gives_the_queue_its_name_back),
        on_disk(outcomes_are_told_under_the_queue_s_name),
        on_disk(outcomes_are_not_told_under_a_name_that_another_queue_has),
        on_disk(a_queue_is_not_mistaken_for_an_earlier_one_of_its_name),
        on_disk(dead_letters_that_would_go_in_a_circle_stay_in_the_dead_store),
        on_disk(the_broker_starts_whatever_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

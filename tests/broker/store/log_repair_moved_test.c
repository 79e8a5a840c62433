/* --repair of a log without a checkpoint in which events were moved: each event is taken once, in its place among
 * those of its queue, wherever its copies are. */
#include "tests/broker/store/log_fixture.h"

#include <errno.h>

/* ------------------------------------------------------------------ what compaction leaves */

/* In several segments everything is settled, except one event of queue 2 in each, and in the first what queue 1 has
 * and what it shares with queue 3. Those are moved to the end of the log, behind later events of queue 2, and the
 * segments are recycled. */
static void write_stragglers(void)
{
    struct model_queue *both[] = { &m.queues[0], &m.queues[2] }, *other = &m.queues[1];
    struct span left;
    for (int i = 0; i < 3; i++) {
        assert_true(model_append(&m, &m.queues[0], 1, 100, false));
        assert_true(model_share(&m, both, 2, 1, 100, false));
    }
    while (other->next <= 1000) {
        assert_true(model_append(&m, other, 1, 200, false));
        model_turn(&m, 1, UINT64_MAX);
    }
    for (uint64_t s = 1; s <= 1000; s++) {
        if (s % 200)
            model_settle(&m, other, s, CAUSE_ACKED);
    }
    while (disk_content(m.disk, DIR_FIRST, &left)) {
        assert_true(model_append(&m, other, 1, 200, false));
        model_turn(&m, 100, UINT64_MAX);
    }
    assert_true(model_info(&m).moved_events > 0);
    model_quiet(&m);
}

static void came(void *context, const struct store_run *run, uint64_t bytes)
{
    uint64_t *next = context, sum = 0;
    const struct model_queue *q = &m.queues[run->queue - 1];
    assert_true(run->first >= next[run->queue]);
    next[run->queue] = run->first + run->count;
    for (uint64_t s = run->first; s < next[run->queue]; s++) {
        assert_true(q->events[s].exists && q->events[s].accepted_ms == run->accepted_ms);
        sum += q->events[s].size;
    }
    assert_int_equal(sum, bytes);
}

/* Each queue's runs come in order, and loading finds all live events, whole, and nothing else. */
static void all_is_in(struct disk *to)
{
    uint64_t next[DIR_QUEUES + 1] = { 0 };
    const struct log_replay replay = { .context = next, .run = came };
    struct error e = { "" };
    model_shut(&m, MODEL_KILL);
    disk_free(m.disk);
    m.disk = to;
    m.files = disk_open(to);
    m.log = log_open(&m.config, m.files, &replay, &e);
    assert_non_null(m.log);
    log_validate(m.log);
    for (uint32_t i = 0; i < m.queue_count; i++)
        assert_int_equal(next[m.queues[i].id], m.queues[i].next);
    model_load_all(&m);
}

static void moved_events_are_put_in_their_place(void **state)
{
    (void)state;
    struct lines l;
    write_stragglers();
    struct disk *d = dir_copy(m.disk), *to = disk_new();
    dir_remove(d, "checkpoint");
    assert_true(dir_repair(d, to, &l));
    says(l, "there is no usable checkpoint");
    says(l, "queue 1: 6 events are salvaged");
    says(l, "queue 3: 3 events are salvaged");
    all_is_in(to);
    disk_free(d);
}

/* Random work: most events are settled while others are written, and what is left is moved again and again. */
static void write_anything(void)
{
    struct model_queue *all[] = { &m.queues[0], &m.queues[1], &m.queues[2] };
    for (int i = 0; i < 3000; i++) {
        struct model_queue *q = all[model_random(&m, 3)];
        uint32_t count = 1 + (uint32_t)model_random(&m, 4);
        if (model_random(&m, 10))
            model_append(&m, q, count, 200, false);
        else
            model_share(&m, all, 3, count, 200, false);
        for (uint64_t n = model_random(&m, 16); n; n--) {
            uint64_t sequence = model_random(&m, q->next);
            if (q->events[sequence].exists && !q->events[sequence].settled && sequence % 16)
                model_settle(&m, q, sequence, CAUSE_ACKED);
        }
        model_turn(&m, (int64_t)model_random(&m, 50), UINT64_MAX);
    }
    model_quiet(&m);
}

static void is_back(void *context, uint64_t first, uint64_t last)
{
    struct model_queue *q = context;
    for (uint64_t s = first; s < last; s++) {
        assert_true(s < q->next && q->events[s].exists);
        q->events[s].back = true;
    }
}

/* No live event is missing. Events whose settlement was in a freed segment may come again. */
static void all_that_is_live_is_in(struct disk *to)
{
    uint64_t next[DIR_QUEUES + 1] = { 0 }, bytes;
    const struct log_replay replay = { .context = next, .run = came };
    struct error e = { "" };
    struct files *files = disk_open(to);
    struct store *log = log_open(&m.config, files, &replay, &e);
    assert_non_null(log);
    log_validate(log);
    for (uint32_t i = 0; i < m.queue_count; i++) {
        struct model_queue *q = &m.queues[i];
        log_each_live(log, q->id, is_back, q, &bytes);
        for (uint64_t s = 1; s < q->next; s++)
            assert_true(!q->events[s].exists || q->events[s].settled || q->events[s].back);
    }
    log->ops->close(log);
    files->ops->close(files);
}

static void moved_events_are_put_in_their_place_after_random_work(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct lines l;
        log_fixture_end(state);
        model_begin(&m, seed, SEGMENT, LOG_SYNC_GROUP);
        model_new_queues(&m, 3);
        write_anything();
        assert_true(model_info(&m).moved_events > 0);
        struct disk *d = dir_copy(m.disk), *to = disk_new();
        dir_remove(d, "checkpoint");
        assert_true(dir_repair(d, to, &l));
        all_that_is_live_is_in(to);
        disk_free(d);
        disk_free(to);
    }
}

/* ------------------------------------------------------------------ whatever lies where */

/* A run of one queue, of so many events; an event's size follows from its sequence. */
struct part {
    uint32_t queue;
    uint64_t first, count;
};

static const uint8_t filler[128];

static void put_events(struct buf *records, enum record_type type, struct part p)
{
    struct store_event events[16] = { 0 };
    struct store_run run = { .queue = p.queue, .first = p.first, .events = events, .count = p.count, .accepted_ms = 1 };
    for (uint64_t i = 0; i < p.count; i++)
        events[i].event = span_of(filler, p.first + i);
    run_write(records, type, &run);
}

/* A run that both queues have, under the same sequences. */
static void put_shared(struct buf *records, struct part p, uint32_t other)
{
    struct store_event events[16] = { 0 };
    struct run_target both[] = { { p.queue, p.first }, { other, p.first } };
    struct buf targets = { 0 };
    for (uint64_t i = 0; i < p.count; i++)
        events[i].event = span_of(filler, p.first + i);
    targets_write(&targets, both, 2);
    const struct shared_record s = {
        .moved = true, .target_count = 2, .targets = buf_span(&targets), .count = p.count, .accepted_ms = 1
    };
    shared_write(records, &s, events);
    buf_free(&targets);
}

/* The second segment, as the log would have written it. */
static void put_group(struct disk *d, struct span records)
{
    struct buf b = { 0 };
    struct span content;
    struct segment_header in;
    struct group_header h = { .number = 1000 };
    assert_true(disk_content(d, DIR_SECOND, &content));
    assert_int_equal(segment_header_read(content, &in), LOG_OK);
    buf_add(&b, content.data, SEGMENT_HEADER_SIZE);
    group_header_write(buf_reserve(&b, GROUP_HEADER_SIZE), &h, records, &in, in.chain);
    b.size += GROUP_HEADER_SIZE;
    buf_add(&b, records.data, records.size);
    disk_put(d, DIR_SECOND, buf_span(&b));
    buf_free(&b);
}

struct found {
    char text[512];
};

static void is_there(void *context, uint64_t first, uint64_t last)
{
    struct found *f = context;
    size_t used = strlen(f->text);
    snprintf(f->text + used, sizeof f->text - used, " %d-%d", (int)first, (int)last - 1);
}

static void came_as_long(void *context, const struct store_run *run, uint64_t bytes)
{
    uint64_t *next = context, sum = 0;
    assert_true(run->first >= next[run->queue]);
    next[run->queue] = run->first + run->count;
    for (uint64_t s = run->first; s < next[run->queue]; s++)
        sum += s;
    assert_int_equal(sum, bytes);
}

/* The queue's live sequences, as ranges. */
static struct found live_in(struct disk *d, uint32_t queue)
{
    uint64_t next[DIR_QUEUES + 1] = { 0 }, bytes;
    const struct log_replay replay = { .context = next, .run = came_as_long };
    struct found f = { "" };
    struct error e = { "" };
    struct files *files = disk_open(d);
    struct store *log = log_open(&m.config, files, &replay, &e);
    assert_non_null(log);
    log_validate(log);
    log_each_live(log, queue, is_there, &f, &bytes);
    log->ops->close(log);
    files->ops->close(files);
    return f;
}

/* Copies in any order and of any length: behind later events, overlapping, shared; and one with its settlement. */
static void put_second(struct disk *d)
{
    struct buf b = { 0 };
    const struct settled_range left = { .first = 20, .end = 21, .bytes = 20 };
    put_events(&b, RECORD_EVENTS, (struct part){ 1, 40, 2 });
    put_events(&b, RECORD_MOVED, (struct part){ 1, 30, 2 });
    put_events(&b, RECORD_MOVED, (struct part){ 1, 20, 8 });
    put_events(&b, RECORD_MOVED, (struct part){ 1, 18, 4 });
    put_events(&b, RECORD_EVENTS, (struct part){ 2, 90, 1 });
    put_shared(&b, (struct part){ 1, 35, 2 }, 2);
    put_events(&b, RECORD_MOVED, (struct part){ 2, 34, 1 });
    settled_write(&b, 1, &left, 1);
    put_events(&b, RECORD_EVENTS, (struct part){ 1, 50, 1 });
    put_events(&b, RECORD_MOVED, (struct part){ 1, 43, 9 });
    put_group(d, buf_span(&b));
    buf_free(&b);
}

static void copies_may_be_in_any_order(void **state)
{
    (void)state;
    struct lines l;
    model_restart(&m, MODEL_STOP);
    struct disk *d = dir_copy(m.disk), *to = disk_new();
    put_second(d);
    dir_remove(d, "checkpoint");
    assert_true(dir_repair(d, to, &l));
    says(l, "queue 1: 24 events are salvaged");
    says(l, "queue 2: 4 events are salvaged");
    assert_null(strstr(l.text, "no whole record"));
    assert_string_equal(live_in(to, 1).text, " 18-19 21-27 30-31 35-36 40-41 43-51");
    assert_string_equal(live_in(to, 2).text, " 34-36 90-90");
    disk_free(d);
    disk_free(to);
}

/* Only events that are in neither a run nor a copy are reported. */
static void only_missing_events_are_named(void **state)
{
    (void)state;
    struct lines l;
    struct buf b = { 0 };
    model_write_groups(&m, 3);
    model_restart(&m, MODEL_STOP);
    struct groups g = dir_groups(m.disk, DIR_FIRST);
    struct disk *d = dir_copy(m.disk), *to = disk_new();
    assert_true(disk_damage(d, DIR_FIRST, g.of[0].at + 50, 1, &chance)); /* the first of queue 1: sequences 1 to 4 */
    put_events(&b, RECORD_EVENTS, (struct part){ 1, 40, 2 });
    put_events(&b, RECORD_MOVED, (struct part){ 1, 30, 2 });
    put_events(&b, RECORD_MOVED, (struct part){ 1, 20, 1 });
    put_group(d, buf_span(&b));
    dir_remove(d, "checkpoint");
    assert_true(dir_repair(d, to, &l));
    says(l, "queue 1: sequences 1 to 4 are in no whole record\nqueue 1: sequences 9 to 19 are in no whole record\n"
            "queue 1: sequences 21 to 29 are in no whole record\nqueue 1: sequences 32 to 39 are in no whole record\n");
    says(l, "queue 1: 9 events are salvaged");
    buf_free(&b);
    disk_free(d);
    disk_free(to);
}

/* ------------------------------------------------------------------ a disk that fails */

static const struct files_ops *sound;
static bool fails;

/* Fails reads of single records, not of whole segments. */
static int read_whole_only(struct files *f, const char *name, uint64_t offset, void *to, size_t size, size_t *got)
{
    if (offset && !fails)
        *got = 0;
    return offset ? fails ? EIO : 0 : sound->read(f, name, offset, to, size, got);
}

static void add_line(void *context, const char *line)
{
    struct lines *l = context;
    size_t used = strlen(l->text);
    snprintf(l->text + used, sizeof l->text - used, "%s\n", line);
}

static void a_record_that_cannot_be_read_again_ends_the_repair(void **state)
{
    (void)state;
    model_restart(&m, MODEL_STOP);
    struct disk *d = dir_copy(m.disk);
    put_second(d);
    dir_remove(d, "checkpoint");
    for (int i = 0; i < 2; i++) {
        struct lines l = { "" };
        struct disk *to = disk_new();
        struct files *source = disk_open(d), *target = disk_open(to);
        struct files_ops ops = *source->ops;
        sound = source->ops;
        fails = i == 0;
        ops.read = read_whole_only;
        source->ops = &ops;
        assert_false(log_repair(source, target, (const uint8_t[LOG_KEY_SIZE]){ "repaired" }, NULL, add_line, &l));
        says(l, i ? "cannot read the log: it changed while it was read" : "cannot read the log: Input/output error");
        source->ops = sound;
        source->ops->close(source);
        target->ops->close(target);
        disk_free(to);
    }
    disk_free(d);
}

#define with_log(test) with_queues(test, 3)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_log(moved_events_are_put_in_their_place),
        with_log(moved_events_are_put_in_their_place_after_random_work),
        with_log(copies_may_be_in_any_order),
        with_log(only_missing_events_are_named),
        with_log(a_record_that_cannot_be_read_again_ends_the_repair),
    };
    return cmocka_run_group_tests_name("log_repair_moved", tests, NULL, NULL);
}

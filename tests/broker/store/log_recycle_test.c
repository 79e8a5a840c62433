/* Recycled files: freed segments' files become spares with their old bytes. Their number is bounded, and the old
 * bytes are never taken for groups. */
#include "broker/store/log_parts.h"
#include "tests/broker/store/log_fixture.h"

static struct log *log_now(void)
{
    return log_self(m.log);
}

static const char *active_name(void)
{
    static char name[FILE_NAME_SIZE];
    segment_name(name, segment_active(log_now())->id);
    return name;
}

/* Appends a group of four events of 400 bytes, and settles all events but the newest few. */
static void come_and_go(void)
{
    uint64_t first;
    while (!model_append(&m, &m.queues[0], 4, 400, false))
        model_turn(&m, 1, UINT64_MAX);
    while (m.queues[0].live > 10 && (first = model_first_live(&m.queues[0], 1)) != 0)
        model_settle(&m, &m.queues[0], first, CAUSE_ACKED);
    model_turn(&m, 50, UINT64_MAX);
}

/* Goes on until so many more segments were begun, the last of them in a recycled file. */
static void begin_segments(uint64_t count)
{
    uint64_t last = segment_active(log_now())->id + count;
    while (segment_active(log_now())->id < last || !spare_is_recycled(log_now(), segment_active(log_now())->id))
        come_and_go();
    model_quiet(&m);
}

static void freed_segments_become_spares(void **state)
{
    (void)state;
    begin_segments(40);
    struct span content;
    const struct segment *s = segment_active(log_now());
    assert_true(disk_used(m.disk) <= (2 + SPARES + RECYCLABLE_MAX) * SEGMENT + m.config.segment_size);
    assert_true(disk_content(m.disk, active_name(), &content));
    assert_int_equal(content.size, SEGMENT);
    uint64_t left = 0;
    for (size_t at = s->size; at < content.size; at++)
        left += content.data[at] != 0;
    assert_true(s->size + 4096 < SEGMENT && left > 1000); /* of an earlier life */
    assert_true(log_now()->info.freed_segments > 30);
}

static void count_file(void *context, const char *name, struct span content)
{
    uint64_t id;
    *(uint32_t *)context += segment_id_of(name, &id) && content.size == m.config.segment_size;
}

static uint32_t files(void)
{
    uint32_t count = 0;
    disk_each(m.disk, count_file, &count);
    return count;
}

static void of_many_segments_freed_at_once_two_files_are_kept(void **state)
{
    (void)state;
    for (int i = 0; i < 800; i++) {
        assert_true(model_append(&m, &m.queues[0], 4, 400, false));
        model_turn(&m, 1, UINT64_MAX);
    }
    assert_true(files() > 15);
    model_settle_rest(&m, &m.queues[0], 1);
    for (int i = 0; i < 20; i++)
        model_turn(&m, 1000, UINT64_MAX);
    assert_int_equal(files(), 1 + SPARES + RECYCLABLE_MAX);
    assert_int_equal(log_disk_bytes(log_now()), (1 + SPARES + RECYCLABLE_MAX) * SEGMENT + log_now()->checkpoint_size);
}

static void a_file_of_another_size_is_not_recycled(void **state)
{
    (void)state;
    begin_segments(5);
    model_shut(&m, MODEL_KILL);
    m.config.segment_size = 2 * SEGMENT;
    model_open(&m, MODEL_KILL);
    model_settle_rest(&m, &m.queues[0], 1);
    for (int i = 0; i < 20; i++)
        model_turn(&m, 1000, UINT64_MAX);
    assert_int_equal(files(), 1 + SPARES);
    assert_int_equal(disk_used(m.disk) / SEGMENT, 2 * (1 + SPARES)); /* and no other */
}

static void a_checkpoint_that_lacks_room_gets_that_of_a_kept_file(void **state)
{
    (void)state;
    begin_segments(10);
    while (log_now()->recyclable_count == 0 || log_now()->spares < SPARES)
        come_and_go();
    uint64_t used = disk_used(m.disk), checkpoints = log_now()->info.checkpoints;
    disk_set_capacity(m.disk, used);
    while (log_now()->info.checkpoints == checkpoints)
        come_and_go();
    assert_true(disk_used(m.disk) < used);
    disk_set_capacity(m.disk, UINT64_MAX);
}

/* A checkpoint that lacks room gets the room of one kept file after the other, before a spare is given up. */
static void kept_files_are_given_up_one_by_one(void **state)
{
    (void)state;
    begin_segments(10);
    while (log_now()->recyclable_count == 0 || log_now()->spares < SPARES)
        come_and_go();
    uint64_t used = disk_used(m.disk), kept = log_now()->recyclable_count;
    for (uint64_t left = kept; left > 0; left--) {
        assert_true(segment_remove_recyclable(log_now()));
        assert_int_equal(log_now()->recyclable_count, left - 1);
    }
    assert_false(segment_remove_recyclable(log_now()));
    disk_settle(m.disk, &m.random);
    assert_int_equal(disk_used(m.disk), used - kept * SEGMENT);
    come_and_go();
}

static void append_one_group(void)
{
    assert_true(model_append(&m, &m.queues[0], 4, 400, false));
    model_turn(&m, 1, UINT64_MAX);
}

/* While it was being renamed, another segment was freed and its file took the place among the kept ones. */
static void a_file_that_could_not_be_renamed_and_lost_its_place_is_removed(void **state)
{
    (void)state;
    struct log *l = log_now();
    begin_segments(10);
    while (l->segment_count < 4)
        append_one_group();
    model_settle_rest(&m, &m.queues[0], 1);
    model_quiet(&m);
    assert_int_equal(l->recyclable_count, RECYCLABLE_MAX);
    for (int i = 0; i < 100 && !l->spare_pending; i++) {
        model_turn(&m, 1, UINT64_MAX);
        model_settle_rest(&m, &m.queues[0], 1);
        assert_true(model_append(&m, &m.queues[0], 4, 400, false));
        model_turn(&m, 1000, 0);
    }
    assert_true(l->spare_pending && l->checkpointing && l->freeing_count && l->recyclable_count + 1 == RECYCLABLE_MAX);
    while (disk_pending(m.disk) > 1)
        disk_step(m.disk, &m.random);
    disk_set_fault(m.disk, DISK_NO_SPACE, true);
    disk_step(m.disk, &m.random);
    assert_false(disk_fault_is_armed(m.disk, DISK_NO_SPACE));
    uint64_t freed = l->info.freed_segments;
    model_turn(&m, 1, UINT64_MAX);
    assert_true(l->info.freed_segments > freed);
    assert_int_equal(l->recyclable_count, RECYCLABLE_MAX);
    begin_segments(10);
    assert_true(files() <= 2 + SPARES + RECYCLABLE_MAX);
    model_restart(&m, MODEL_CRASH);
}

static void settle_the_oldest_segment(void)
{
    while (log_now()->segments[0]->live_events)
        model_settle(&m, &m.queues[0], model_first_live(&m.queues[0], 1), CAUSE_ACKED);
}

/* The spare was given up for a checkpoint, and the file system needs room for removing it, too. */
static void a_spare_is_not_made_while_its_file_is_being_removed(void **state)
{
    (void)state;
    struct log *l = log_now();
    while (l->segment_count < 3)
        append_one_group();
    model_quiet(&m);
    disk_set_capacity(m.disk, disk_used(m.disk));
    settle_the_oldest_segment();
    for (int i = 0; i < 20 && !l->checkpoint_starved; i++)
        model_turn(&m, 100, UINT64_MAX);
    assert_int_equal(l->spares, SPARES - 1);
    disk_set_fault(m.disk, DISK_REMOVE_NO_SPACE, true);
    model_turn(&m, 1, 1);
    model_poll(&m);
    assert_int_equal(l->leftover_count, 1);
    disk_set_capacity(m.disk, disk_used(m.disk) + SEGMENT / 2);
    model_turn(&m, 1100, 0); /* it is tried again, behind the checkpoint, which frees a segment */
    assert_int_equal(disk_pending(m.disk), 2);
    disk_step(m.disk, &m.random);
    disk_set_fault(m.disk, DISK_REMOVE_NO_SPACE, true);
    for (int i = 0; i < 3; i++)
        model_turn(&m, 1, UINT64_MAX);
    assert_false(disk_fault_is_armed(m.disk, DISK_REMOVE_NO_SPACE));
    assert_false(m.failed);
    assert_int_equal(l->spares, SPARES);
    disk_set_capacity(m.disk, UINT64_MAX);
    begin_segments(3);
    model_restart(&m, MODEL_CRASH);
}

/* ------------------------------------------------------------------ starts */

struct looking {
    struct log *log;
    unsigned unused;
};

/* By its header a start recognizes a recycled file that was not used yet: then nothing of the new segment may be in
 * it. */
static void holds_nothing_of_its_own(void *context, const char *name, struct span content)
{
    struct looking *l = context;
    struct group_header h;
    uint64_t id;
    if (!segment_id_of(name, &id) || !log_was_never_begun(l->log, id))
        return;
    struct segment_header own = log_header_of(l->log, id, 0);
    assert_true(group_search(content, 0, &own, &h) == SIZE_MAX);
    l->unused++;
}

static unsigned look_for_unused(void)
{
    struct files *f = disk_open(m.disk);
    struct looking l = { .log = log_new(&m.config, f) };
    l.log->keyed = true;
    disk_each(m.disk, holds_nothing_of_its_own, &l);
    log_free(l.log);
    f->ops->close(f);
    return l.unused;
}

static void a_start_reads_nothing_of_a_files_earlier_use(void **state)
{
    (void)state;
    static const enum model_end ends[] = { MODEL_CRASH, MODEL_KILL, MODEL_CRASH, MODEL_STOP };
    unsigned unused = 0;
    for (int round = 0; round < 40; round++) {
        begin_segments(3);
        for (uint64_t i = model_random(&m, 40); i > 0; i--) { /* to anywhere, also between one segment and the next */
            model_append(&m, &m.queues[0], 4, 400, false);
            model_turn(&m, 1, model_random(&m, 4));
        }
        model_shut(&m, ends[round % 4]);
        unused += look_for_unused();
        model_open(&m, ends[round % 4]);
    }
    assert_true(unused > 40);
}

/* Tears the last group: up to `cut` the file is as it is now, behind that as it was before the group was written. */
static struct disk *torn_at(struct span before, struct span now, uint64_t cut, bool head_is_lost)
{
    struct disk *d = dir_copy(m.disk);
    struct buf b = { 0 };
    const struct span parts[2] = { head_is_lost ? before : now, head_is_lost ? now : before };
    buf_add(&b, parts[0].data, cut);
    buf_add(&b, parts[1].data + cut, parts[1].size - cut);
    disk_put(d, active_name(), buf_span(&b));
    buf_free(&b);
    return d;
}

static void a_group_torn_over_older_bytes_is_cut(void **state)
{
    (void)state;
    struct span content;
    struct buf before = { 0 };
    struct error e;
    struct lines lines;
    begin_segments(10);
    while (log_now()->since_checkpoint > SEGMENT / 4 || segment_active(log_now())->size > SEGMENT / 2)
        come_and_go();
    model_quiet(&m);
    uint64_t checkpoints = log_now()->info.checkpoints;
    assert_true(disk_content(m.disk, active_name(), &content));
    buf_add(&before, content.data, content.size);
    uint64_t at = segment_active(log_now())->size, live = m.queues[0].live;
    for (int i = 0; i < 4; i++)
        assert_true(model_append(&m, &m.queues[0], 4, 400, false)); /* one group, of more than a page */
    while (m.done < m.ticket)
        model_turn(&m, 1, UINT64_MAX);
    assert_int_equal(log_now()->info.checkpoints, checkpoints);
    uint64_t behind = segment_active(log_now())->size;
    assert_true(behind > at + 6400 && behind < SEGMENT);
    assert_true(disk_content(m.disk, active_name(), &content));
    for (uint64_t cut = at; cut < behind + 8192; cut += 61) {
        for (int head = 0; head < 2; head++) {
            struct disk *d = torn_at(buf_span(&before), content, cut, head);
            bool torn, whole = head ? cut == at : cut >= behind;
            if (!dir_check(d, &lines))
                fail_msg("cut at %d: %s", (int)cut, lines.text);
            assert_int_equal(dir_open(d, &m.config, &e, &torn), (int64_t)live + (whole ? 16 : 0));
            assert_int_equal(dir_open(d, &m.config, &e, &torn), (int64_t)live + (whole ? 16 : 0));
            assert_false(torn);
            disk_free(d);
        }
    }
    buf_free(&before);
}

static void damage_before_older_bytes_is_reported(void **state)
{
    (void)state;
    begin_segments(10);
    struct lines lines;
    while (dir_groups(m.disk, active_name()).count < 4) {
        come_and_go();
        model_quiet(&m);
    }
    struct groups g = dir_groups(m.disk, active_name());
    struct disk *d = dir_copy(m.disk);
    assert_true(dir_check(d, &lines));
    says(lines, ".log: holds nothing that is needed"); /* spares */
    assert_null(strstr(lines.text, "torn"));
    assert_true(disk_damage(d, active_name(), g.of[g.count - 2].at + 50, 1, &chance));
    dir_refuses(d, &m.config, active_name(), ": damaged at offset ");
    assert_false(dir_check(d, &lines));
    disk_free(d);
}

int main(void)
{
#define with_log(test) with_queues(test, 1)
    const struct CMUnitTest tests[] = {
        with_log(freed_segments_become_spares),
        with_log(of_many_segments_freed_at_once_two_files_are_kept),
        with_log(a_file_of_another_size_is_not_recycled),
        with_log(a_checkpoint_that_lacks_room_gets_that_of_a_kept_file),
        with_log(kept_files_are_given_up_one_by_one),
        with_log(a_file_that_could_not_be_renamed_and_lost_its_place_is_removed),
        with_log(a_spare_is_not_made_while_its_file_is_being_removed),
        with_log(a_start_reads_nothing_of_a_files_earlier_use),
        with_log(a_group_torn_over_older_bytes_is_cut),
        with_log(damage_before_older_bytes_is_reported),
    };
    return cmocka_run_group_tests_name("log_recycle", tests, NULL, NULL);
}

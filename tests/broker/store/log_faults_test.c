/* The log over a real directory, while each system call fails in turn. EIO anywhere, and a lack of room where room
 * was allocated before, end the log: it reports the failure once and confirms nothing more. A lack of room elsewhere
 * is waited out. Whatever fails, what was confirmed is there at the next start. */
#include "broker/disk/files_posix.h"
#include "broker/store/log.h"
#include "tests/broker/disk/system_calls.h"

#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEGMENT    (64u << 10)
#define MOST_TURNS 60000 /* turns; one in which nothing happens takes a millisecond */
#define BACKLOG    20u   /* events that stay when all others are settled … */
#define MOST       400u  /* … as they are when there are more than these: several segments are free at once */

static struct {
    char path[64];
    struct files *files;
    struct store *log;
    mono_t now;
    uint64_t next, settled, confirmed; /* sequences: the next one, and the ends of what was settled and confirmed */
    uint64_t tickets[1u << 16];
    unsigned failures, refused;
} t;

static void open_log(void)
{
    struct error e = { "" };
    struct log_config config;
    const struct log_replay nobody = { 0 };
    log_config_defaults(&config);
    config.segment_size = SEGMENT;
    t.files = files_posix_open(t.path, false, &e);
    if (!t.files)
        fail_msg("%s", e.text);
    t.log = log_open(&config, t.files, &nobody, &e);
    if (!t.log)
        fail_msg("%s", e.text);
}

static void close_log(void)
{
    t.log->ops->close(t.log);
    t.files->ops->close(t.files);
}

static int begin(void **state)
{
    (void)state;
    memset(&t, 0, sizeof t);
    t.next = t.settled = t.confirmed = 1;
    strcpy(t.path, "/tmp/sluice-log-faults-XXXXXX");
    assert_non_null(mkdtemp(t.path));
    open_log();
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)kind;
    (void)where;
    return remove(path);
}

static int end(void **state)
{
    (void)state;
    disarm();
    close_log();
    return nftw(t.path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void take(const struct store_completion *done)
{
    assert_int_equal(done->kind, STORE_DURABLE);
    assert_int_equal(t.failures, 0); /* nothing comes behind it */
    t.failures += done->status == STORE_FAILED;
    while (done->status == STORE_OK && t.confirmed < t.next && t.tickets[t.confirmed] <= done->ticket)
        t.confirmed++;
}

/* One event comes; when there are many confirmed ones, most of them are settled. 100 ms of the log's time pass. */
static void turn(void)
{
    static const uint8_t bytes[900];
    struct store_event event = { .event = span_of(bytes, sizeof bytes) };
    struct store_run run = { .queue = 1, .first = t.next, .events = &event, .count = 1, .accepted_ms = 1 };
    struct store_completion done;
    enum store_status status = t.log->ops->append(t.log, &run, &t.tickets[t.next]);
    t.next += status == STORE_LATER;
    t.refused += status == STORE_FULL;
    bool many = t.settled + MOST < t.confirmed;
    while (many && t.settled + BACKLOG < t.confirmed)
        t.log->ops->settle(t.log, 1, t.settled++, 0, sizeof bytes, CAUSE_ACKED);
    t.now = mono_add_ms(t.now, 100);
    t.log->ops->flush(t.log, t.now);
    poll(&(struct pollfd){ .fd = t.files->ops->fd(t.files), .events = POLLIN }, 1, 1);
    while (t.log->ops->poll(t.log, &done))
        take(&done);
}

static void count_live(void *context, uint64_t first, uint64_t end_of)
{
    uint64_t *next = context;
    if (first <= *next && end_of > *next)
        *next = end_of;
}

/* Checks that all events that were confirmed and not settled are there. */
static void restart(void)
{
    uint64_t next = t.settled, bytes;
    disarm();
    close_log();
    open_log();
    log_each_live(t.log, 1, count_live, &next, &bytes);
    if (next < t.confirmed)
        fail_msg("%llu to %llu were confirmed, and are lost", (unsigned long long)next,
                 (unsigned long long)t.confirmed);
}

static void ends(enum call call, unsigned after, int error)
{
    for (int i = 0; i < 30; i++)
        turn();
    arm(call, after, error);
    for (int i = 0; i < MOST_TURNS && !t.failures; i++)
        turn();
    if (!fault_struck() || t.failures != 1)
        fail_msg("call %d, %s: it %s", (int)call, strerror(error), fault_struck() ? "did not end" : "was not made");
    if (!strstr(log_failure(t.log), strerror(EIO)) && !strstr(log_failure(t.log), strerror(error)))
        fail_msg("call %d, %s: it says %s", (int)call, strerror(error), log_failure(t.log));
    for (int i = 0; i < 20; i++)
        turn(); /* no confirm, no second word */
    restart();
}

static const int room[] = { ENOSPC, EDQUOT };

static void a_failing_call_ends_the_log(void **state)
{
    for (int call = 0; call < CALLS; call++) {
        if (call == PREAD || call == CLOSE)
            continue;
        ends((enum call)call, 0, EIO);
        end(state);
        begin(state);
    }
}

/* Writes go into allocated space; and after a failed directory sync it is unknown what the directory holds. */
static void a_lack_of_room_where_it_was_allocated_ends_the_log(void **state)
{
    static const enum call calls[] = { PWRITE, FDATASYNC, SYNC_DIRECTORY, OPEN };
    for (size_t i = 0; i < 2 * sizeof calls / sizeof *calls; i++) {
        ends(calls[i / 2], 0, room[i % 2]);
        end(state);
        begin(state);
    }
}

/* The call failed, and what depends on it stands still: events find no place (unless it was an unlink), but those
 * that are there can be settled. */
static bool is_felt(enum call call)
{
    bool waits = t.refused > 0 && t.settled + MOST >= t.confirmed;
    return fault_struck() && (call == UNLINK || waits);
}

/* The call fails once, or every time until there is room. The threads that make the calls run when the machine lets
 * them. */
static void a_lack_of_room_elsewhere_is_waited_out(void **state)
{
    static const enum call calls[] = { FALLOCATE, FSYNC, RENAME, UNLINK, CREATE };
    for (size_t i = 0; i < 2 * sizeof calls / sizeof *calls; i++) {
        arm_for_good(calls[i / 2], room[i % 2]);
        for (int n = 0; n < 400 || (n < MOST_TURNS && !is_felt(calls[i / 2])); n++)
            turn();
        if (!fault_struck() || t.failures)
            fail_msg("call %d: %s", (int)calls[i / 2], fault_struck() ? log_failure(t.log) : "it was not made");
        assert_true(is_felt(calls[i / 2]));
        disarm();
        uint64_t before = t.confirmed;
        for (int n = 0; n < MOST_TURNS && t.confirmed < before + 300; n++)
            turn();
        assert_true(t.confirmed >= before + 300);
        restart();
        end(state);
        begin(state);
    }
}

struct sizes {
    uint64_t logs;
};

static void count_log(void *context, const char *name, uint64_t size)
{
    (void)size;
    ((struct sizes *)context)->logs += strstr(name, ".log") && strcmp(name, "log.key") != 0;
}

static void what_could_not_be_removed_is_removed_later(void **state)
{
    (void)state;
    struct sizes full = { 0 }, after = { 0 };
    arm_for_good(UNLINK, ENOSPC);
    for (int i = 0; i < MOST_TURNS && full.logs <= 20; i++) {
        turn();
        full.logs = 0;
        assert_int_equal(t.files->ops->list(t.files, count_log, &full), 0);
    }
    assert_true(full.logs > 20);
    disarm();
    for (int i = 0; i < MOST_TURNS && (i == 0 || after.logs > 13); i++) { /* a thread removes them, in its own time */
        turn();
        after.logs = 0;
        assert_int_equal(t.files->ops->list(t.files, count_log, &after), 0);
    }
    assert_true(after.logs <= 13); /* of MOST events, the active one, spares, and those that wait to become such */
    restart();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_failing_call_ends_the_log, begin, end),
        cmocka_unit_test_setup_teardown(a_lack_of_room_where_it_was_allocated_ends_the_log, begin, end),
        cmocka_unit_test_setup_teardown(a_lack_of_room_elsewhere_is_waited_out, begin, end),
        cmocka_unit_test_setup_teardown(what_could_not_be_removed_is_removed_later, begin, end),
    };
    return cmocka_run_group_tests_name("log_faults", tests, NULL, NULL);
}

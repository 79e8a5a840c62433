/* Peeking at events on disk only: the page is read first, and the answer follows. */
#include "tests/broker/core/disk_driver.h"

#include <stdio.h>

#define EVENTS 60u
#define SIZE   4000u

/* Publishes more than is read ahead, so that the last events are on disk only. Returns the first of those. */
static uint64_t filled(void)
{
    struct peer *p = joined("p");
    for (unsigned i = 0; i < EVENTS; i++)
        publish_durably(p, "big:4000");
    crash(0);
    for (unsigned i = 0; i < 8; i++)
        settle_disk();
    uint64_t loaded = queue_find(bench.d->core, span_str("orders"))->loaded;
    assert_in_range(loaded, 10, EVENTS - 10);
    return loaded;
}

static void look(uint64_t from, uint32_t max)
{
    struct request r = { .call = CALL_PEEK, .queue = "orders" };
    r.u.peek.state = STATE_READY, r.u.peek.from = from, r.u.peek.max = max;
    ask_only(bench.d, &r);
}

/* "12+3 next 15": the first, how many */
static const char *page(void)
{
    static char text[64];
    const struct reply *reply = &bench.d->reply;
    assert_int_equal(reply->reason, REASON_ok);
    assert_int_equal(reply->result, RESULT_PEEKED);
    size_t count = reply->u.peeked.count;
    for (size_t i = 0; i < count; i++)
        assert_int_equal(reply->u.peeked.events[i].event.size, SIZE);
    snprintf(text, sizeof text, "%llu+%zu next %llu",
             (unsigned long long)(count ? reply->u.peeked.events[0].sequence : 0), count,
             (unsigned long long)reply->u.peeked.next);
    return text;
}

static void events_on_disk_only_are_read_and_shown(void **state)
{
    struct driver *d = *state;
    filled();
    unsigned before = d->replies;
    look(EVENTS, 10);
    assert_int_equal(d->replies, before);
    settle_disk();
    assert_int_equal(d->replies, before + 1);
    assert_string_equal(page(), "60+1 next 0");
    assert_int_equal(d->reply.u.peeked.events[0].attempt, 0);
}

static void a_page_on_disk_says_where_the_next_one_begins(void **state)
{
    (void)state;
    uint64_t loaded = filled();
    look(loaded, 2);
    settle_disk();
    page();
    const struct reply *reply = &bench.d->reply;
    assert_in_range(reply->u.peeked.count, 1, 2);
    assert_int_equal(reply->u.peeked.events[0].sequence, loaded);
    assert_int_equal(reply->u.peeked.next, loaded + reply->u.peeked.count);
}

static void a_page_that_begins_in_memory_ends_there(void **state)
{
    struct driver *d = *state;
    uint64_t loaded = filled();
    char expected[64];
    unsigned before = d->replies;
    look(loaded - 2, 10);
    assert_int_equal(d->replies, before + 1);
    snprintf(expected, sizeof expected, "%llu+2 next %llu", (unsigned long long)loaded - 2, (unsigned long long)loaded);
    assert_string_equal(page(), expected);
}

static void events_that_are_purged_meanwhile_are_not_shown(void **state)
{
    struct driver *d = *state;
    filled();
    look(EVENTS, 10);
    unsigned before = d->replies;
    ask_only(d, &(struct request){ .call = CALL_PURGE, .queue = "orders" });
    bench.log->ops->flush(bench.log, d->now.mono);
    settle_disk();
    assert_int_equal(d->replies, before + 2);
    look(1, 10);
    assert_string_equal(page(), "0+0 next 0");
}

static void a_queue_that_is_deleted_meanwhile_is_reported(void **state)
{
    struct driver *d = *state;
    filled();
    look(EVENTS, 10);
    struct request r = { .call = CALL_DELETE, .queue = "orders", .u.delete_.force = true };
    ask_only(d, &r);
    core_disk(d->core, d->now); /* the load may complete before or after the deletion is answered */
    settle_disk();
    assert_int_equal(d->core->pending_peek_count, 0);
}

static void too_many_pages_at_once_are_refused(void **state)
{
    struct driver *d = *state;
    filled();
    unsigned before = d->replies;
    for (unsigned i = 0; i < 16; i++)
        look(EVENTS, 1);
    assert_int_equal(d->replies, before);
    look(EVENTS, 1);
    assert_int_equal(d->replies, before + 1);
    assert_int_equal(d->reply.reason, REASON_busy);
    for (unsigned i = 0; i < 8; i++)
        settle_disk();
    assert_int_equal(d->replies, before + 17);
}

static void a_broker_ends_while_pages_are_read(void **state)
{
    (void)state;
    filled();
    for (unsigned i = 0; i < 3; i++)
        look(EVENTS, 1);
    crash(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_disk(events_on_disk_only_are_read_and_shown),
        on_disk(a_page_on_disk_says_where_the_next_one_begins),
        on_disk(a_page_that_begins_in_memory_ends_there),
        on_disk(events_that_are_purged_meanwhile_are_not_shown),
        on_disk(a_queue_that_is_deleted_meanwhile_is_reported),
        on_disk(too_many_pages_at_once_are_refused),
        on_disk(a_broker_ends_while_pages_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What --check says of a directory: the names of queues, which only the core's data in the log has. */
#include "broker/core/durable/persist_names.h"
#include "tests/broker/core/disk_driver.h"

#include <stdio.h>

struct lines {
    char text[4096];
};

static void add_line(void *context, const char *line)
{
    struct lines *l = context;
    size_t used = strlen(l->text);
    snprintf(l->text + used, sizeof l->text - used, "%s\n", line);
}

static void copy(void *to, const char *name, struct span content)
{
    disk_put(to, name, content);
}

static void take(void *context, struct span words)
{
    queue_names_read(context, words);
}

static const char *name_of(const void *context, uint32_t queue)
{
    return queue_names_of(context, queue);
}

static struct lines checked(void)
{
    struct lines l = { "" };
    struct disk *d = disk_new();
    disk_each(bench.disk, copy, d);
    struct files *files = disk_open(d);
    struct queue_names *known = queue_names_new();
    assert_true(log_check(files, &(struct log_names){ known, take, name_of }, core_can_restore, add_line, &l));
    queue_names_free(known);
    files->ops->close(files);
    disk_free(d);
    return l;
}

static void says(const char *what)
{
    struct lines l = checked();
    if (!strstr(l.text, what))
        fail_msg("'%s' is not in:\n%s", what, l.text);
}

static void queues_are_named_by_notes_and_by_the_checkpoint(void **state)
{
    (void)state;
    assert_string_equal(declare_durably("mail", ""), "ok");
    struct peer *p = joined("p");
    publish_durably(p, "one two");
    publish(p, "mail", 0, "three");
    settle_disk();
    for (unsigned i = 0; i < 2; i++) { /* from notes, then from a checkpoint */
        says("queue 1 (orders): 2 events of 6 bytes are live");
        says("queue 2 (mail): 1 event of 5 bytes is live");
        stop_orderly();
    }
}

static void a_deleted_queue_keeps_its_name(void **state)
{
    (void)state;
    assert_string_equal(declare_durably("mail", ""), "ok");
    publish(joined("p"), "mail", 0, "one");
    settle_disk();
    struct request r = { .call = CALL_DELETE, .queue = "mail", .u.delete_.force = true };
    assert_string_equal(ask_durably(&r), "ok");
    assert_string_equal(declare_durably("mail", ""), "ok");
    says("queue 2 (mail): 1 event was accepted in these segments, sequences 1 to 1");
}

/* Another version of the broker may write other fields. */
static void unknown_and_malformed_fields_are_skipped(void **state)
{
    (void)state;
    struct queue_names *n = queue_names_new();
    queue_names_read(n, span_str(""));
    queue_names_read(n, span_str("\377\377\377"));
    queue_names_read(n, span_str("\x0a\x00"));
    for (uint32_t id = 0; id < 4; id++)
        assert_string_equal(queue_names_of(n, id), "");
    queue_names_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_disk(queues_are_named_by_notes_and_by_the_checkpoint),
        on_disk(a_deleted_queue_keeps_its_name),
        cmocka_unit_test(unknown_and_malformed_fields_are_skipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "tests/broker/store/log_dirs.h"

#include "broker/store/log_format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void put_copy(void *context, const char *name, struct span content)
{
    disk_put(context, name, content);
}

struct disk *dir_copy(const struct disk *from)
{
    struct disk *d = disk_new();
    disk_each(from, put_copy, d);
    return d;
}

struct groups dir_groups(const struct disk *d, const char *name)
{
    struct groups g = { .count = 0 };
    struct span content, records;
    struct segment_header sh;
    struct group_header h;
    assert_true(disk_content(d, name, &content));
    assert_int_equal(segment_header_read(content, &sh), LOG_OK);
    uint64_t chain = sh.chain, at = SEGMENT_HEADER_SIZE;
    while (group_read(span_of(content.data + at, content.size - at), &sh, chain, &h, &records) == LOG_OK) {
        assert_true(g.count < 256);
        g.of[g.count].at = at;
        at += group_header_size(sh.version) + h.size;
        g.of[g.count].end = at;
        while (content.data[g.of[g.count].end - 1] == 0)
            g.of[g.count].end--; /* what is torn reads as zeros: these are never missed */
        g.count++;
        chain = h.chain;
    }
    return g;
}

void dir_zero_from(struct disk *d, const char *name, uint64_t from)
{
    struct span content;
    struct buf b = { 0 };
    assert_true(disk_content(d, name, &content));
    buf_add(&b, content.data, content.size);
    memset(b.data + from, 0, b.size - from);
    disk_put(d, name, buf_span(&b));
    buf_free(&b);
}

/* ------------------------------------------------------------------ opening them */

static void count_live(void *context, uint64_t first, uint64_t last)
{
    *(uint64_t *)context += last - first;
}

int64_t dir_open(struct disk *d, const struct log_config *config, struct error *e, bool *torn)
{
    struct log_replay nobody = { 0 };
    struct log_info info = { 0 };
    struct files *files = disk_open(d);
    struct store *log = log_open(config, files, &nobody, e);
    uint64_t live = 0, bytes;
    if (log) {
        log_validate(log);
        log_info(log, &info);
        for (uint32_t queue = 1; queue <= DIR_QUEUES; queue++)
            log_each_live(log, queue, count_live, &live, &bytes);
        log->ops->close(log);
    }
    *torn = info.torn;
    files->ops->close(files);
    return log ? (int64_t)live : -1;
}

void dir_refuses(struct disk *d, const struct log_config *config, const char *one, const char *two)
{
    struct error e = { "" };
    bool torn;
    assert_int_equal(dir_open(d, config, &e, &torn), -1);
    if (!strstr(e.text, one) || !strstr(e.text, two))
        fail_msg("'%s' lacks '%s' or '%s'", e.text, one, two);
}

static void add_line(void *context, const char *line)
{
    struct lines *l = context;
    size_t used = strlen(l->text);
    snprintf(l->text + used, sizeof l->text - used, "%s\n", line);
}

bool dir_check(struct disk *d, struct lines *l)
{
    struct files *files = disk_open(d);
    uint64_t before = disk_digest(d);
    l->text[0] = 0;
    bool whole = log_check(files, NULL, NULL, add_line, l);
    files->ops->close(files);
    assert_true(disk_digest(d) == before); /* it only reads */
    return whole;
}

bool dir_repair(struct disk *from, struct disk *to, struct lines *l)
{
    struct files *source = disk_open(from), *target = disk_open(to);
    l->text[0] = 0;
    bool fine = log_repair(source, target, (const uint8_t[LOG_KEY_SIZE]){ "repaired" }, NULL, add_line, l);
    source->ops->close(source);
    target->ops->close(target);
    return fine;
}

void dir_remove(struct disk *d, const char *name)
{
    struct files *files = disk_open(d);
    struct file_op op = { .kind = FILE_REMOVE };
    snprintf(op.name, sizeof op.name, "%s", name);
    assert_int_equal(files->ops->apply(files, &op), 0);
    files->ops->close(files);
}

/* The log's secret key. It is drawn when the log is new. It is kept in a file of its own and in the header of every
 * segment, so that losing the file or a header does not lose the key. */
#include "broker/store/log_walk.h"

#include <errno.h>
#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define KEY_FILE_SIZE (LOG_KEY_SIZE + 8) /* the key and its checksum */

static bool find_in_file(struct log *l, bool *key_in_file, struct error *e)
{
    uint8_t bytes[KEY_FILE_SIZE];
    size_t got = 0;
    int why = l->files->ops->read(l->files, LOG_KEY_FILE, 0, bytes, sizeof bytes, &got);
    if (why && why != ENOENT)
        return error_set(e, "cannot read " LOG_KEY_FILE ": %s", strerror(why));
    *key_in_file = !why && got == sizeof bytes && wire_load64(bytes + LOG_KEY_SIZE) == XXH3_64bits(bytes, LOG_KEY_SIZE);
    if (*key_in_file)
        memcpy(l->config.key, bytes, LOG_KEY_SIZE);
    return true;
}

static bool find_in_header(struct log *l, uint64_t id)
{
    uint8_t bytes[SEGMENT_HEADER_SIZE];
    char name[FILE_NAME_SIZE];
    struct segment_header h;
    size_t got = 0;
    segment_name(name, id);
    if (l->files->ops->read(l->files, name, 0, bytes, sizeof bytes, &got) != 0 ||
        segment_header_read(span_of(bytes, got), &h) != LOG_OK || h.version < 2)
        return false;
    memcpy(l->config.key, h.key, LOG_KEY_SIZE);
    return true;
}

bool log_key_find(struct log *l, bool *key_in_file, struct error *e)
{
    size_t count = 0;
    int why = 0;
    if (!find_in_file(l, key_in_file, e))
        return false;
    l->keyed = *key_in_file;
    uint64_t *ids = *key_in_file ? NULL : walk_list(l->files, &count, &why);
    for (size_t i = 0; i < count && !l->keyed; i++)
        l->keyed = find_in_header(l, ids[i]);
    free(ids);
    return why == 0 ? true : error_set(e, "cannot list the data directory: %s", strerror(why));
}

bool log_key_write(struct log *l, struct error *e)
{
    struct file_op op = { .kind = FILE_REPLACE, .name = LOG_KEY_FILE };
    uint8_t sum[8];
    wire_store64(sum, XXH3_64bits(l->config.key, LOG_KEY_SIZE));
    buf_add(&op.data, l->config.key, LOG_KEY_SIZE);
    buf_add(&op.data, sum, sizeof sum);
    int why = l->files->ops->apply(l->files, &op);
    buf_free(&op.data);
    l->keyed = why == 0;
    return why == 0 ? true : error_set(e, "cannot write " LOG_KEY_FILE ": %s", strerror(why));
}

bool log_was_never_begun(const struct log *l, uint64_t segment)
{
    uint8_t bytes[SEGMENT_HEADER_SIZE];
    char name[FILE_NAME_SIZE];
    struct segment_header h;
    size_t got = 0;
    segment_name(name, segment);
    return l->keyed && l->files->ops->read(l->files, name, 0, bytes, sizeof bytes, &got) == 0 &&
           segment_header_read(span_of(bytes, got), &h) == LOG_OK && h.id < segment && h.version > 1 &&
           memcmp(h.key, l->config.key, LOG_KEY_SIZE) == 0;
}

struct segment_header log_header_of(const struct log *l, uint64_t segment, uint64_t chain)
{
    struct segment_header h = { .version = LOG_VERSION, .id = segment, .chain = chain };
    memcpy(h.key, l->config.key, LOG_KEY_SIZE);
    return h;
}

struct segment_header log_header_in(const struct log *l, struct span bytes, uint64_t segment, bool *whole)
{
    struct segment_header h;
    *whole = segment_header_read(bytes, &h) == LOG_OK && h.id == segment;
    if (*whole)
        return h;
    h = log_header_of(l, segment, 0);
    h.version = l->keyed ? LOG_VERSION : 1;
    return h;
}

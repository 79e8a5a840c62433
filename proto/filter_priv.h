/* The encoded form of filters, shared by filter.c and filter_json.c.
 *
 *   byte 0      FILTER_VERSION
 *   then one F: op, followed by
 *     exact, prefix, suffix   count (1–64), then that many tests: name size (1–64), name, value size (varint in the
 *                             fewest bytes, not 0), value
 *     all, any                count (1–64), then that many F
 *     not                     one F
 *
 * It is stored on disk: the meaning of a byte never changes; a new form gets a new version. */
#ifndef SLUICE_PROTO_FILTER_PRIV_H
#define SLUICE_PROTO_FILTER_PRIV_H

#include "proto/filter.h"
#include "proto/wire.h"

#define FILTER_VERSION  1u
#define FILTER_NAME_MAX 64u

enum filter_op { FILTER_EXACT = 1, FILTER_PREFIX, FILTER_SUFFIX, FILTER_ALL, FILTER_ANY, FILTER_NOT };

/* One attribute compared with one value. */
struct filter_test {
    enum filter_op op;
    struct span name, value;
};

static inline bool filter_byte(struct wire_reader *r, unsigned *out)
{
    if (r->at == r->end)
        return false;
    *out = *r->at++;
    return true;
}

static inline bool filter_take(struct wire_reader *r, uint64_t size, struct span *out)
{
    if (size == 0 || size > (uint64_t)(r->end - r->at))
        return false;
    *out = span_of(r->at, (size_t)size);
    r->at += size;
    return true;
}

/* An attribute's name as CloudEvents allows it. */
bool filter_name_valid(struct span name);
/* Reads one test of a filter with that op; false: malformed. */
bool filter_read_test(struct wire_reader *r, enum filter_op op, struct filter_test *out);

#endif

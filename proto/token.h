/* A 128-bit random name: of a session (its secret), a producer, a control request. */
#ifndef SLUICE_PROTO_TOKEN_H
#define SLUICE_PROTO_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

struct token {
    uint64_t high, low;
};

static inline bool token_equal(struct token a, struct token b)
{
    return a.high == b.high && a.low == b.low;
}

static inline bool token_is_zero(struct token t)
{
    return (t.high | t.low) == 0;
}

#endif

/* The protobuf wire format, as little of it as the hot path needs: a bounds-checked reader and a writer.
 * Reading never allocates and never trusts; a peer's bad bytes are `false`, never an assert.
 * Source: protobuf encoding guide; interoperability with protobuf-c is a test. */
#ifndef SLUICE_PROTO_WIRE_H
#define SLUICE_PROTO_WIRE_H

#include "base/buf.h"

#include <stdlib.h>

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct wire_reader {
    const uint8_t *at;
    const uint8_t *end;
};

/* One field: `number` holds varints and fixed values, `bytes` the length-delimited ones. */
struct wire_field {
    uint32_t tag; /* field number */
    uint32_t type;
    uint64_t number;
    struct span bytes;
};

static inline struct wire_reader wire_open(struct span s)
{
    return (struct wire_reader){ .at = s.data, .end = s.data + s.size };
}

static inline bool wire_done(const struct wire_reader *r)
{
    return r->at == r->end;
}

/* A varint of at most 10 bytes. */
static inline bool wire_varint(struct wire_reader *r, uint64_t *out)
{
    const uint8_t *at = r->at;
    if (at < r->end && *at < 0x80) {
        *out = *at;
        r->at = at + 1;
        return true;
    }
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70 && at < r->end; shift += 7) {
        uint8_t byte = *at++;
        if (shift == 63 && byte > 1)
            return false;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *out = value;
            r->at = at;
            return true;
        }
    }
    return false;
}

static inline uint64_t wire_load64(const uint8_t *p)
{
    return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24 | (uint64_t)p[4] << 32 |
           (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 | (uint64_t)p[7] << 56;
}

static inline uint32_t wire_load32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Reads the next field. False at malformed bytes (groups, tag 0, overrun); call wire_done() first for the end. */
static inline bool wire_next(struct wire_reader *r, struct wire_field *f)
{
    uint64_t key, size;
    if (!wire_varint(r, &key) || key >> 3 == 0 || key >> 32 != 0)
        return false;
    f->tag = (uint32_t)(key >> 3);
    f->type = (uint32_t)(key & 7);
    switch (f->type) {
    case WIRE_VARINT: return wire_varint(r, &f->number);
    case WIRE_BYTES:
        if (!wire_varint(r, &size) || size > (uint64_t)(r->end - r->at))
            return false;
        f->bytes = span_of(r->at, (size_t)size);
        r->at += size;
        return true;
    case WIRE_FIXED64:
        if (r->end - r->at < 8)
            return false;
        f->number = wire_load64(r->at);
        r->at += 8;
        return true;
    case WIRE_FIXED32:
        if (r->end - r->at < 4)
            return false;
        f->number = wire_load32(r->at);
        r->at += 4;
        return true;
    default: return false;
    }
}

/* Fast path for the usual next field: `tag` (below 16) with fewer than 16 KiB of bytes. For anything else, including
 * malformed bytes and the end, returns false and reads nothing; use wire_next then. */
static inline bool wire_next_bytes(struct wire_reader *r, uint32_t tag, struct span *out)
{
    const uint8_t *at = r->at;
    if (r->end - at < 3 || at[0] != (tag << 3 | WIRE_BYTES))
        return false;
    size_t size = at[1];
    at += 2;
    if (size >= 0x80) {
        if (*at >= 0x80)
            return false;
        size = (size & 0x7f) | (size_t)*at++ << 7;
    }
    if (size > (size_t)(r->end - at))
        return false;
    *out = span_of(at, size);
    r->at = at + size;
    return true;
}

/* Prefetches the element a few positions ahead while the one just read is used, assuming neighbours of equal size. A
 * macro, because gcc removes calls of a function that only prefetches. */
#define WIRE_PREFETCH(r, size_of_one)                                                                                  \
    do {                                                                                                               \
        size_t ahead_ = 3 * (size_of_one);                                                                             \
        if (ahead_ + 64 < (size_t)((r)->end - (r)->at)) {                                                              \
            __builtin_prefetch((r)->at + ahead_);                                                                      \
            __builtin_prefetch((r)->at + ahead_ + 64);                                                                 \
        }                                                                                                              \
    } while (0)

/* Bytes a varint takes. */
static inline size_t wire_varint_size(uint64_t value)
{
    size_t size = 1;
    while (value >= 0x80) {
        value >>= 7;
        size++;
    }
    return size;
}

/* Writes a varint and returns the byte after it; `to` has 10 bytes of room. */
static inline uint8_t *wire_put_varint(uint8_t *to, uint64_t value)
{
    while (value >= 0x80) {
        *to++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *to++ = (uint8_t)value;
    return to;
}

/* The same in exactly `bytes` bytes, for values filled in later (non-minimal varints are legal). */
static inline uint8_t *wire_put_padded(uint8_t *to, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i + 1 < bytes; i++, value >>= 7)
        *to++ = (uint8_t)(value | 0x80);
    *to++ = (uint8_t)(value & 0x7f);
    return to;
}

/* Little-endian; the compiler makes one store of it. */
static inline void wire_store32(uint8_t *to, uint32_t value)
{
    to[0] = (uint8_t)value;
    to[1] = (uint8_t)(value >> 8);
    to[2] = (uint8_t)(value >> 16);
    to[3] = (uint8_t)(value >> 24);
}

static inline void wire_store64(uint8_t *to, uint64_t value)
{
    wire_store32(to, (uint32_t)value);
    wire_store32(to + 4, (uint32_t)(value >> 32));
}

/* Appends fields to a buffer. Numbers of 0 and empty strings are left out, as proto3 does. */
static inline void wire_add_number(struct buf *b, uint32_t tag, uint64_t value)
{
    if (value == 0)
        return;
    uint8_t *at = buf_reserve(b, 20);
    uint8_t *end = wire_put_varint(wire_put_varint(at, (uint64_t)tag << 3 | WIRE_VARINT), value);
    b->size += (size_t)(end - at);
}

/* Always written, also when empty (a repeated element). */
static inline void wire_add_bytes(struct buf *b, uint32_t tag, struct span bytes)
{
    uint8_t *at = buf_reserve(b, 20 + bytes.size);
    uint8_t *end = wire_put_varint(wire_put_varint(at, (uint64_t)tag << 3 | WIRE_BYTES), bytes.size);
    if (bytes.size)
        memcpy(end, bytes.data, bytes.size);
    b->size += (size_t)(end - at) + bytes.size;
}

static inline void wire_add_span(struct buf *b, uint32_t tag, struct span bytes)
{
    if (bytes.size)
        wire_add_bytes(b, tag, bytes);
}

static inline void wire_add_fixed64(struct buf *b, uint32_t tag, uint64_t value)
{
    if (value == 0)
        return;
    uint8_t *at = buf_reserve(b, 18);
    uint8_t *end = wire_put_varint(at, (uint64_t)tag << 3 | WIRE_FIXED64);
    wire_store64(end, value);
    b->size += (size_t)(end - at) + 8;
}

/* A nested message whose size is not known yet: its length is a padded varint, patched at the end. Most take 4 bytes
 * for it and stay below 256 MiB; `large` ones take 5 and stay below 32 GiB. A message that is larger ends the process:
 * cut off, its size would make all that follows unreadable. Begins return the mark for the end. */
static inline size_t wire_begin_sized(struct buf *b, uint32_t tag, unsigned bytes)
{
    uint8_t *at = buf_reserve(b, 15);
    uint8_t *end = wire_put_varint(at, (uint64_t)tag << 3 | WIRE_BYTES);
    b->size += (size_t)(end - at) + bytes;
    return b->size;
}

static inline void wire_end_sized(struct buf *b, size_t mark, unsigned bytes)
{
    uint64_t size = b->size - mark;
    if (__builtin_expect(size >> (7 * bytes) != 0, 0))
        abort();
    wire_put_padded(b->data + mark - bytes, size, bytes);
}

static inline size_t wire_begin(struct buf *b, uint32_t tag)
{
    return wire_begin_sized(b, tag, 4);
}

static inline void wire_end(struct buf *b, size_t mark)
{
    wire_end_sized(b, mark, 4);
}

/* The same without a check, where the message around it is checked. */
static inline void wire_end_inner(struct buf *b, size_t mark)
{
    wire_put_padded(b->data + mark - 4, b->size - mark, 4);
}

static inline size_t wire_begin_large(struct buf *b, uint32_t tag)
{
    return wire_begin_sized(b, tag, 5);
}

static inline void wire_end_large(struct buf *b, size_t mark)
{
    wire_end_sized(b, mark, 5);
}

#endif

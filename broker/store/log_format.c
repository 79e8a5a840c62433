/* Segment headers, groups, and the checkpoint's checksum. */
#include "broker/store/log_format.h"

#include <sodium.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define SEGMENT_MAGIC         "SLUICELG"
#define GROUP_MAGIC           UINT32_C(0x50474c53) /* "SLGP" */
#define OLD_GROUP_HEADER_SIZE 32u                  /* of version 1 */
#define CHECKED_SIZE          32u                  /* of a group's header, before its check */

_Static_assert(SEGMENT_KEY_SIZE == crypto_shorthash_KEYBYTES, "the key is SipHash's");

static bool all_zero(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i])
            return false;
    }
    return true;
}

/* ------------------------------------------------------------------ segments */

void segment_header_write(uint8_t out[SEGMENT_HEADER_SIZE], const struct segment_header *h)
{
    memset(out, 0, SEGMENT_HEADER_SIZE);
    memcpy(out, SEGMENT_MAGIC, 8);
    wire_store32(out + 8, h->version);
    wire_store64(out + 16, h->id);
    wire_store64(out + 24, h->chain);
    memcpy(out + 32, h->key, SEGMENT_KEY_SIZE);
    wire_store64(out + 56, XXH3_64bits(out, 56));
}

enum log_status segment_header_read(struct span bytes, struct segment_header *h)
{
    if (bytes.size < SEGMENT_HEADER_SIZE)
        return bytes.size == 0 || all_zero(bytes.data, bytes.size) ? LOG_END : LOG_BAD;
    if (all_zero(bytes.data, SEGMENT_HEADER_SIZE))
        return LOG_END;
    if (memcmp(bytes.data, SEGMENT_MAGIC, 8) != 0 || wire_load64(bytes.data + 56) != XXH3_64bits(bytes.data, 56))
        return LOG_BAD;
    h->version = wire_load32(bytes.data + 8);
    h->id = wire_load64(bytes.data + 16);
    h->chain = wire_load64(bytes.data + 24);
    memcpy(h->key, bytes.data + 32, SEGMENT_KEY_SIZE);
    return LOG_OK;
}

/* ------------------------------------------------------------------ groups
 *
 * A group has two keyed checksums. The check covers the header alone: a search through bytes that a publisher chose
 * can reject a forged header without reading as far as its size says. The chain covers the whole group, and cannot be
 * made without the key. */

size_t group_header_size(uint32_t version)
{
    return version == 1 ? OLD_GROUP_HEADER_SIZE : GROUP_HEADER_SIZE;
}

static uint64_t keyed(const uint8_t *bytes, size_t size, const struct segment_header *in)
{
    uint8_t hash[crypto_shorthash_BYTES];
    crypto_shorthash(hash, bytes, size, in->key);
    return wire_load64(hash);
}

static uint32_t check_of(const uint8_t *header, const struct segment_header *in)
{
    uint8_t bytes[CHECKED_SIZE + 8];
    memcpy(bytes, header, CHECKED_SIZE);
    wire_store64(bytes + CHECKED_SIZE, in->id);
    return (uint32_t)keyed(bytes, sizeof bytes, in);
}

static uint64_t chain_of(const uint8_t *header, struct span records, const struct segment_header *in)
{
    uint8_t bytes[CHECKED_SIZE + 16];
    memcpy(bytes, header, CHECKED_SIZE);
    wire_store64(bytes + CHECKED_SIZE, in->id);
    wire_store64(bytes + CHECKED_SIZE + 8, XXH3_64bits(records.data, records.size));
    return keyed(bytes, sizeof bytes, in);
}

/* Version 1: XXH3 of the records, seeded with that of the header's first 24 bytes, which is seeded with the previous
 * chain and the segment's id. */
static uint64_t old_chain_of(const uint8_t *header, struct span records, uint64_t segment, uint64_t previous)
{
    uint64_t seed = XXH3_64bits_withSeed(header, 24, previous ^ (segment * UINT64_C(0x9e3779b97f4a7c15)));
    return XXH3_64bits_withSeed(records.data, records.size, seed);
}

void group_header_write(uint8_t *out, struct group_header *h, struct span records, const struct segment_header *in,
                        uint64_t previous)
{
    h->size = (uint32_t)records.size;
    h->previous = previous;
    wire_store32(out, GROUP_MAGIC);
    wire_store32(out + 4, h->size);
    wire_store64(out + 8, h->number);
    wire_store64(out + 16, h->durable);
    if (in->version == 1) {
        h->chain = old_chain_of(out, records, in->id, previous);
        wire_store64(out + 24, h->chain);
        return;
    }
    wire_store64(out + 24, previous);
    wire_store32(out + 32, check_of(out, in));
    h->chain = chain_of(out, records, in);
    wire_store64(out + 36, h->chain);
}

bool group_header_read(struct span bytes, const struct segment_header *in, struct group_header *h)
{
    size_t size = group_header_size(in->version);
    if (bytes.size < size || wire_load32(bytes.data) != GROUP_MAGIC)
        return false;
    h->size = wire_load32(bytes.data + 4);
    h->number = wire_load64(bytes.data + 8);
    h->durable = wire_load64(bytes.data + 16);
    h->previous = in->version == 1 ? 0 : wire_load64(bytes.data + 24);
    h->chain = wire_load64(bytes.data + size - 8);
    return h->size <= bytes.size - size &&
           (in->version == 1 || wire_load32(bytes.data + 32) == check_of(bytes.data, in));
}

enum log_status group_read(struct span bytes, const struct segment_header *in, uint64_t previous,
                           struct group_header *h, struct span *records)
{
    size_t size = group_header_size(in->version), look = bytes.size < size ? bytes.size : size;
    if (look == 0 || all_zero(bytes.data, look))
        return LOG_END;
    if (!group_header_read(bytes, in, h))
        return LOG_BAD;
    *records = span_of(bytes.data + size, h->size);
    if (in->version == 1)
        return old_chain_of(bytes.data, *records, in->id, previous) == h->chain ? LOG_OK : LOG_BAD;
    return h->previous == previous && chain_of(bytes.data, *records, in) == h->chain ? LOG_OK : LOG_BAD;
}

static bool records_whole(struct span records)
{
    struct record r;
    enum log_status status;
    while ((status = record_next(&records, &r)) == LOG_OK)
        ;
    return status == LOG_END;
}

static bool is_group(struct span bytes, const struct segment_header *in, struct group_header *h)
{
    if (!group_header_read(bytes, in, h) || h->size == 0)
        return false;
    struct span records = span_of(bytes.data + group_header_size(in->version), h->size);
    return in->version == 1 ? records_whole(records) : chain_of(bytes.data, records, in) == h->chain;
}

/* The next offset at which a header may begin; SIZE_MAX: none. */
static size_t next_magic(struct span bytes, size_t from)
{
    static const uint8_t magic[4] = { 'S', 'L', 'G', 'P' };
    const uint8_t *found = from < bytes.size ? memmem(bytes.data + from, bytes.size - from, magic, sizeof magic) : NULL;
    return found ? (size_t)(found - bytes.data) : SIZE_MAX;
}

size_t group_search(struct span bytes, size_t from, const struct segment_header *in, struct group_header *h)
{
    for (size_t at = from; (at = next_magic(bytes, at)) != SIZE_MAX; at++) {
        if (is_group(span_of(bytes.data + at, bytes.size - at), in, h))
            return at;
    }
    return SIZE_MAX;
}

uint64_t group_reach(struct span bytes)
{
    uint64_t most = 0;
    for (size_t at = 0; (at = next_magic(bytes, at)) != SIZE_MAX && bytes.size - at >= 8; at++) {
        uint64_t end = (uint64_t)at + GROUP_HEADER_SIZE + wire_load32(bytes.data + at + 4);
        most = end > most ? end : most;
    }
    return most;
}

uint64_t checkpoint_checksum(const struct buf *b)
{
    return XXH3_64bits_withSeed(b->data + CHECKPOINT_HEADER, b->size - CHECKPOINT_HEADER, XXH3_64bits(b->data, 24));
}

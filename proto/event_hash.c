/* BLAKE2b-128 of source and id. One hash is a chain of instructions that each wait for the one before; where the processor has
 * AVX2, four are computed beside each other in what takes little longer (RFC 7693; what fits into one block, as nearly all do). */
#include "proto/event.h"

#include <sodium.h>

#define BLOCK sizeof(((struct event_hashes *)NULL)->blocks[0])

void event_hash(struct span source, struct span id, uint8_t out[EVENT_HASH_SIZE])
{
    uint8_t bytes[256];
    crypto_generichash_state state;
    if (source.size + 1 + id.size <= sizeof bytes) { /* at once: nearly always */
        memcpy(bytes, source.data, source.size);
        bytes[source.size] = 0;
        memcpy(bytes + source.size + 1, id.data, id.size);
        crypto_generichash(out, EVENT_HASH_SIZE, bytes, source.size + 1 + id.size, NULL, 0);
        return;
    }
    crypto_generichash_init(&state, NULL, 0, EVENT_HASH_SIZE);
    crypto_generichash_update(&state, source.data, source.size);
    crypto_generichash_update(&state, (const uint8_t[1]){ 0 }, 1);
    crypto_generichash_update(&state, id.data, id.size);
    crypto_generichash_final(&state, out, EVENT_HASH_SIZE);
}

static void hash_each(struct event_hashes *h)
{
    for (unsigned i = 0; i < h->count; i++)
        crypto_generichash(h->out[i], EVENT_HASH_SIZE, (const uint8_t *)h->blocks[i], h->sizes[i], NULL, 0);
}

#ifdef __x86_64__

/* A word of each of the four. */
typedef uint64_t words __attribute__((vector_size(8 * EVENT_HASHES_AT_ONCE)));

#    define INLINE static inline __attribute__((always_inline))

INLINE void turn_right(words *w, unsigned bits)
{
    *w = *w >> bits | *w << (64 - bits);
}

INLINE void mix(words *a, words *b, words *c, words *d, const words *x, const words *y)
{
    *a += *b + *x;
    *d ^= *a;
    turn_right(d, 32);
    *c += *d;
    *b ^= *c;
    turn_right(b, 24);
    *a += *b + *y;
    *d ^= *a;
    turn_right(d, 16);
    *c += *d;
    *b ^= *c;
    turn_right(b, 63);
}

INLINE void mix_all(words v[16], const words m[16], const uint8_t order[16])
{
    static const uint8_t shape[8][4] = { { 0, 4, 8, 12 },  { 1, 5, 9, 13 },  { 2, 6, 10, 14 }, { 3, 7, 11, 15 },
                                         { 0, 5, 10, 15 }, { 1, 6, 11, 12 }, { 2, 7, 8, 13 },  { 3, 4, 9, 14 } };
#    pragma GCC unroll 8
    for (unsigned i = 0; i < 8; i++) {
        const uint8_t *s = shape[i];
        mix(&v[s[0]], &v[s[1]], &v[s[2]], &v[s[3]], &m[order[2 * i]], &m[order[2 * i + 1]]);
    }
}

static const uint64_t start[8] = { 0x6a09e667f3bcc908u, 0xbb67ae8584caa73bu, 0x3c6ef372fe94f82bu, 0xa54ff53a5f1d36f1u,
                                   0x510e527fade682d1u, 0x9b05688c2b3e6c1fu, 0x1f83d9abfb41bd6bu, 0x5be0cd19137e2179u };

static const uint8_t orders[10][16] = {
    { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 }, { 14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3 },
    { 11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4 }, { 7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8 },
    { 9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13 }, { 2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9 },
    { 12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11 }, { 13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10 },
    { 6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5 }, { 10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0 }
};

/* Of those beyond count nobody asks for the result. */
INLINE void hash_together(struct event_hashes *h)
{
    words m[16], v[16], first[2];
    for (unsigned i = 0; i < 16; i++)
        m[i] = (words){ h->blocks[0][i], h->blocks[1][i], h->blocks[2][i], h->blocks[3][i] };
    for (unsigned i = 0; i < 8; i++)
        v[i] = v[i + 8] = (words){ 0 } + start[i];
    v[0] ^= 0x01010000 ^ EVENT_HASH_SIZE; /* no key, no tree */
    first[0] = v[0];
    first[1] = v[1];
    v[12] ^= (words){ h->sizes[0], h->sizes[1], h->sizes[2], h->sizes[3] };
    v[14] = ~v[14]; /* the last block */
#    pragma GCC unroll 12
    for (unsigned round = 0; round < 12; round++)
        mix_all(v, m, orders[round % 10]);
    for (unsigned half = 0; half < 2; half++) {
        words result = first[half] ^ v[half] ^ v[half + 8];
        for (unsigned i = 0; i < h->count; i++)
            memcpy(h->out[i] + 8 * half, (const uint8_t *)&result + 8 * i, 8);
    }
}

static __attribute__((target("avx2"))) void hash_with_avx2(struct event_hashes *h)
{
    hash_together(h);
}

static __attribute__((target("avx2,avx512f,avx512vl"))) void hash_with_avx512(struct event_hashes *h)
{
    hash_together(h);
}

static void hash_all(struct event_hashes *h)
{
    if (h->count < 2 || !__builtin_cpu_supports("avx2"))
        hash_each(h);
    else if (__builtin_cpu_supports("avx512vl"))
        hash_with_avx512(h);
    else
        hash_with_avx2(h);
}

#else

static void hash_all(struct event_hashes *h)
{
    hash_each(h);
}

#endif

void event_hashes_add(struct event_hashes *h, struct span source, struct span id, uint8_t out[EVENT_HASH_SIZE])
{
    if (source.size + 1 + id.size > BLOCK) {
        event_hash(source, id, out);
        return;
    }
    uint8_t *block = (uint8_t *)h->blocks[h->count];
    h->sizes[h->count] = source.size + 1 + id.size;
    memcpy(block, source.data, source.size);
    block[source.size] = 0;
    memcpy(block + source.size + 1, id.data, id.size);
    memset(block + h->sizes[h->count], 0, BLOCK - h->sizes[h->count]);
    h->out[h->count++] = out;
    if (h->count == EVENT_HASHES_AT_ONCE)
        event_hashes_end(h);
}

void event_hashes_end(struct event_hashes *h)
{
    hash_all(h);
    h->count = 0;
}

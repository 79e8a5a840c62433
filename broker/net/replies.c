/* Bounds the bytes of replies that peers leave unread. They stay in libzmq's memory, whose high-water mark counts
 * messages only, and the reply to one peek may have megabytes. So bytes are counted here: up when a reply is handed
 * to libzmq, down when libzmq releases it.
 *
 * There is no count per peer, because then something would have to be kept for each peer. Instead peers share
 * counters by a keyed hash of their route, with a key of this process so that nobody can choose whom to share with.
 * Each peer has two counters, one in each row, and the lower one counts: a peer that shares one counter with a heavy
 * peer is mostly alone in the other (a count-min sketch). */
#include "broker/net/replies.h"

#include "base/log.h"
#include "base/xalloc.h"

#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <zmq.h>

#define SHARES 4096u
#define ROWS   2u
/* A peer that has read everything always gets a reply of up to this size: enough for an attach and most calls. */
#define ALWAYS (16u << 10)

/* The counters. Reference-counted, because they must outlive their owner as long as libzmq holds replies. */
struct unread {
    atomic_size_t holders;
    atomic_size_t all, of[ROWS][SHARES];
};

struct replies {
    uint64_t most;
    struct unread *unread;
    uint8_t key[crypto_shorthash_KEYBYTES];
};

/* A peer's counters: an index into each row. */
struct shares {
    uint16_t at[ROWS];
};

struct reply_block {
    struct unread *unread;
    struct shares shares;
    atomic_size_t
        size; /* written last (release) and read first (acquire), so we need not rely on libzmq for the ordering */
    uint8_t bytes[];
};

struct replies *replies_new(uint64_t most)
{
    struct replies *r = xcalloc(1, sizeof *r);
    r->most = most;
    r->unread = xcalloc(1, sizeof *r->unread);
    atomic_init(&r->unread->holders, 1);
    crypto_shorthash_keygen(r->key);
    return r;
}

static void drop(struct unread *u)
{
    if (atomic_fetch_sub_explicit(&u->holders, 1, memory_order_acq_rel) == 1)
        free(u);
}

void replies_free(struct replies *r)
{
    drop(r->unread);
    free(r);
}

/* Called by libzmq in its I/O thread, or wherever the message is dropped. */
static void count_down(void *data, void *block)
{
    struct reply_block *b = block;
    size_t size = atomic_load_explicit(&b->size, memory_order_acquire);
    struct unread *u = b->unread;
    (void)data;
    for (unsigned i = 0; i < ROWS; i++)
        atomic_fetch_sub_explicit(&u->of[i][b->shares.at[i]], size, memory_order_relaxed);
    atomic_fetch_sub_explicit(&u->all, size, memory_order_relaxed);
    free(b);
    drop(u);
}

static struct shares shares_of(const struct replies *r, const struct route *to)
{
    struct shares out;
    uint8_t hash[crypto_shorthash_BYTES];
    crypto_shorthash(hash, to->id, to->size, r->key);
    for (unsigned i = 0; i < ROWS; i++) /* different bits of one hash serve as two hashes */
        out.at[i] = (uint16_t)((hash[2 * i] | (unsigned)hash[2 * i + 1] << 8) % SHARES);
    return out;
}

static bool may_send(const struct replies *r, struct shares shares, size_t size)
{
    size_t all = atomic_load_explicit(&r->unread->all, memory_order_relaxed), own = SIZE_MAX;
    for (unsigned i = 0; i < ROWS; i++) {
        size_t in_row = atomic_load_explicit(&r->unread->of[i][shares.at[i]], memory_order_relaxed);
        own = in_row < own ? in_row : own;
    }
    return (own == 0 && size <= ALWAYS) || (own < r->most / 2 && all < r->most);
}

/* Makes a message that libzmq sends from our memory; when it releases the memory the bytes are counted down. */
static void hand_over(struct replies *r, struct shares shares, struct span text, zmq_msg_t *m)
{
    struct reply_block *b = xmalloc(sizeof *b + text.size);
    b->unread = r->unread;
    b->shares = shares;
    memcpy(b->bytes, text.data, text.size);
    atomic_init(&b->size, 0);
    atomic_fetch_add_explicit(&r->unread->holders, 1, memory_order_relaxed);
    for (unsigned i = 0; i < ROWS; i++)
        atomic_fetch_add_explicit(&r->unread->of[i][shares.at[i]], text.size, memory_order_relaxed);
    atomic_fetch_add_explicit(&r->unread->all, text.size, memory_order_relaxed);
    atomic_store_explicit(&b->size, text.size, memory_order_release);
    zmq_msg_init_data(m, b->bytes, text.size, count_down, b);
}

void replies_send(struct replies *r, void *control, const struct route *to, struct span text)
{
    zmq_msg_t m;
    struct shares shares = shares_of(r, to);
    if (!may_send(r, shares, text.size)) {
        log_write(LOG_WARN, "net", "a reply to a call is dropped, because too many bytes of replies are left unread");
        return;
    }
    if (zmq_send(control, to->id, to->size, ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0)
        return; /* the peer is gone, or does not read */
    hand_over(r, shares, text, &m);
    if (zmq_msg_send(&m, control, ZMQ_DONTWAIT) < 0)
        zmq_msg_close(&m);
}

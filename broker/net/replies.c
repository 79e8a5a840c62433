/* What peers leave unread lies in libzmq's memory, whose high-water mark counts messages; but one peek's answer may have
 * megabytes. So bytes are counted here, up when a reply is handed over and down when libzmq lets go of it. Peers share counts,
 * by a hash of their routes under a key of this process, so that nothing has to be kept of each and nobody can choose whom to
 * share with. */
#include "broker/net/replies.h"

#include "base/log.h"
#include "base/xalloc.h"

#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <zmq.h>

#define SHARES 4096u
/* Where a share has read everything it is answered so much in any case: an attach, and most calls. */
#define ALWAYS (16u << 10)

/* Outlives its owner for what libzmq holds. */
struct unread {
    atomic_size_t holders;
    atomic_size_t all, of[SHARES];
};

struct replies {
    uint64_t most;
    struct unread *unread;
    uint8_t key[crypto_shorthash_KEYBYTES];
};

struct reply_block {
    struct unread *unread;
    unsigned share;
    atomic_size_t size; /* written last and read first: what it orders need not be guessed of libzmq */
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

/* Runs in libzmq's I/O thread, or where the message is dropped. */
static void let_go(void *data, void *block)
{
    struct reply_block *b = block;
    size_t size = atomic_load_explicit(&b->size, memory_order_acquire);
    struct unread *u = b->unread;
    (void)data;
    atomic_fetch_sub_explicit(&u->of[b->share], size, memory_order_relaxed);
    atomic_fetch_sub_explicit(&u->all, size, memory_order_relaxed);
    free(b);
    drop(u);
}

static unsigned share_of(const struct replies *r, const struct route *to)
{
    uint8_t hash[crypto_shorthash_BYTES];
    crypto_shorthash(hash, to->id, to->size, r->key);
    return (hash[0] | (unsigned)hash[1] << 8) % SHARES;
}

static bool may_go(const struct replies *r, unsigned share, size_t size)
{
    size_t all = atomic_load_explicit(&r->unread->all, memory_order_relaxed);
    size_t own = atomic_load_explicit(&r->unread->of[share], memory_order_relaxed);
    return (own == 0 && size <= ALWAYS) || (own < r->most / 2 && all < r->most);
}

/* A message that libzmq sends out of our memory and counts down when it has. */
static void hand_over(struct replies *r, unsigned share, struct span text, zmq_msg_t *m)
{
    struct reply_block *b = xmalloc(sizeof *b + text.size);
    b->unread = r->unread;
    b->share = share;
    memcpy(b->bytes, text.data, text.size);
    atomic_init(&b->size, 0);
    atomic_fetch_add_explicit(&r->unread->holders, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&r->unread->of[share], text.size, memory_order_relaxed);
    atomic_fetch_add_explicit(&r->unread->all, text.size, memory_order_relaxed);
    atomic_store_explicit(&b->size, text.size, memory_order_release);
    zmq_msg_init_data(m, b->bytes, text.size, let_go, b);
}

void replies_send(struct replies *r, void *control, const struct route *to, struct span text)
{
    zmq_msg_t m;
    unsigned share = share_of(r, to);
    if (!may_go(r, share, text.size)) {
        log_write(LOG_WARN, "net", "an answer to a call is dropped: too much is left unread");
        return;
    }
    if (zmq_send(control, to->id, to->size, ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0)
        return; /* gone, or does not read */
    hand_over(r, share, text, &m);
    if (zmq_msg_send(&m, control, ZMQ_DONTWAIT) < 0)
        zmq_msg_close(&m);
}

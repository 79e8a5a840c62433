/* What the files of the library share: sluice.c opens and closes the connection, sluice_thread.c runs it, sluice_publish.c and
 * sluice_consume.c are its two halves, sluice_event.c translates events; sluice_terms.c and sluice_settle.c say more than the
 * plain calls do.
 *
 * One thread owns the binding and everything under "the thread's". Callers put commands into a queue under the lock and
 * wake the thread; it takes the whole queue at once, so that many callers cost one wake-up. What is published from a callback
 * passes the queue by (sluice_direct.c): the thread hands it to the client where it is. */
#ifndef SLUICE_PRIV_H
#define SLUICE_PRIV_H

#include "clients/c/include/sluice.h"
#include "clients/net/binding.h"
#include "proto/event.h"

#include <pthread.h>
#include <stdatomic.h>
#include <uthash.h>
#include <utlist.h>

enum command_kind {
    COMMAND_PUBLISH,
    COMMAND_SUBSCRIBE,
    COMMAND_UNSUBSCRIBE,
    COMMAND_ACK,
    COMMAND_NACK,
    COMMAND_DEFER,
    COMMAND_DROP,
    COMMAND_EXTEND
};

/* What a publish says beyond its event, and whom its receipt goes to. It goes with that. */
struct publish_extras {
    struct client_terms terms;
    bool topic;
    sluice_receipt_fn *receipt;
    void *context;
};

struct command {
    enum command_kind kind;
    uint32_t count; /* PUBLISH: events, each a size_t and its bytes */
    uint32_t ms;    /* PUBLISH: the wait; NACK, DEFER: the delay; EXTEND: the lease */
    size_t at; /* PUBLISH: in the batch's bytes: the queue's name with its NUL, then the events; NACK, DROP: the text */
    uint32_t status, text_size; /* NACK, DROP: what the application says of it */
    uint64_t token;
    sluice_confirm_fn *confirm;
    void *context;                 /* of a lone event */
    void **contexts;               /* owned copy; NULL: all get `context` */
    struct publish_extras *extras; /* owned; NULL: a plain one */
    struct sluice_sub *sub;        /* NULL: it ended before its turn came */
    bool own;                      /* UNSUBSCRIBE from the thread itself: nobody waits, it retires the subscription */
};

struct commands {
    struct command *items;
    size_t count, capacity;
    struct buf bytes;
};

#define SLUICE_FRAME_BYTES (512u << 10) /* a window of 256 events of 1 KiB is one */

#define RANDOM_SEED_SIZE   32u /* of randombytes_buf_deterministic */
#define EXTENSIONS_MAX     64u

/* Randomness for event ids, drawn ahead; the seed of the next lot comes first. */
struct id_source {
    uint8_t random[RANDOM_SEED_SIZE + 2048];
    size_t left; /* of what is behind the seed */
    bool seeded;
};

#define TEXT_KEPT 128u

/* A delivery's strings: an id, and source and type of the one before, which are mostly the same and known to be valid. */
struct delivery_texts {
    char id[TEXT_KEPT], source[TEXT_KEPT], type[TEXT_KEPT]; /* each with its NUL */
    size_t source_size, type_size;                          /* 0: none yet */
};

/* Who waits for the outcomes of one publish. */
struct pending {
    struct pending *prev, *next;
    sluice_confirm_fn *confirm;
    void *context;
    void **contexts;
    struct publish_extras *extras;
    uint64_t bytes; /* counted in sluice.buffered until all are known */
    uint32_t count, left;
};

/* A delivery that the application settles later. */
struct unsettled {
    uint64_t token;
    uint64_t delivery;
    mono_t deadline;
    UT_hash_handle hh;
};

struct sluice_sub {
    struct sluice_sub *prev, *next;
    struct sluice *connection;
    char queue[NAME_MAX_SIZE + 1];
    uint32_t credit;
    sluice_event_fn *on_event;
    void *context;
    /* the thread's: */
    bool running;
    bool ended; /* unsubscribed from a callback: nothing more is called */
    bool again; /* a new turn: credit starts from nothing */
    uint64_t epoch;
    uint64_t era;                /* raised by every turn: tokens of earlier ones are void */
    uint64_t granted;            /* deliveries the broker may still make */
    struct unsettled *unsettled; /* in the order of their deadlines */
    mono_t retry;                /* when to ask for the queue again; MONO_NEVER: it is ours, or we stand by */
    bool done;                   /* under the lock: unsubscribed */
};

struct sluice {
    pthread_t thread;
    void *zmq;
    struct binding *binding;
    struct client *client;
    char *name, *source;
    size_t source_size;
    bool source_is_valid;
    struct buf plain; /* an event without data, encoded: its id is what differs; empty: `source` is no valid one */
    int wake_fd;
    uint64_t buffer_bytes;

    pthread_mutex_t lock;
    pthread_cond_t changed; /* attached, room, quiet, a subscription's end */
    struct commands queue;
    /* Those that ended are kept, for the next ones: an application may settle by one still. */
    struct sluice_sub *subs, *ended_subs;
    uint64_t undecided; /* events */
    uint32_t waiting;   /* calls that wait, most for `changed`; sluice_close lets them out first */
    bool full;          /* somebody found no room: no more company can come, and what lingers goes */
    bool hurry;         /* sluice_close waits: nothing lingers any more */
    bool asleep;        /* the thread waits for a wake-up … */
    bool lingers;       /* … and wakes up by itself at the end of a linger, until which publishes and acks may wait */
    bool stop;
    atomic_uint_fast64_t buffered; /* bytes of publishes without an outcome; only what lowers it needs the lock */
    atomic_bool has_publishes;     /* `queue` holds some: what is published after them must not overtake them */
    char trouble[256];
    struct sluice_stats stats;
    struct id_source ids;

    /* the thread's: */
    struct commands taken;
    struct pending *pending, *spare;
    struct sluice_sub *last_sub;   /* of the newest delivery … */
    const char *last_queue;        /* … by the client's own pointer to the queue's name */
    uint64_t freed_bytes, decided; /* not yet taken off `buffered` and `undecided` */
    uint64_t published;            /* from callbacks, not yet added to `undecided` */
    bool ending;                   /* nothing more is published */
    struct id_source own_ids;
    struct now now;
    struct arena arena; /* what one delivery's strings take */
    struct delivery_texts texts;
};

/* sluice_thread.c */
/* Adds a command; the lock is held. Its fields are the caller's to fill; wake after unlocking when *wake. */
struct command *sluice_command(struct sluice *s, enum command_kind kind, bool *wake);
void sluice_wake(struct sluice *s);
/* A call that was counted as waiting returns; the lock is held. */
void sluice_waited(struct sluice *s);
bool sluice_on_thread(const struct sluice *s);
/* The thread's function; arg: the connection. It begins once its creator lets go of the lock. */
void *thread_run(void *arg);
/* For binding_open, with the connection as ctx. What else the client has to tell, show_state finds after the turn. */
extern const struct client_handler thread_handler;

/* sluice_event.c */
/* Too large for any frame, and maybe no size at all: nothing is to be reckoned with it. */
static inline bool sluice_is_oversized(const struct sluice_event *event)
{
    return event->size > FRAME_MAX_SIZE / 2;
}
/* An event that is about to be encoded: with an id that was made up where it has none. */
struct sluice_encoding {
    struct event event;
    struct attribute attributes[EXTENSIONS_MAX + 2];
    char id[37];
};
/* False: it is not a valid CloudEvent. `ids`: under the lock s->ids, on the thread s->own_ids. What is in *out points into it and
 * into `event`. */
bool sluice_prepare(const struct sluice *s, struct id_source *ids, const struct sluice_event *event,
                    struct sluice_encoding *out);
/* Makes s->plain. */
void sluice_prepare_plain(struct sluice *s);
/* Is nothing but its data given? */
bool sluice_is_plain(const struct sluice *s, const struct sluice_event *event);
/* Writes a plain event with a made-up id: at most sluice_plain_most bytes. Returns its end. On the thread. */
size_t sluice_plain_most(const struct sluice *s, const struct sluice_event *event);
uint8_t *sluice_encode_plain(struct sluice *s, const struct sluice_event *event, uint8_t *to);
/* Fills what an application sees of a delivery; strings in s->texts and the arena. False: malformed bytes. */
bool sluice_decode(struct sluice *s, struct span encoded, struct sluice_delivery *out);

/* sluice_direct.c; on the thread */
/* May this thread publish without the queue? */
bool direct_allowed(struct sluice *s);
int direct_publish(struct sluice *s, const char *queue, const struct sluice_event *event, uint32_t wait_ms,
                   sluice_confirm_fn *confirm, void *context);

/* sluice_publish.c */
/* Counts so many bytes of one publish; SLUICE_OK, TOO_LARGE or BUSY. */
int outbox_admit(struct sluice *s, uint64_t bytes);
/* As sluice_publish; `extras` passes when it succeeds. */
int outbox_publish(struct sluice *s, const char *queue, const struct sluice_event *event, uint32_t wait_ms,
                   struct publish_extras *extras);
/* On the thread: */
struct pending *pending_new(struct sluice *s, uint32_t count, sluice_confirm_fn *confirm, void *context,
                            void **contexts);
void pending_free(struct sluice *s, struct pending *p);
void outbox_command(struct sluice *s, const struct command *c);
void outbox_outcome(struct sluice *s, struct pending *p, uint32_t index, uint32_t count,
                    const struct client_outcome *o);
void outbox_abandon(struct sluice *s); /* what is undecided gets SLUICE_UNKNOWN */

/* sluice_terms.c; on the thread */
/* The client's publish of the command's one event. hash NULL: its id was made up. */
bool extras_publish(struct sluice *s, const struct command *c, struct span event,
                    const uint8_t (*hash)[EVENT_HASH_SIZE], struct pending *p, enum reason *why);
/* Its receipt; `o` NULL: no broker said anything. Frees it. */
void extras_report(struct publish_extras *extras, enum reason why, const struct client_outcome *o);

/* sluice_consume.c */
/* As sluice_command, for what is said of a subscription; NULL when that has ended. The lock is held. */
struct command *sub_command_of(struct sluice_sub *sub, enum command_kind kind, bool *wake);
/* On the thread: */
void sub_command(struct sluice *s, const struct command *c);
void sub_delivery(struct sluice *s, const struct client_delivery *d);
void sub_turn(struct sluice *s, const char *queue, enum turn_state state, uint64_t epoch);
/* Once a loop turn: grants credit, asks again for queues that did not exist. Returns when it wants to be called. */
mono_t sub_tick(struct sluice *s);
/* When there is no thread any more; the lock is held: who waits for the end of one has it. */
void sub_end_all(struct sluice *s);
void sub_free(struct sluice *s);

#endif

/* The broker's core: sessions, links, producers, queues and consumers as one pure state machine.
 *
 * It knows no socket, file, clock or thread. Its owner calls a core_* input with the time; the core changes its state
 * and appends effects; the owner carries them out in order, then clears them. Everything that arrives in one loop turn
 * is put in first; core_flush then seals what was produced into as few frames as possible. The same code runs under
 * the real loop, the unit tests, the fuzzers and the simulator.
 *
 * Randomness is an input too: core_config.seed seeds a generator (session tokens, receipt key); the owner draws the
 * seed from the system, the simulator from its own seed. */
#ifndef SLUICE_BROKER_CORE_H
#define SLUICE_BROKER_CORE_H

#include "base/error.h"
#include "base/log.h"
#include "base/mono.h"
#include "broker/store/log.h"
#include "broker/store/store.h"
#include "proto/control_info.h"
#include "proto/link.h"

struct core;

struct core_config {
    uint8_t seed[32];
    uint64_t incarnation; /* of the broker; raised at every start */
    /* A consumer epoch is a fencing token that applications may keep, in JavaScript, too, which rounds numbers above 2^53. It
     * grows over deleted queues and over starts of the broker, each of which has so many of its own, as a power of two: 20. */
    uint32_t epoch_bits;
    uint64_t memory_budget; /* bytes of queued and waiting events for the whole broker */
    uint32_t max_queues;
    bool auto_declare;          /* a publish, consume or declare of an unknown name declares it */
    int64_t heartbeat_ms;       /* 3,000 */
    int64_t session_timeout_ms; /* 10,000 */
    uint32_t max_event;         /* bytes; 1 MiB */
    uint32_t max_sessions;
    uint64_t window_events;     /* what a session may have undecided: entries … */
    uint64_t window_bytes;      /* … and event bytes */
    uint32_t deliver_frame;     /* Deliver frames are sealed at about this many bytes */
    uint64_t flood_bytes;       /* refused within 10 s: the ingress is bound again; 64 MiB */
    int64_t producer_memory_ms; /* how long an ended session's outcomes are kept: 600,000 */
    bool confirm_synced;        /* a confirm of the disk means synced (sync: group), and the receipt says so */
    uint32_t mark_ahead; /* events that a queue's mark goes ahead of need, at least: 1,024, and up to 32 times that */
    uint32_t unsettled_most;   /* settlements of a queue that may be answered and not on disk: so many of its events may
                                   come again after a crash; 1,000 */
    uint32_t look_ahead;       /* events of a queue on disk with partitions or keys that are in memory and wait … */
    uint64_t look_ahead_bytes; /* … and their bytes: 65,536 and 16 MiB; no farther is looked for what need not wait */
    uint8_t receipt_key[16];   /* of receipts; all zero: drawn from the seed */
    const char *version;
    /* What the process takes, asked when somebody asks for the broker's figures; NULL: there is no process to tell of. */
    void (*usage)(struct usage *out);
};

/* The defaults of the design; the owner then overrides. seed and incarnation are left zero. */
void core_config_defaults(struct core_config *c);

/* Where a control request came from, opaque to the core: what the ROUTER needs to answer. */
struct route {
    uint8_t id[32];
    uint8_t size;
};

/* Who sent something, as the transport vouches: "ip:10.0.0.7", "uid:1000", "key:Z85KEY@10.0.0.7", "inproc". Compared,
 * never parsed, except that the address after "ip:", or after a key's '@', is where a tcp inbox is dialled. */
#define PEER_MAX_SIZE 112

enum effect_kind {
    EFFECT_SEND,       /* push `frame` on lane `lane`; the effect's share of the frame passes to the owner */
    EFFECT_LANE_OPEN,  /* connect lane `lane` to `endpoint`, where only `peer` may listen ("uid:…" over ipc); the lane
                          numbers are never reused */
    EFFECT_LANE_CLOSE, /* close lane `lane` and forget what it holds */
    EFFECT_INGRESS_REBIND, /* close the ingress and bind it again at the same endpoint */
    EFFECT_REPLY,          /* send `bytes` (a packed Reply) to `route` */
    EFFECT_LOG,            /* a line for people: level, queue, session, text */
};

struct effect {
    enum effect_kind kind;
    uint32_t lane;
    struct frame *frame;
    char *endpoint; /* owned by the effect */
    char *peer;     /* owned by the effect */
    struct route route;
    struct buf bytes; /* owned by the effect */
    enum log_level level;
    const char *message;          /* the text's format, a literal: which message it is, whatever it names */
    char *queue, *session, *text; /* owned; queue and session may be NULL */
};

/* `store` is borrowed and must outlive the core. */
struct core *core_new(const struct core_config *config, struct store *store, struct now now);
/* Frees everything, pending effects included. */
void core_free(struct core *core);

/* ---- queues on disk: a log beside the store in memory. Without one a queue's durability is memory.
 *
 * The owner opens the log with core_replay's callbacks, which rebuild queues, producers and books in an otherwise unused core, then hands
 * it to core_open_disk; the log's snapshots are core_snapshot. */

/* Callbacks for log_open, with the core as their context. */
struct log_replay core_replay(struct core *core);
/* The core's durable state, appended: what core_replay's `restore` reads. */
void core_snapshot(void *core, struct buf *out);
/* From now on queues may be on disk; `disk` is borrowed like `store`. False with a sentence when what was replayed does not
 * add up. */
bool core_open_disk(struct core *core, struct store *disk, struct now now, struct error *e);
/* The disk completed something: takes its completions. */
void core_disk(struct core *core, struct now now);
/* The log failed: the owner says so once and ends the process with a status that is not 0. */
bool core_disk_failed(const struct core *core);

/* ---- inputs */

/* A message of the ingress. Malformed, stale and foreign frames change nothing but counters (and may end the session
 * of the peer that really sent them). */
void core_frame(struct core *core, struct span frame, const char *peer, struct now now);
/* A message of the control socket. The reply may come at once or later as EFFECT_REPLY. Garbage is answered with
 * REASON_invalid. `ingress` is what Hello tells the client. */
void core_control(struct core *core, struct span request, const struct route *route, const char *peer, struct now now);
/* A message that the transport could not make anything of: `size` bytes on the control socket. */
void core_refused(struct core *core, size_t size, const char *peer, struct now now);
/* The lane cannot be used: its endpoint was refused by the transport (REASON_inbox_unreachable), or somebody else than
 * its peer listens there (REASON_denied). A pending attach fails at once, saying why. */
void core_lane_failed(struct core *core, uint32_t lane, enum reason reason, const char *why, struct now now);
/* Time passed: runs every timer that is due. */
void core_tick(struct core *core, struct now now);
/* Seals what was produced into frames, as far as links have room. Call once a loop turn, after all inputs. */
void core_flush(struct core *core, struct now now);
/* May that peer connect at all? Asked at each handshake; false for a while after it flooded the broker with garbage. */
bool core_admits(struct core *core, const char *peer, struct now now);
/* Ends the sessions of every peer for whom `allowed` says no. */
void core_revoke(struct core *core, bool (*allowed)(void *ctx, const char *peer), void *ctx, struct now now);
/* When core_tick wants to be called next. */
mono_t core_due(const struct core *core);

/* ---- effects */

/* The effects since the last clear, in order. */
struct effect *core_effects(struct core *core, size_t *count);
/* Drops them (a SEND whose frame was taken must have had its frame set to NULL). */
void core_effects_clear(struct core *core);

/* ---- configuration and shutdown */

/* Where clients push, told in every Hello: a tcp endpoint with the host left open ("*"), ipc or inproc. */
void core_set_ingress(struct core *core, const char *endpoint);
/* Declares a queue from the configuration: managed, and its settings win. False with the reason when they cannot hold. */
bool core_configure_queue(struct core *core, const char *name, const struct queue_settings *settings, struct error *e,
                          struct now now);
/* What an existing queue has. False: there is none. */
bool core_queue_settings(struct core *core, const char *name, struct queue_settings *out);
struct binding_config {
    const char *queue;
    struct span filter; /* encoded (proto/filter.h); empty: every event */
};
struct topic_config {
    const char *name;
    enum unrouted unrouted;
    const char *catch_all; /* of UNROUTED_QUEUE */
    const struct binding_config *bindings;
    size_t binding_count;
};
/* The same for a topic: bound to these queues, which exist, and to no others. */
bool core_configure_topic(struct core *core, const struct topic_config *topic, struct error *e, struct now now);
/* Of all that is managed, what `kept` says no to is managed no more: calls may change and delete it. */
void core_unmanage(struct core *core, bool (*kept)(const void *context, bool topic, const char *name),
                   const void *context);
/* Orderly stop: refuses new work with `draining`, delivers nothing more, and tells sessions Bye once every outcome that waits for
 * the disk was told. */
void core_stop(struct core *core, struct now now);
bool core_has_said_bye(const struct core *core);
/* The whole broker's figures; strings are static. */
void core_info(const struct core *core, struct broker_info *out, struct now now);
/* Every invariant that can be checked from inside: rings, counts, ledgers, budgets. Aborts with a line saying which
 * does not hold. For tests. */
void core_validate(const struct core *core);

#endif

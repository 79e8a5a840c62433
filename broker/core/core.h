/* The broker's core: sessions, links, producers, queues and consumers as one pure state machine.
 *
 * It knows no socket, file, clock or thread. Its owner (the broker's event loop) calls a core_* input with the time;
 * the core changes its state and appends effects; the owner carries out the effects in order, then clears them. The
 * owner first passes in everything that arrived in one loop turn, then calls core_flush, which seals the core's
 * output into as few frames as possible. The same code runs under the real loop, the unit tests, the fuzzers and the
 * simulator.
 *
 * Randomness is an input too: core_config.seed seeds a generator (session tokens, receipt key). The broker draws the
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
    /* Each start of the broker has 2^epoch_bits consumer epochs of its own; 20. An epoch is a fencing token that
     * applications may keep. It keeps growing when a queue is deleted and when the broker restarts, and it must stay
     * below 2^53, above which JavaScript rounds numbers. */
    uint32_t epoch_bits;
    uint64_t memory_budget; /* bytes, of the whole broker: queued and waiting events, and indexes that grow with them */
    uint32_t max_queues;
    bool auto_declare;    /* an unknown queue is declared when it is published to, consumed, or named as dead_letter */
    int64_t heartbeat_ms; /* 3,000 */
    int64_t session_timeout_ms; /* 10,000 */
    uint32_t max_event;         /* bytes; 1 MiB */
    uint32_t max_sessions;
    uint64_t window_events;     /* publish window of a session: undecided entries at most; 16,384 … */
    uint64_t window_bytes;      /* … and their event bytes; 8 MiB */
    uint32_t deliver_frame;     /* a frame with this many bytes gets no more deliveries or outcomes; 256 KiB */
    uint32_t attach_outcomes;   /* bytes of outcomes in the answer to an attach, at most; 1 MiB */
    uint64_t flood_bytes;       /* this much refused within 10 s makes the broker rebind its ingress; 64 MiB */
    int64_t producer_memory_ms; /* how long a producer's outcomes are kept after its session ended; 600,000 */
    bool confirm_synced; /* a confirm of a queue on disk is sent after the sync (sync: group) and carries RUN_DURABLE */
    uint32_t mark_ahead; /* a queue's delivery mark is moved at least this many events ahead of need, and up to 32 times
                            as many; 1,024 */
    uint32_t unsettled_most;   /* settlements of a queue that may be answered before they are on disk, so at most this
                                  many settled events are redelivered after a crash; 1,000 */
    uint32_t look_ahead;       /* a queue on disk with partitions or keys sorts ahead of delivery until this many … */
    uint64_t look_ahead_bytes; /* … waiting events, or bytes of them, are in memory; 65,536 and 16 MiB */
    uint8_t receipt_key[16];   /* key of the receipts' keyed hash; all zero: drawn from the seed */
    const char *version;
    /* Resource usage of the process, for the broker's figures; called only when they are asked for. NULL: not
     * reported. */
    void (*usage)(struct usage *out);
};

/* Sets the defaults; the owner then overrides them. seed, incarnation and receipt_key are left zero. */
void core_config_defaults(struct core_config *c);

/* Where a control request came from: the routing id that the ROUTER socket needs for the answer. Opaque to the core. */
struct route {
    uint8_t id[32];
    uint8_t size;
};

/* Size limit of a peer name: the sender as the transport authenticated it, "ip:10.0.0.7", "uid:1000",
 * "key:Z85KEY@10.0.0.7" or "inproc". The core compares peer names and does not parse them, with one exception: a tcp
 * inbox is dialled at the address after "ip:", or after a key's '@'. */
#define PEER_MAX_SIZE 112

enum effect_kind {
    EFFECT_SEND,           /* push `frame` on lane `lane`; the effect's reference to the frame passes to the owner */
    EFFECT_LANE_OPEN,      /* connect lane `lane` to `endpoint`, where only `peer` may listen ("uid:…" over ipc); lane
                          numbers are never reused */
    EFFECT_LANE_CLOSE,     /* close lane `lane` and discard what it has not sent */
    EFFECT_INGRESS_REBIND, /* close the ingress and bind it again at the same endpoint */
    EFFECT_REPLY,          /* send `bytes` (a packed Reply) to `route` */
    EFFECT_LOG,            /* write a log line: level, queue, session, text */
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
    const char *message;          /* the format of `text`, a literal: identifies the message for rate limiting */
    char *queue, *session, *text; /* owned by the effect; queue and session may be NULL */
};

/* A core without queues. `store` keeps the events of queues in memory; it is borrowed and must outlive the core. */
struct core *core_new(const struct core_config *config, struct store *store, struct now now);
/* Frees everything, pending effects included. */
void core_free(struct core *core);

/* ---- queues on disk: a log beside the store in memory. Without a log every queue is in memory.
 *
 * At startup the owner opens the log with core_replay's callbacks, which rebuild queues, producers and ledgers in a
 * core that was not used yet, and then passes the log to core_open_disk. core_snapshot is the log's callback for
 * checkpoints. */

/* Callbacks for log_open; their context is the core. */
struct log_replay core_replay(struct core *core);
/* Appends the core's durable state to `out`, in the form that core_replay's `restore` reads. */
void core_snapshot(void *core, struct buf *out);
/* Whether `restore` could read that. Takes as much memory as a core with that state. */
bool core_can_restore(struct span state);
/* From now on queues may be on disk. `disk` is borrowed and must outlive the core. False, with the reason in `e`, when
 * the books of a replayed queue do not balance. */
bool core_open_disk(struct core *core, struct store *disk, struct now now, struct error *e);
/* Processes the log's completions: releases what waited for durability, and takes what was loaded. Call once a
 * turn; only after core_open_disk. */
void core_disk(struct core *core, struct now now);
/* True once the log failed. The owner then logs it once and exits with a non-zero status. */
bool core_disk_failed(const struct core *core);

/* ---- inputs */

/* A message from the ingress. A malformed, stale or foreign frame changes only counters; it may also end sessions of
 * the peer that sent it. */
void core_frame(struct core *core, struct span frame, const char *peer, struct now now);
/* A message from the control socket. The reply is an EFFECT_REPLY, now or in a later turn. Garbage is answered with
 * REASON_invalid; a denied peer (core_admits) gets no answer. */
void core_control(struct core *core, struct span request, const struct route *route, const char *peer, struct now now);
/* The transport rejected a message of `size` bytes on the control socket. */
void core_refused(struct core *core, size_t size, const char *peer, struct now now);
/* The lane cannot be used: the transport rejected its endpoint (REASON_inbox_unreachable), or another process than its
 * peer listens there (REASON_denied). A pending attach fails at once with `reason` and `why`. */
void core_lane_failed(struct core *core, uint32_t lane, enum reason reason, const char *why, struct now now);
/* Runs every timer that is due. */
void core_tick(struct core *core, struct now now);
/* Admits and delivers what the turn's inputs made possible, and seals the output into frames as far as links have room.
 * Call once a loop turn, after all inputs. */
void core_flush(struct core *core, struct now now);
/* Whether that peer may connect; the transport asks at each handshake. False for a while after the peer flooded the
 * broker with garbage. */
bool core_admits(struct core *core, const char *peer, struct now now);
/* Ends the sessions of every peer for which `allowed` returns false. */
void core_revoke(struct core *core, bool (*allowed)(void *ctx, const char *peer), void *ctx, struct now now);
/* When core_tick must be called next. */
mono_t core_due(const struct core *core);

/* ---- effects */

/* The effects since the last clear, in order; valid until the next call into the core. */
struct effect *core_effects(struct core *core, size_t *count);
/* Frees them. If the owner has taken the frame of an EFFECT_SEND, it must have set `frame` to NULL. */
void core_effects_clear(struct core *core);

/* ---- configuration and shutdown */

/* Sets the endpoint that every Hello gives to the client to push to: tcp with the host left open ("*"), ipc or
 * inproc. */
void core_set_ingress(struct core *core, const char *endpoint);
/* Declares a queue from the configuration file: it becomes managed, and these settings replace those it had. False,
 * with the reason in `e`, when they cannot be applied. */
bool core_configure_queue(struct core *core, const char *name, const struct queue_settings *settings, struct error *e,
                          struct now now);
/* Copies the settings of an existing queue. False when there is no queue of that name. */
bool core_queue_settings(struct core *core, const char *name, struct queue_settings *out);
struct binding_config {
    const char *queue;
    struct span filter; /* encoded (proto/filter.h); empty: every event */
};
struct topic_config {
    const char *name;
    enum unrouted unrouted;
    const char *catch_all; /* with UNROUTED_QUEUE: the queue for events that match no binding */
    const struct binding_config *bindings;
    size_t binding_count;
};
/* Declares a topic from the configuration file: managed, and bound to exactly these queues, which must exist. */
bool core_configure_topic(struct core *core, const struct topic_config *topic, struct error *e, struct now now);
/* Makes every managed queue and topic for which `kept` returns false unmanaged: calls may change and delete it
 * again. */
void core_unmanage(struct core *core, bool (*kept)(const void *context, bool topic, const char *name),
                   const void *context);
/* Orderly stop: refuses new work with `draining`, delivers nothing more, and sends Bye to every session once all
 * outcomes that waited for the disk were sent. */
void core_stop(struct core *core, struct now now);
/* True once core_stop's Bye was sent to all sessions. */
bool core_has_said_bye(const struct core *core);
/* The figures of the whole broker; the strings in it are static. */
void core_info(const struct core *core, struct broker_info *out, struct now now);
/* Checks every invariant that can be checked from inside: rings, counts, ledgers, budgets. Aborts with a line that
 * names the one that does not hold. For tests. */
void core_validate(const struct core *core);

#endif

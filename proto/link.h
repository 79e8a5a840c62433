/* One end of a link between a client and the broker: sequences, resending, heartbeats, doubt. Pure: it gets the time
 * and what arrived as arguments and returns what to do. Used by both ends (docs/protocol.md, A).
 *
 * Each direction is go-back-N. Frame sequences start at 1 and run on across the link's epochs for as long as the
 * session lives: a resumed session simply sends again, under the new epoch, whatever the other side had not received.
 * So nothing that was on a dropped connection is lost, duplicated or reordered; the epoch only identifies stale pipes.
 *
 * Sent frames are kept until the other side's cumulative `received` covers them. Their number and bytes are capped:
 * link_room() tells whether another may be sealed. */
#ifndef SLUICE_PROTO_LINK_H
#define SLUICE_PROTO_LINK_H

#include "base/mono.h"
#include "proto/frame.h"

#include <stdatomic.h>
#include <stddef.h>

/* An encoded frame, shared by the link (for resending) and its sender. The reference count is atomic because
 * libzmq's I/O thread drops the sender's reference. The bytes are constant while there is more than one reference. */
struct frame {
    atomic_uint holders;
    uint32_t size; /* header included */
    mono_t sealed; /* when it was first sent */
    uint64_t sequence;
    uint8_t data[];
};

/* A buffer with this head (buf.head) can become a frame in place, without a copy. */
#define FRAME_HEAD (offsetof(struct frame, data) + FRAME_HEADER_SIZE)

/* Allocates a frame of FRAME_HEADER_SIZE + body_size bytes with one reference; the bytes are unset. */
struct frame *frame_new(size_t body_size);
struct frame *frame_hold(struct frame *f);
void frame_drop(struct frame *f); /* NULL does nothing */
/* Turns the bodies in a buffer with that head into a frame, in place. The buffer is empty afterwards, with new
 * memory of the same capacity, because the next frame will be of about this size. */
struct frame *frame_take(struct buf *bodies);

struct link_limits {
    uint32_t frames;      /* most unacknowledged frames */
    uint64_t bytes;       /* most unacknowledged bytes */
    int64_t heartbeat_ms; /* send one after this long without sending */
    int64_t
        silence_ms; /* this long without receiving, or without proof of being heard, is doubt; 0: never (the broker) */
    int64_t proof_ms; /* deliveries are handed over only within this time after sending a frame known to be heard */
};

struct link {
    struct token token;
    uint32_t epoch;
    struct link_limits limits;
    bool open; /* the Hello was echoed in this epoch; nothing is sent before that */

    struct frame **ring; /* unacknowledged frames, oldest first; capacity a power of two */
    uint32_t ring_capacity, ring_head, ring_count;
    uint64_t ring_bytes;
    uint64_t next_sequence; /* of the next frame to seal */
    uint64_t acknowledged;  /* the other side has received everything up to here */
    uint64_t resend_from;   /* link_resend's position; frames >= it wait to be sent (again). 0: none wait */
    uint32_t resend_left;   /* frames link_resend may still return before the other side shows progress */
    int64_t resend_wait_ms; /* grows as long as there is no progress */

    uint64_t received;      /* we have received everything up to here */
    uint64_t received_told; /* the value of `received` we last sent */
    mono_t owed_since;      /* arrival of the oldest frame not yet acknowledged; MONO_NEVER: none */
    uint32_t owed_frames;   /* frames not yet acknowledged */

    mono_t last_sent, last_heard, last_progress, last_resend;
    uint32_t peer_stamp; /* newest stamp heard, echoed back */
    mono_t proven;       /* newest sending time known to have been heard (by its echo) */
    int64_t rtt_ms;      /* smoothed; 0 before the first sample */
    uint64_t resent;     /* frames sent again, ever */
};

enum link_verdict {
    LINK_STALE,     /* another token or epoch: drop it */
    LINK_REPEAT,    /* a repeat, or after a gap: drop the bodies (the header was used) */
    LINK_HEARTBEAT, /* no bodies */
    LINK_FRESH,     /* the next frame: apply its bodies */
    LINK_BROKEN,    /* acknowledges what was never sent: do not trust the peer */
};

enum link_action {
    LINK_NOTHING = 0,
    LINK_SEND_HEARTBEAT = 1, /* build one with link_heartbeat and send it */
    LINK_RESEND = 2,         /* call link_resend until it returns NULL */
    LINK_DOUBT = 4,          /* silence, or no progress for 1 s: the client attaches again */
};

/* A closed link of a new session: sequences at their start. */
void link_init(struct link *l, struct token token, uint32_t epoch, struct link_limits limits, mono_t now);
/* Drops every kept frame. */
void link_free(struct link *l);
/* Continues the session under a new epoch. `peer_received` is what the other side says it has received; kept frames
 * after it wait for link_resend. The link is closed until link_opened. False when the peer acknowledges what was
 * never sent. */
bool link_resume(struct link *l, uint32_t epoch, uint64_t peer_received, mono_t now);
/* The Hello was exchanged: frames may be sent. `heard`: when the message that this proves heard was sent. */
void link_opened(struct link *l, mono_t heard, mono_t now);

/* May another frame be sealed? */
bool link_room(const struct link *l);
/* Turns the buffer's bytes (bodies) into the next frame, keeps it, and returns a reference for the caller to send.
 * While the link is closed it returns NULL: link_resend will return the frame once the link is open. Clears the
 * buffer. */
struct frame *link_seal(struct link *l, struct buf *bodies, mono_t now);
/* The same for bodies that are a frame already; the link takes over the reference. */
struct frame *link_seal_frame(struct link *l, struct frame *f, mono_t now);
/* Writes the header of a heartbeat, which acknowledges `received`. */
void link_heartbeat(struct link *l, mono_t now, uint8_t out[FRAME_HEADER_SIZE]);
/* Classifies an arrived frame and processes its header's acknowledgement. With LINK_FRESH it counts as received. */
enum link_verdict link_receive(struct link *l, const struct frame_header *h, bool has_bodies, mono_t now);
/* What is due now: a set of enum link_action. */
unsigned link_tick(struct link *l, mono_t now);
/* When to call link_tick next. */
mono_t link_due(const struct link *l);
/* The next frame to send again, with a refreshed header, as a reference for the caller; NULL when there is none. It
 * is a copy if the old bytes are still referenced. A peer that shows no progress is sent a bounded number of frames
 * only, so that one that never reads cannot make the transport's buffers grow. */
struct frame *link_resend(struct link *l, mono_t now);
/* May deliveries be handed to the application? (Receiving does not prove being heard.) See proof_ms. */
bool link_proven(const struct link *l, mono_t now);

#endif

/* Drives the pure client by hand: a clock that moves only when told, and a broker whose every frame is scripted. What
 * the client does, and what it reports to its program, is recorded as one readable line.
 *
 *     attach(s);
 *     publish(s, "orders", 0, "one two");
 *     assert_string_equal(trace(s), "publish orders 1 one two");
 *     confirm(s, "orders", 1, 2, 7);
 *     assert_string_equal(trace(s), "outcome a 0..1 accepted 7");
 *
 * Frames that the client sends arrive, and are acknowledged by the broker's next frame, unless `deaf`. */
#ifndef SLUICE_TESTS_CLIENTS_CORE_SCRIPT_H
#define SLUICE_TESTS_CLIENTS_CORE_SCRIPT_H

#include "clients/core/client_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct script {
    struct client *client;
    struct now now;
    struct buf trace;

    /* the scripted broker */
    struct token session;
    uint32_t epoch;
    uint64_t sent, received; /* frame sequences */
    uint32_t heard_stamp;    /* the newest */
    bool deaf;               /* loses what the client sends */
    bool silent;             /* sends no heartbeats while time passes */
    mono_t heartbeat;        /* when it sends the next one */
    struct buf out;          /* bodies of its next frame */
    unsigned heartbeats;     /* of the client, received */

    void (*on_delivery)(struct script *s); /* run within each delivery; NULL: nothing */

    /* the newest Attach, and whether it awaits an answer */
    bool asked;
    struct token attach_id, resumes, producer;
    uint64_t attach_received, attach_epoch;
    mono_t asked_at;

    /* content of the next Attached */
    uint64_t incarnation, producer_epoch, window_events, window_bytes;
    uint32_t session_timeout_ms;
    bool producer_known;
    const struct outcomes *outcomes;
    size_t outcome_count;

    struct token calls[16]; /* ids of calls, in order of appearance */
    unsigned call_count;
};

int script_setup(void **state);
int script_teardown(void **state);
#define scripted(test) cmocka_unit_test_setup_teardown(test, script_setup, script_teardown)
/* Restarts the client with this linger. */
void script_linger(struct script *s, int64_t ms);
/* Restarts the client with frames of about that size. */
void script_frames(struct script *s, uint32_t bytes);
/* The cookie that traces show as this letter. */
void *script_cookie(char letter);

/* What happened since the last call, separated by "; ". In one of two static buffers. */
const char *trace(struct script *s);
/* Lets time pass: the client ticks and flushes whenever it is due, the broker sends heartbeats. */
void pass(struct script *s, int64_t ms);
/* Lets at least 1 ms pass, until the clock is at a multiple of `ms`, when lingers of that length end. */
void pass_to_a_multiple_of(struct script *s, int64_t ms);
void flush(struct script *s);

/* ---- attaching */

/* Lets time pass until the client asks to attach (at most 20 s). */
void until_asked(struct script *s);
void hello(struct script *s);
/* Answers with a new session, or the resumed one. */
void accept_attach(struct script *s);
void refuse_attach(struct script *s, enum reason why, const char *detail);
/* The whole attach; may be repeated. Clears the trace. */
void attach(struct script *s);

/* ---- the broker's frames */

/* Sends `out` as the broker's next frame (a heartbeat if empty). */
void say(struct script *s);
/* The same with that header. */
void say_as(struct script *s, const struct frame_header *h);
struct frame_header header(struct script *s, uint64_t sequence);
void confirm(struct script *s, const char *queue, uint64_t first, uint64_t count, uint64_t sequence);
void refuse_entries(struct script *s, const char *queue, uint64_t first, uint64_t count, enum reason why);
void give_turn(struct script *s, const char *queue, enum turn_state state, uint64_t epoch);
/* Delivers words as events, under one receipt "RECEIPT". */
void add_deliver(struct script *s, const char *queue, uint64_t epoch, uint64_t first, const char *words);
void deliver(struct script *s, const char *queue, uint64_t epoch, uint64_t first, const char *words);
void settled(struct script *s, const char *queue, uint64_t epoch, uint64_t first, uint64_t count,
             enum settle_result result);
void reply_to(struct script *s, struct token id, enum reason why);

/* ---- the program's commands. Each is followed by a flush. */

/* Publishes words as one batch, with that letter's cookie; false: refused. */
bool publish_as(struct script *s, char cookie, const char *queue, uint32_t wait_ms, const char *words);
/* The same with cookie 'a'; asserts success. */
void publish(struct script *s, const char *queue, uint32_t wait_ms, const char *words);
void consume(struct script *s, const char *queue);
void leave(struct script *s, const char *queue);
void credit(struct script *s, const char *queue, uint64_t wanted);
void settle(struct script *s, const char *queue, uint64_t epoch, enum settle_kind kind, uint64_t first, uint64_t count);
void call(struct script *s, char cookie, enum call call, const char *queue, int64_t timeout_ms);

/* A client that is attached and active on "orders" in epoch 7 with credit for three; the trace is empty. */
struct script *active(void **state);

#endif

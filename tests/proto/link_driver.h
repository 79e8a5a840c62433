/* One end of a link against another, frame by frame. Each frame carries one letter; `got` has the letters that an end
 * received as new. */
#ifndef SLUICE_TESTS_PROTO_LINK_DRIVER_H
#define SLUICE_TESTS_PROTO_LINK_DRIVER_H

#include "proto/link.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct end {
    struct link link;
    char got[64];
    size_t count;
};

static struct end client, broker;
static mono_t now;
static const struct token token = { 0x1234, 0x5678 };
static const struct link_limits client_limits = {
    .frames = 64, .bytes = 1 << 16, .heartbeat_ms = 3000, .silence_ms = 9000, .proof_ms = 6000
};
static const struct link_limits broker_limits = {
    .frames = 64, .bytes = 1 << 16, .heartbeat_ms = 3000, .silence_ms = 0, .proof_ms = 6000
};

static inline int begin(void **state)
{
    (void)state;
    now = (mono_t){ 5 * MONO_MS };
    memset(&client, 0, sizeof client);
    memset(&broker, 0, sizeof broker);
    link_init(&client.link, token, 1, client_limits, now);
    link_init(&broker.link, token, 1, broker_limits, now);
    link_opened(&client.link, now, now);
    link_opened(&broker.link, now, now);
    return 0;
}

static inline int end(void **state)
{
    (void)state;
    link_free(&client.link);
    link_free(&broker.link);
    return 0;
}

static inline void pass(int64_t ms)
{
    now = mono_add_ms(now, ms);
}

static inline struct frame *seal(struct end *from, char letter)
{
    struct buf bodies = { 0 };
    frame_add_leave(&bodies, span_of(&letter, 1));
    struct frame *f = link_seal(&from->link, &bodies, now);
    assert_int_equal(bodies.size, 0);
    buf_free(&bodies);
    return f;
}

static inline enum link_verdict receive(struct end *to, struct span bytes)
{
    struct frame_header header;
    struct wire_reader bodies;
    struct body body;
    assert_int_equal(frame_open(bytes, &header, &bodies), FRAME_OK);
    bool has_bodies = !wire_done(&bodies);
    enum link_verdict verdict = link_receive(&to->link, &header, has_bodies, now);
    if (verdict == LINK_FRESH) {
        assert_int_equal(frame_next(&bodies, &body), FRAME_OK);
        assert_true(body.name.size == 1 && to->count < sizeof to->got - 1);
        to->got[to->count++] = (char)body.name.data[0];
    }
    return verdict;
}

/* The frame arrives; its reference is dropped. */
static inline enum link_verdict arrive(struct end *to, struct frame *f)
{
    assert_non_null(f);
    enum link_verdict verdict = receive(to, span_of(f->data, f->size));
    frame_drop(f);
    return verdict;
}

static inline void lose(struct frame *f)
{
    assert_non_null(f);
    frame_drop(f);
}

static inline enum link_verdict heartbeat(struct end *from, struct end *to)
{
    uint8_t bytes[FRAME_HEADER_SIZE];
    link_heartbeat(&from->link, now, bytes);
    return receive(to, span_of(bytes, sizeof bytes));
}

/* Sends everything that waits to be resent. Returns the number of frames. */
static inline unsigned resend(struct end *from, struct end *to)
{
    unsigned count = 0;
    for (struct frame *f; (f = link_resend(&from->link, now)) != NULL; count++) {
        if (to)
            arrive(to, f);
        else
            lose(f);
    }
    return count;
}

#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)

#endif

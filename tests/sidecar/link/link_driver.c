#include "tests/sidecar/link/link_driver.h"

#include "base/clock.h"
#include "clients/core/client.h"
#include "tests/clients/c/test_broker.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

#define PATIENCE_MS 20000

static void on_published(void *request, const struct api_outcome *outcomes)
{
    struct asked *a = request;
    assert_false(a->answered);
    memcpy(a->outcomes, outcomes, a->count * sizeof *outcomes);
    a->answered = true;
}

static void on_taken(void *request, const struct uplink_taken *t)
{
    struct asked *a = request;
    assert_false(a->answered);
    assert_true(t->count <= ASKED_MAX);
    a->count = t->count;
    for (size_t i = 0; i < t->count; i++) {
        a->sequences[i] = t->events[i].sequence;
        a->attempts[i] = t->events[i].attempt;
        snprintf(a->receipts[i], sizeof a->receipts[i], "%.*s", (int)t->events[i].receipt.size,
                 (const char *)t->events[i].receipt.data);
    }
    a->standby = t->standby;
    a->consumer_epoch = t->consumer_epoch;
    a->reason = t->reason;
    a->answered = true;
}

static bool on_alive(void *request)
{
    const struct asked *a = request;
    return !a->gone;
}

static void on_settled(void *request, const enum settle_result *results)
{
    struct asked *a = request;
    assert_false(a->answered);
    memcpy(a->results, results, a->count * sizeof *results);
    a->answered = true;
}

static void on_replied(void *request, const struct reply *reply)
{
    struct asked *a = request;
    assert_false(a->answered);
    a->reason = reply->reason;
    a->answered = true;
}

static const struct uplink_handler handler = { on_published, on_taken, on_alive, on_settled, on_replied, NULL };

static bool is_attached(struct driver *l)
{
    return uplink_is_attached(l->uplink);
}

static void open_uplink(struct driver *l, int64_t turn_idle_ms, uint64_t take_bytes)
{
    struct error e = { "" };
    struct uplink_config config = { .broker = test_broker_endpoint(l->broker),
                                    .name = "test",
                                    .buffer_bytes = 1 << 20,
                                    .take_bytes = take_bytes ? take_bytes : 4 << 20,
                                    .turn_idle_ms = turn_idle_ms ? turn_idle_ms : 5000 };
    l->zmq = zmq_ctx_new();
    l->uplink = uplink_open(l->zmq, &config, &handler, &e);
    assert_non_null(l->uplink);
    driver_until(l, is_attached);
}

void driver_open(struct driver *l, unsigned capacity, int64_t turn_idle_ms, uint64_t take_bytes)
{
    *l = (struct driver){ .broker = test_broker_start(capacity) };
    open_uplink(l, turn_idle_ms, take_bytes);
}

void driver_open_beside(struct driver *l, struct driver *first)
{
    *l = (struct driver){ .broker = first->broker, .borrowed = true, .other = first };
    open_uplink(l, 0, 0);
    first->other = l;
}

void driver_close(struct driver *l)
{
    if (l->other)
        l->other->other = NULL;
    uplink_close(l->uplink);
    zmq_ctx_term(l->zmq);
    if (!l->borrowed)
        test_broker_stop(l->broker);
}

static void wait_for_work(struct driver *l)
{
    struct pollfd fds[4] = { 0 };
    nfds_t count = 2;
    uplink_fds(l->uplink, &fds[0].fd, &fds[1].fd);
    if (l->other) {
        uplink_fds(l->other->uplink, &fds[2].fd, &fds[3].fd);
        count = 4;
    }
    for (nfds_t i = 0; i < count; i++)
        fds[i].events = POLLIN;
    int64_t ms = mono_wait_ms(uplink_due(l->uplink), clock_now().mono);
    poll(fds, count, ms < 10 ? (int)ms : 10);
}

void driver_turn(struct driver *l)
{
    while (uplink_run(l->uplink, clock_now()))
        continue;
    while (l->other && uplink_run(l->other->uplink, clock_now()))
        continue;
    wait_for_work(l);
}

void driver_answer(struct driver *l, const struct asked *a)
{
    mono_t end = mono_add_ms(clock_now().mono, PATIENCE_MS);
    while (!a->answered) {
        assert_true(mono_before(clock_now().mono, end));
        driver_turn(l);
    }
}

void driver_until(struct driver *l, bool (*done)(struct driver *l))
{
    mono_t end = mono_add_ms(clock_now().mono, PATIENCE_MS);
    while (!done(l)) {
        assert_true(mono_before(clock_now().mono, end));
        driver_turn(l);
    }
}

void driver_publish(struct driver *l, const char *queue, size_t count, size_t bytes, uint32_t wait_ms, struct asked *a)
{
    struct api_event events[ASKED_MAX] = { 0 };
    struct buf encoded[ASKED_MAX] = { 0 };
    uint8_t *data = calloc(1, bytes + 1);
    for (size_t i = 0; i < count; i++) {
        char id[24];
        snprintf(id, sizeof id, "%zu", i);
        struct event e = { .id = span_str(id), .source = span_str("/s"), .type = span_str("t") };
        e.data_kind = DATA_BINARY;
        e.data = span_of(data, bytes);
        event_encode(&e, &encoded[i]);
        events[i].encoded = buf_span(&encoded[i]);
    }
    *a = (struct asked){ .count = count };
    a->reason = uplink_publish(l->uplink, queue, events, count, wait_ms, a, clock_now());
    for (size_t i = 0; i < count; i++)
        buf_free(&encoded[i]);
    free(data);
}

void driver_take(struct driver *l, const char *queue, uint32_t max, int64_t wait_ms, struct asked *a)
{
    *a = (struct asked){ 0 };
    uplink_take(l->uplink, queue, max, wait_ms, a, clock_now());
}

void driver_taken(struct driver *l, const char *queue, uint32_t max, struct asked *a)
{
    driver_take(l, queue, max, PATIENCE_MS, a);
    driver_answer(l, a);
}

void driver_settle(struct driver *l, enum settle_kind kind, const char *receipt, uint64_t ms, struct asked *a)
{
    const struct receipt_ack s = { .kind = kind, .receipt = span_str(receipt), .ms = ms };
    *a = (struct asked){ .count = 1 };
    uplink_settle(l->uplink, &s, 1, a, clock_now());
    driver_answer(l, a);
}

void driver_silence(struct driver *l)
{
    struct now later = clock_now();
    later.mono = mono_add_ms(later.mono, CLIENT_SETTLE_MS);
    uplink_run(l->uplink, later);
}

struct uplink_stats driver_stats(const struct driver *l)
{
    struct uplink_stats s;
    uplink_stats(l->uplink, &s);
    return s;
}

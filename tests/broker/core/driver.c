/* The clock, the core's effects, control calls. */
#include "tests/broker/core/driver.h"

#include "base/xalloc.h"

#include <stdio.h>
#include <stdlib.h>

#define HEARTBEAT_MS 500

/* ------------------------------------------------------------------ life */

static void start(struct driver *d)
{
    d->now = (struct now){ { INT64_C(1000) * 1000 * MONO_MS }, { INT64_C(1700000000000) } };
    d->heartbeat = mono_add_ms(d->now.mono, HEARTBEAT_MS);
    d->store = store_memory_open();
    d->core = core_new(&d->config, d->store, d->now);
    core_set_ingress(d->core, "tcp://*:7700");
    arena_init(&d->arena, 8u << 20);
}

static void stop(struct driver *d)
{
    core_validate(d->core);
    core_free(d->core);
    assert_true(d->store->ops->memory(d->store) == 0);
    d->store->ops->close(d->store);
    for (unsigned i = 0; i < d->peer_count; i++) {
        buf_free(&d->peers[i]->out);
        buf_free(&d->peers[i]->trace);
        free(d->peers[i]);
    }
    arena_free(&d->arena);
    buf_free(&d->log);
}

int driver_setup(void **state)
{
    struct driver *d = xcalloc(1, sizeof *d);
    core_config_defaults(&d->config);
    d->config.incarnation = 5;
    memset(d->config.seed, 42, sizeof d->config.seed);
    start(d);
    *state = d;
    return 0;
}

int driver_teardown(void **state)
{
    stop(*state);
    free(*state);
    return 0;
}

void driver_restart(struct driver *d)
{
    struct core_config config = d->config;
    stop(d);
    *d = (struct driver){ .config = config };
    start(d);
}

/* ------------------------------------------------------------------ effects */

static void connect_lane(struct driver *d, const struct effect *e)
{
    for (unsigned i = 0; i < d->peer_count; i++) {
        struct peer *p = d->peers[i];
        if (strcmp(p->endpoint, e->endpoint) == 0 && !p->unreachable)
            p->lane = e->lane;
    }
}

static struct peer *at_lane(struct driver *d, uint32_t lane)
{
    for (unsigned i = 0; i < d->peer_count; i++) {
        if (d->peers[i]->lane == lane)
            return d->peers[i];
    }
    return NULL;
}

static void take_reply(struct driver *d, const struct effect *e)
{
    arena_free(&d->arena);
    arena_init(&d->arena, 8u << 20);
    assert_true(reply_unpack(buf_span(&e->bytes), &d->arena, &d->reply));
    d->replies++;
    if (e->route.id[0] < d->peer_count)
        peer_attached(d->peers[e->route.id[0]], &d->reply);
}

static void take_effects(struct driver *d)
{
    size_t count;
    struct effect *effects = core_effects(d->core, &count);
    for (size_t i = 0; i < count; i++) {
        const struct effect *e = &effects[i];
        struct peer *p = at_lane(d, e->lane);
        switch (e->kind) {
        case EFFECT_SEND:
            if (p && !p->deaf)
                peer_hear(p, span_of(e->frame->data, e->frame->size));
            break;
        case EFFECT_LANE_OPEN: connect_lane(d, e); break;
        case EFFECT_LANE_CLOSE:
            if (p) {
                p->lane = 0;
                note(p, "lane closed");
            }
            break;
        case EFFECT_INGRESS_REBIND: d->rebinds++; break;
        case EFFECT_REPLY: take_reply(d, e); break;
        case EFFECT_LOG: buf_printf(&d->log, "%s: %s\n", e->session ? e->session : "-", e->text); break;
        }
    }
    core_effects_clear(d->core);
}

bool logged(struct driver *d, const char *text)
{
    buf_add_byte(&d->log, '\0');
    bool found = strstr((const char *)d->log.data, text) != NULL;
    buf_clear(&d->log);
    return found;
}

/* ------------------------------------------------------------------ time */

void turn(struct driver *d)
{
    core_tick(d->core, d->now);
    core_flush(d->core, d->now);
    take_effects(d);
    core_validate(d->core);
}

static void move_clock(struct driver *d, int64_t to_ns)
{
    d->now.wall.ms += (to_ns - d->now.mono.ns) / MONO_MS;
    d->now.mono.ns = to_ns;
}

static void heartbeats(struct driver *d)
{
    d->heartbeat = mono_add_ms(d->heartbeat, HEARTBEAT_MS);
    for (unsigned i = 0; i < d->peer_count; i++) {
        if (!d->peers[i]->silent && d->peers[i]->lane)
            heartbeat(d->peers[i]);
    }
}

void pass(struct driver *d, int64_t ms)
{
    int64_t end = d->now.mono.ns + ms * MONO_MS;
    while (d->now.mono.ns < end) {
        int64_t least = d->now.mono.ns + MONO_MS, due = core_due(d->core).ns;
        due = due < least ? least : due;
        due = due < d->heartbeat.ns ? due : d->heartbeat.ns;
        move_clock(d, due < end ? due : end);
        if (d->now.mono.ns == d->heartbeat.ns)
            heartbeats(d);
        turn(d);
    }
}

void stand_still(struct driver *d, int64_t ms)
{
    move_clock(d, d->now.mono.ns + ms * MONO_MS);
    d->heartbeat = d->now.mono;
}

/* ------------------------------------------------------------------ control calls */

void ask_only(struct driver *d, struct request *r)
{
    struct buf bytes = { 0 };
    struct route route = { .id = { 255, 1 }, .size = 2 };
    if (token_is_zero(r->id))
        r->id = (struct token){ 77, ++d->next_request };
    request_pack(r, &bytes);
    core_control(d->core, buf_span(&bytes), &route, "inproc", d->now);
    buf_free(&bytes);
    turn(d);
}

const struct reply *ask(struct driver *d, struct request *r)
{
    unsigned before = d->replies;
    ask_only(d, r);
    assert_int_equal(d->replies, before + 1);
    assert_true(token_equal(d->reply.id, r->id));
    return &d->reply;
}

const char *operate(struct driver *d, enum call call, const char *queue)
{
    return reason_info(ask(d, &(struct request){ .call = call, .queue = queue })->reason)->name;
}

struct queue_settings settings_of(const char *text)
{
    struct queue_settings s = { 0 };
    struct error e = { "" };
    while (*text) {
        size_t name = strcspn(text, "="), size = strcspn(text, " ");
        if (!queue_settings_parse(&s, span_of(text, name), span_of(text + name + 1, size - name - 1), &e))
            fail_msg("%s", e.text);
        text += size + strspn(text + size, " ");
    }
    return s;
}

const char *declare(struct driver *d, const char *queue, const char *settings)
{
    struct request r = { .call = CALL_DECLARE, .queue = queue, .u.declare.settings = settings_of(settings) };
    if (!(r.u.declare.settings.present & 1u << QUEUE_SETTING_backoff))
        queue_settings_put(&r.u.declare.settings, QUEUE_SETTING_backoff, 0);
    return reason_info(ask(d, &r)->reason)->name;
}

struct queue_info describe(struct driver *d, const char *queue)
{
    const struct reply *reply = ask(d, &(struct request){ .call = CALL_DESCRIBE, .queue = queue });
    assert_int_equal(reply->reason, REASON_ok);
    assert_int_equal(reply->result, RESULT_QUEUE);
    return reply->u.queue;
}

struct broker_info broker(struct driver *d)
{
    const struct reply *reply = ask(d, &(struct request){ .call = CALL_BROKER });
    assert_int_equal(reply->result, RESULT_BROKER);
    return reply->u.broker;
}

const char *ledger(struct driver *d, const char *queue)
{
    static char text[2][200];
    static unsigned turns;
    char *out = text[turns++ % 2];
    struct ledger l = queue ? describe(d, queue).ledger : broker(d).ledger;
    assert_int_equal(l.accepted, l.acked + l.dead_lettered + l.expired + l.purged + l.dropped + l.remaining);
    snprintf(out, sizeof text[0], "accepted %llu acked %llu purged %llu dropped %llu remaining %llu",
             (unsigned long long)l.accepted, (unsigned long long)l.acked, (unsigned long long)l.purged,
             (unsigned long long)l.dropped, (unsigned long long)l.remaining);
    return out;
}

/* The network. Pipes deliver in order, with random delays, until a fault drops what is in them, stalls them, or makes
 * them deaf in one direction. An old pipe may still deliver after its successor began, as happens when libzmq
 * reconnects. */
#include "tests/sim/sim.h"

#include "base/xalloc.h"

#include <stdio.h>
#include <stdlib.h>

/* ------------------------------------------------------------------ pipes */

void parcel_free(struct parcel *p)
{
    frame_drop(p->frame);
    buf_free(&p->bytes);
    free(p);
}

void pipe_empty(struct pipe *p)
{
    while (p->head) {
        struct parcel *first = p->head;
        p->head = first->next;
        parcel_free(first);
    }
    p->tail = NULL;
}

static int64_t delay(struct sim *s)
{
    if (s->calm)
        return 100000;
    int64_t most = sim_chance(s, 2) ? 400 * MS : 2 * MS;
    return (int64_t)sim_random(s, (uint64_t)most);
}

static int64_t arrival(struct sim *s)
{
    int64_t at = s->now + delay(s), beat = SIM_BEAT_MS * MS;
    return s->scenario.in_step && !s->calm ? (at + beat - 1) / beat * beat : at;
}

static void send(struct sim *s, struct pipe *p, struct frame *frame, struct span bytes)
{
    if (!p || p->deaf) {
        frame_drop(frame);
        return;
    }
    struct parcel *parcel = xcalloc(1, sizeof *parcel);
    parcel->arrives = arrival(s);
    if (parcel->arrives < p->last)
        parcel->arrives = p->last;
    p->last = parcel->arrives;
    parcel->frame = frame;
    buf_add(&parcel->bytes, bytes.data, bytes.size);
    if (p->tail)
        p->tail->next = parcel;
    else
        p->head = parcel;
    p->tail = parcel;
}

int64_t pipe_due(const struct pipe *p)
{
    if (!p->head)
        return INT64_MAX;
    return p->head->arrives > p->stalled_until ? p->head->arrives : p->stalled_until;
}

int64_t pipes_due(const struct pipe *list)
{
    int64_t due = INT64_MAX;
    for (; list; list = list->next)
        due = pipe_due(list) < due ? pipe_due(list) : due;
    return due;
}

struct parcel *pipe_take(struct sim *s, struct pipe *p)
{
    if (pipe_due(p) > s->now)
        return NULL;
    struct parcel *first = p->head;
    p->head = first->next;
    if (!p->head)
        p->tail = NULL;
    return first;
}

/* Frees pipes that have nothing more to deliver, except the newest. */
static void sweep(struct pipe *newest)
{
    for (struct pipe **at = &newest->next; *at;) {
        struct pipe *p = *at;
        if (p->head) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        free(p);
    }
}

static struct pipe *new_pipe(struct sim *s, struct pipe **list)
{
    for (struct pipe *p = *list; p; p = p->next) {
        if (sim_chance(s, 50))
            pipe_empty(p); /* else the rest arrives late, among the new pipe's messages */
    }
    struct pipe *p = xcalloc(1, sizeof *p);
    p->next = *list;
    *list = p;
    return p;
}

void pipes_free(struct pipe **list)
{
    while (*list) {
        struct pipe *p = *list;
        *list = p->next;
        pipe_empty(p);
        free(p);
    }
}

/* ------------------------------------------------------------------ faults */

/* The connection drops: some of what was in it arrives, the tail is lost, and nobody is told. */
static void lose_tail(struct sim *s, struct pipe *p)
{
    struct parcel **at = &p->head;
    p->tail = NULL;
    for (uint64_t keep = sim_random(s, 4); *at && keep; keep--) {
        p->tail = *at;
        at = &(*at)->next;
    }
    struct pipe rest = { .head = *at };
    *at = NULL;
    pipe_empty(&rest);
}

static void harm(struct sim *s, struct pipe *p, const char *which)
{
    if (!p)
        return;
    uint64_t kind = sim_random(s, 10);
    if (kind < 4) {
        sim_trace(s, "fault: %s loses its tail", which);
        lose_tail(s, p);
    } else if (kind < 7) {
        int64_t ms = (int64_t)sim_random(s, sim_chance(s, 25) ? 15000 : 4000);
        sim_trace(s, "fault: %s stalls for %lld ms", which, (long long)ms);
        p->stalled_until = s->now + ms * MS;
    } else {
        sim_trace(s, "fault: %s is deaf", which);
        p->deaf = true;
    }
}

void net_fault(struct sim *s, struct actor *a)
{
    char which[40];
    static const char *const names[] = { "ingress", "lane", "control out", "control in" };
    static const unsigned weights[] = { 0, 0, 0, 1, 1, 1, 2, 3 };
    unsigned choice = weights[sim_random(s, sizeof weights / sizeof *weights)];
    struct pipe *pipes[] = { a->to_broker, a->from_broker, &a->control_out, &a->control_in };
    snprintf(which, sizeof which, "c%llu's %s", (unsigned long long)a->instance, names[choice]);
    harm(s, pipes[choice], which);
    a->disturbed = s->now;
}

void net_heal(struct actor *a)
{
    for (struct pipe *p = a->to_broker; p; p = p->next)
        p->stalled_until = 0;
    for (struct pipe *p = a->from_broker; p; p = p->next)
        p->stalled_until = 0;
    a->control_in.deaf = a->control_out.deaf = false;
    a->control_in.stalled_until = a->control_out.stalled_until = 0;
}

static bool hindered(const struct sim *s, const struct pipe *p)
{
    return p && (p->deaf || p->stalled_until > s->now);
}

bool net_disturbed(const struct sim *s, const struct actor *a)
{
    return hindered(s, a->to_broker) || hindered(s, a->from_broker) || hindered(s, &a->control_in) ||
           hindered(s, &a->control_out);
}

/* ------------------------------------------------------------------ the clients' effects */

void net_control_open(void *ctx)
{
    struct actor *a = ctx;
    pipe_empty(&a->control_out);
    pipe_empty(&a->control_in);
    a->control_out.deaf = a->control_in.deaf = false;
}

void net_control_send(void *ctx, struct span message)
{
    struct actor *a = ctx;
    struct request r;
    struct arena arena;
    arena_init(&arena, 4096);
    if (request_unpack(message, &arena, &r) && r.call == CALL_ATTACH)
        a->producer = r.u.attach.producer;
    arena_free(&arena);
    send(a->sim, &a->control_out, NULL, message);
}

void net_ingress_open(void *ctx, const char *endpoint)
{
    struct actor *a = ctx;
    (void)endpoint;
    sweep(new_pipe(a->sim, &a->to_broker));
}

static void note_entries(struct actor *a, const struct frame *frame)
{
    struct frame_header h;
    struct wire_reader bodies;
    struct body b;
    struct entry e;
    if (frame_open(span_of(frame->data, frame->size), &h, &bodies) != FRAME_OK)
        sim_fail(a->sim, "c%llu sends a malformed frame", (unsigned long long)a->instance);
    while (frame_next(&bodies, &b) == FRAME_OK) {
        for (uint64_t n = b.u.publish.first; b.kind == BODY_PUBLISH && publish_next(&b, &e) == FRAME_OK; n++)
            fact_sent(a->sim, a, e.event, n);
    }
}

void net_ingress_send(void *ctx, struct frame *frame)
{
    struct actor *a = ctx;
    note_entries(a, frame);
    send(a->sim, a->to_broker, frame, (struct span){ 0 });
}

/* ------------------------------------------------------------------ the core's effects */

static struct lane *lane_of(struct sim *s, uint32_t number)
{
    for (size_t i = 0; i < s->lane_count; i++) {
        if (s->lanes[i].number == number)
            return &s->lanes[i];
    }
    return NULL;
}

/* Endpoints are inproc://CLIENT.INSTANCE; the inbox of a dead instance leads nowhere. */
static void dial(struct sim *s, uint32_t number, const char *endpoint)
{
    unsigned index = 0;
    unsigned long long instance = 0;
    struct lane lane = { .number = number };
    if (sscanf(endpoint, "inproc://%u.%llu", &index, &instance) == 2 && index < SIM_CLIENTS) {
        struct actor *a = &s->actors[index];
        lane.client = index;
        if (a->client && a->instance == instance)
            lane.pipe = new_pipe(s, &a->from_broker);
    }
    if (s->lane_count == sizeof s->lanes / sizeof *s->lanes)
        sim_fail(s, "the broker keeps too many lanes open");
    else
        s->lanes[s->lane_count++] = lane;
}

static void answer(struct sim *s, const struct effect *e)
{
    struct actor *a = &s->actors[e->route.id[0]];
    if (a->client && (uint8_t)a->instance == e->route.id[1])
        send(s, &a->control_in, NULL, buf_span(&e->bytes));
}

/* The ingress is bound again: what was in it is lost, and nobody is told. */
static void drop_ingress(struct sim *s)
{
    for (unsigned i = 0; i < SIM_CLIENTS; i++) {
        for (struct pipe *p = s->actors[i].to_broker; p; p = p->next)
            pipe_empty(p);
    }
}

static void perform(struct sim *s, struct effect *e)
{
    struct lane *lane = lane_of(s, e->lane);
    switch (e->kind) {
    case EFFECT_SEND:
        send(s, lane ? lane->pipe : NULL, e->frame, (struct span){ 0 });
        e->frame = NULL;
        break;
    case EFFECT_LANE_OPEN: dial(s, e->lane, e->endpoint); break;
    case EFFECT_LANE_CLOSE:
        if (lane)
            *lane = s->lanes[--s->lane_count];
        break;
    case EFFECT_INGRESS_REBIND: drop_ingress(s); break;
    case EFFECT_REPLY: answer(s, e); break;
    case EFFECT_LOG: sim_trace(s, "core: %s: %s", e->session ? e->session : "-", e->text); break;
    }
}

void net_perform(struct sim *s)
{
    size_t count;
    struct effect *effects = core_effects(s->core, &count);
    if (s->end)
        count = sim_random(s, count + 1);
    for (size_t i = 0; i < count; i++)
        perform(s, &effects[i]);
    core_effects_clear(s->core);
}

/* ------------------------------------------------------------------ the ends of processes */

void net_death(struct sim *s, struct actor *a)
{
    for (size_t i = 0; i < s->lane_count; i++) {
        if (s->lanes[i].client == a->index)
            s->lanes[i].pipe = NULL;
    }
    pipes_free(&a->from_broker);
    if (sim_chance(s, 50)) /* else what it sent may still arrive */
        pipes_free(&a->to_broker);
    pipe_empty(&a->control_in);
    pipe_empty(&a->control_out);
}

void net_broker_death(struct sim *s)
{
    s->lane_count = 0;
    for (unsigned i = 0; i < SIM_CLIENTS; i++) {
        struct actor *a = &s->actors[i];
        for (struct pipe *p = a->to_broker; p; p = p->next)
            pipe_empty(p);
        pipe_empty(&a->control_out);
        if (sim_chance(s, 50)) /* else what had reached the client's host is still read */
            pipes_free(&a->from_broker);
        a->disturbed = s->now;
    }
}

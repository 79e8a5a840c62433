/* Time, randomness and the network. Pipes deliver in order with random delays until a fault drops what is in them, stalls
 * them or makes them deaf; an old pipe may still deliver after its successor began, as libzmq's reconnects do. */
#include "tests/sim/sim.h"

#include "base/xalloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define MS INT64_C(1000000)

uint64_t sim_random(struct sim *s, uint64_t below)
{
    uint64_t z = (s->random += 0x9e3779b97f4a7c15u); /* splitmix64 */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % below;
}

bool sim_chance(struct sim *s, unsigned percent)
{
    return sim_random(s, 100) < percent;
}

struct now sim_now(const struct sim *s)
{
    return (struct now){ { s->now }, { 1700000000000 + s->now / MS } };
}

void sim_fail(struct sim *s, const char *format, ...)
{
    if (s->failed)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(s->failure, sizeof s->failure, format, args);
    va_end(args);
    s->failed = true;
}

void sim_trace(const struct sim *s, const char *format, ...)
{
    if (!s->trace)
        return;
    va_list args;
    printf("%10.3f ", (double)s->now / 1e9);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

/* ------------------------------------------------------------------ pipes */

static void parcel_free(struct parcel *p)
{
    frame_drop(p->frame);
    buf_free(&p->bytes);
    free(p);
}

static void pipe_empty(struct pipe *p)
{
    while (p->head) {
        struct parcel *first = p->head;
        p->head = first->next;
        parcel_free(first);
    }
    p->tail = NULL;
}

static void send(struct sim *s, struct pipe *p, struct frame *frame, struct span bytes)
{
    if (!p || p->deaf) {
        frame_drop(frame);
        return;
    }
    struct parcel *parcel = xcalloc(1, sizeof *parcel);
    int64_t delay = (int64_t)sim_random(s, 2000) * 1000 + (sim_chance(s, 2) ? (int64_t)sim_random(s, 400) * MS : 0);
    parcel->arrives = s->now + (s->calm ? 100000 : delay);
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

static int64_t pipe_due(const struct pipe *p)
{
    if (!p->head)
        return INT64_MAX;
    return p->head->arrives > p->stalled_until ? p->head->arrives : p->stalled_until;
}

static struct parcel *pipe_take(struct sim *s, struct pipe *p)
{
    if (pipe_due(p) > s->now)
        return NULL;
    struct parcel *first = p->head;
    p->head = first->next;
    if (!p->head)
        p->tail = NULL;
    return first;
}

static struct pipe *new_pipe(struct sim *s, struct pipe **list)
{
    for (struct pipe *p = *list; p; p = p->next) {
        p->open = false;
        if (sim_chance(s, 50))
            pipe_empty(p); /* the rest arrives late, between the new pipe's */
    }
    struct pipe *p = xcalloc(1, sizeof *p);
    p->open = true;
    p->next = *list;
    *list = p;
    return p;
}

static void free_pipes(struct pipe **list)
{
    while (*list) {
        struct pipe *p = *list;
        *list = p->next;
        pipe_empty(p);
        free(p);
    }
}

/* Something happens to a connection. */
static void harm(struct sim *s, struct pipe *p)
{
    if (!p)
        return;
    unsigned kind = (unsigned)sim_random(s, 10);
    sim_trace(s, "fault %u on a pipe", kind);
    if (kind < 5) { /* it drops: some of what was in it arrived, the tail is lost */
        struct parcel **at = &p->head;
        p->tail = NULL;
        for (uint64_t keep = sim_random(s, 4); *at && keep; keep--) {
            p->tail = *at;
            at = &(*at)->next;
        }
        struct pipe rest = { .head = *at };
        *at = NULL;
        pipe_empty(&rest);
    } else if (kind < 8) {
        p->stalled_until = s->now + (int64_t)sim_random(s, 4000) * MS;
    } else {
        p->deaf = true;
    }
}

/* ------------------------------------------------------------------ the clients' effects */

void world_control_open(void *ctx)
{
    struct actor *a = ctx;
    pipe_empty(&a->control_out);
    pipe_empty(&a->control_in);
    a->control_out.deaf = a->control_in.deaf = false;
}

void world_control_send(void *ctx, struct span message)
{
    struct actor *a = ctx;
    send(a->sim, &a->control_out, NULL, message);
}

void world_ingress_open(void *ctx, const char *endpoint)
{
    struct actor *a = ctx;
    (void)endpoint;
    new_pipe(a->sim, &a->to_broker);
}

void world_ingress_send(void *ctx, struct frame *frame)
{
    struct actor *a = ctx;
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

/* Endpoints are inproc://ACTOR.INSTANCE: a dead instance's inbox is nobody's. */
static struct pipe *dial(struct sim *s, const char *endpoint, unsigned *index)
{
    unsigned actor = 0;
    unsigned long long instance = 0;
    if (sscanf(endpoint, "inproc://%u.%llu", &actor, &instance) != 2 || actor >= SIM_CLIENTS)
        return NULL;
    *index = actor;
    struct actor *a = &s->actors[actor];
    return a->client && a->instance == instance ? new_pipe(s, &a->from_broker) : NULL;
}

static void perform(struct sim *s)
{
    size_t count;
    struct effect *effects = core_effects(s->core, &count);
    for (size_t i = 0; i < count; i++) {
        struct effect *e = &effects[i];
        struct lane *lane = lane_of(s, e->lane);
        switch (e->kind) {
        case EFFECT_SEND:
            send(s, lane ? lane->pipe : NULL, e->frame, (struct span){ 0 });
            e->frame = NULL;
            break;
        case EFFECT_LANE_OPEN: {
            unsigned actor = 0;
            struct pipe *pipe = dial(s, e->endpoint, &actor);
            if (s->lane_count < sizeof s->lanes / sizeof *s->lanes)
                s->lanes[s->lane_count++] = (struct lane){ e->lane, actor, pipe };
            break;
        }
        case EFFECT_LANE_CLOSE:
            if (lane)
                *lane = s->lanes[--s->lane_count];
            break;
        case EFFECT_INGRESS_REBIND: break; /* peers of inproc are trusted */
        case EFFECT_REPLY: {
            struct actor *a = &s->actors[e->route.id[0]];
            if (a->client && a->instance == e->route.id[1])
                send(s, &a->control_in, NULL, buf_span(&e->bytes));
            break;
        }
        case EFFECT_LOG: sim_trace(s, "core: %s: %s", e->session ? e->session : "-", e->text); break;
        }
    }
    core_effects_clear(s->core);
}

/* ------------------------------------------------------------------ birth and death */

void sim_birth(struct actor *a)
{
    struct sim *s = a->sim;
    char inbox[40], name[20];
    a->instance = ++s->instances;
    snprintf(inbox, sizeof inbox, "inproc://%u.%llu", a->index, (unsigned long long)a->instance);
    snprintf(name, sizeof name, "c%llu", (unsigned long long)a->instance);
    struct client_config config = { .name = name, .inbox = inbox, .frame_bytes = 400 };
    for (unsigned i = 0; i < sizeof config.seed; i++)
        config.seed[i] = (uint8_t)sim_random(s, 256);
    a->client = client_new(&config, &actor_handler, a, sim_now(s));
    a->next_action = s->now + (int64_t)sim_random(s, 100) * MS;
    sim_trace(s, "%s is born", name);
}

void sim_death(struct actor *a)
{
    struct sim *s = a->sim;
    sim_trace(s, "c%llu dies", (unsigned long long)a->instance);
    client_free(a->client);
    a->client = NULL;
    actor_lost(a);
    for (size_t i = 0; i < s->lane_count; i++) {
        if (s->lanes[i].actor == a->index)
            s->lanes[i].pipe = NULL;
    }
    free_pipes(&a->from_broker);
    if (sim_chance(s, 50)) /* what it had sent may still arrive */
        free_pipes(&a->to_broker);
    pipe_empty(&a->control_in);
    pipe_empty(&a->control_out);
    a->reborn = s->now + (int64_t)sim_random(s, 15000) * MS;
}

/* ------------------------------------------------------------------ stepping */

static void take_ingress(struct sim *s, struct actor *a)
{
    for (struct pipe *p = a->to_broker; p; p = p->next) {
        struct parcel *parcel;
        while ((parcel = pipe_take(s, p)) != NULL) {
            core_frame(s->core, span_of(parcel->frame->data, parcel->frame->size), "inproc", sim_now(s));
            parcel_free(parcel);
        }
    }
    struct parcel *parcel;
    while ((parcel = pipe_take(s, &a->control_out)) != NULL) {
        struct route route = { .id = { (uint8_t)a->index, (uint8_t)a->instance }, .size = 2 };
        core_control(s->core, buf_span(&parcel->bytes), &route, "inproc", sim_now(s));
        parcel_free(parcel);
    }
}

static void take_inbox(struct sim *s, struct actor *a)
{
    struct parcel *parcel;
    for (struct pipe *p = a->from_broker; p; p = p->next) {
        while ((parcel = pipe_take(s, p)) != NULL) {
            client_frame_in(a->client, span_of(parcel->frame->data, parcel->frame->size), sim_now(s));
            parcel_free(parcel);
        }
    }
    while ((parcel = pipe_take(s, &a->control_in)) != NULL) {
        client_control_in(a->client, buf_span(&parcel->bytes), sim_now(s));
        parcel_free(parcel);
    }
}

static int64_t earliest(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t next_time(struct sim *s)
{
    int64_t due = earliest(s->end_at, core_due(s->core).ns);
    for (unsigned i = 0; i < SIM_CLIENTS; i++) {
        struct actor *a = &s->actors[i];
        for (struct pipe *p = a->to_broker; p; p = p->next)
            due = earliest(due, pipe_due(p));
        due = earliest(due, pipe_due(&a->control_out));
        if (!a->client) {
            due = earliest(due, a->reborn);
            continue;
        }
        for (struct pipe *p = a->from_broker; p; p = p->next)
            due = earliest(due, pipe_due(p));
        due = earliest(due, pipe_due(&a->control_in));
        due = earliest(due, earliest(client_due(a->client).ns, a->next_action));
    }
    return due > s->now ? due : s->now + 1000;
}

static void step_actor(struct sim *s, struct actor *a)
{
    if (!a->client) {
        if (a->reborn <= s->now)
            sim_birth(a);
        return;
    }
    take_inbox(s, a);
    client_tick(a->client, sim_now(s));
    if (a->next_action <= s->now)
        actor_act(a);
    if (a->client)
        client_flush(a->client, sim_now(s));
}

static void some_fault(struct sim *s)
{
    struct actor *a = &s->actors[sim_random(s, SIM_CLIENTS)];
    switch (sim_random(s, 6)) {
    case 0:
    case 1: harm(s, a->to_broker); break;
    case 2:
    case 3: harm(s, a->from_broker); break;
    case 4: harm(s, sim_chance(s, 50) ? &a->control_in : &a->control_out); break;
    default:
        if (a->client && sim_chance(s, 30))
            sim_death(a);
    }
}

static void become_calm(struct sim *s)
{
    s->calm = true;
    sim_trace(s, "calm: faults are over");
    for (unsigned i = 0; i < SIM_CLIENTS; i++) {
        struct actor *a = &s->actors[i];
        a->control_in.deaf = a->control_out.deaf = false;
        for (struct pipe *p = a->to_broker; p; p = p->next)
            p->stalled_until = 0;
        for (struct pipe *p = a->from_broker; p; p = p->next)
            p->stalled_until = 0;
        a->control_in.stalled_until = a->control_out.stalled_until = 0;
        if (!a->client && a->reborn > s->now)
            a->reborn = s->now;
    }
}

static void step(struct sim *s)
{
    s->now = next_time(s);
    s->steps++;
    if (!s->calm && s->now >= s->calm_at)
        become_calm(s);
    if (!s->calm && sim_random(s, 300) == 0)
        some_fault(s);
    for (unsigned i = 0; i < SIM_CLIENTS; i++)
        take_ingress(s, &s->actors[i]);
    core_tick(s->core, sim_now(s));
    core_flush(s->core, sim_now(s));
    perform(s);
    for (unsigned i = 0; i < SIM_CLIENTS && !s->failed; i++)
        step_actor(s, &s->actors[i]);
    check_step(s);
}

static void set_up(struct sim *s)
{
    struct core_config config;
    core_config_defaults(&config);
    for (unsigned i = 0; i < sizeof config.seed; i++)
        config.seed[i] = (uint8_t)sim_random(s, 256);
    config.incarnation = 1;
    config.window_events = 8 + sim_random(s, 60);
    config.deliver_frame = 300;
    s->store = store_memory_open();
    s->core = core_new(&config, s->store, sim_now(s));
    core_set_ingress(s->core, "inproc://ingress");
    for (unsigned q = 0; q < SIM_QUEUES; q++) {
        struct queue_settings settings = { 0 };
        queue_settings_put(&settings, QUEUE_SETTING_capacity, 2 + sim_random(s, 30));
        queue_settings_put(&settings, QUEUE_SETTING_lease, 500 + sim_random(s, 4000));
        struct error e;
        if (!core_configure_queue(s->core, sim_queue_name(q), &settings, &e, sim_now(s)))
            sim_fail(s, "declare: %s", e.text);
    }
}

bool sim_run(uint64_t seed, bool trace, struct sim *s)
{
    *s = (struct sim){ .seed = seed, .random = seed * 0x2545f4914f6cdd1du, .trace = trace };
    s->now = 1000 * MS;
    s->calm_at = s->now + 40000 * MS;
    s->end_at = s->now + 140000 * MS;
    s->purges = sim_chance(s, 25);
    s->lowers = sim_chance(s, 50);
    set_up(s);
    for (unsigned i = 0; i < SIM_CLIENTS; i++) {
        s->actors[i] = (struct actor){ .sim = s, .index = i };
        sim_birth(&s->actors[i]);
    }
    while (!s->failed && s->now < s->end_at)
        step(s);
    if (!s->failed)
        check_end(s);
    return !s->failed;
}

void sim_free(struct sim *s)
{
    for (unsigned i = 0; i < SIM_CLIENTS; i++) {
        struct actor *a = &s->actors[i];
        if (a->client)
            client_free(a->client);
        a->client = NULL;
        free_pipes(&a->to_broker);
        free_pipes(&a->from_broker);
        pipe_empty(&a->control_in);
        pipe_empty(&a->control_out);
        free(a->asked);
    }
    core_free(s->core);
    s->store->ops->close(s->store);
    for (size_t i = 0; i < s->fact_count; i++)
        free(s->facts[i]);
    for (size_t i = 0; i < s->publish_count; i++)
        free(s->publishes[i]);
    free(s->facts);
    free(s->publishes);
}

/* The clients' processes: they start, freeze (a paused container, a swapped-out machine), die and come back. */
#include "tests/sim/sim.h"

#include <stdio.h>

/* How long clients may take to notice: a restarted broker is silent towards the sessions of its former run. */
#define NOTICED_MS 8000

static void attached(void *ctx, bool resumed)
{
    struct actor *a = ctx;
    sim_trace(a->sim, "c%llu attached%s", (unsigned long long)a->instance, resumed ? " again" : "");
}

static void away(void *ctx, const char *why)
{
    struct actor *a = ctx;
    a->disturbed = a->sim->now;
    sim_trace(a->sim, "c%llu away: %s", (unsigned long long)a->instance, why);
}

static const struct client_handler handler = {
    .control_open = net_control_open,
    .control_send = net_control_send,
    .ingress_open = net_ingress_open,
    .ingress_send = net_ingress_send,
    .attached = attached,
    .away = away,
    .outcome = publishing_outcome,
    .turn = consuming_turn,
    .delivery = consuming_delivery,
    .idle = consuming_idle,
    .settled = consuming_settled,
    .receipt_settled = consuming_receipt_settled,
    .replied = operating_replied,
};

void client_birth(struct actor *a)
{
    struct sim *s = a->sim;
    char inbox[40], name[20];
    a->instance = ++s->instances;
    snprintf(inbox, sizeof inbox, "inproc://%u.%llu", a->index, (unsigned long long)a->instance);
    snprintf(name, sizeof name, "c%llu", (unsigned long long)a->instance);
    struct client_config config = { .name = name, .inbox = inbox, .frame_bytes = 400 };
    config.linger_ms = sim_chance(s, 25) ? (int64_t)sim_random(s, 50) + 1 : 0;
    for (unsigned i = 0; i < sizeof config.seed; i++)
        config.seed[i] = (uint8_t)sim_random(s, 256);
    a->client = client_new(&config, &handler, a, sim_now(s));
    a->next_action = s->now + (int64_t)sim_random(s, 100) * MS;
    a->disturbed = s->now;
    sim_trace(s, "%s is born", name);
}

void client_death(struct actor *a)
{
    struct sim *s = a->sim;
    sim_trace(s, "c%llu dies", (unsigned long long)a->instance);
    client_free(a->client);
    a->client = NULL;
    consuming_lost(a);
    memset(a->orders, 0, sizeof a->orders);
    net_death(s, a);
    a->frozen_until = 0;
    a->reborn = s->now + (int64_t)sim_random(s, 15000) * MS;
}

void client_freeze(struct actor *a)
{
    struct sim *s = a->sim;
    int64_t ms = (int64_t)sim_random(s, 20000);
    sim_trace(s, "c%llu stands still for %lld ms", (unsigned long long)a->instance, (long long)ms);
    a->frozen_until = s->now + ms * MS;
}

/* ------------------------------------------------------------------ stepping */

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

static void act(struct actor *a)
{
    struct sim *s = a->sim;
    consuming_settle_due(a);
    if (s->calm) {
        if (a->index == 0 && sim_chance(s, 5))
            operating_set_right(a);
        consuming_act(a);
        a->next_action = s->now + (int64_t)sim_random(s, 60) * MS;
        return;
    }
    if (a->index < 3)
        publishing_act(a);
    if (a->index > 0)
        consuming_act(a);
    if (sim_chance(s, s->scenario.anything ? 5 : 1))
        operating_act(a);
    a->next_action = s->now + (int64_t)sim_random(s, 300) * MS;
}

void client_step(struct actor *a)
{
    struct sim *s = a->sim;
    if (!a->client) {
        if (a->reborn <= s->now)
            client_birth(a);
        return;
    }
    if (a->frozen_until > s->now)
        return;
    bool clock_first = sim_chance(s, 50);
    bool restarted = s->restarted && s->now - s->restarted < NOTICED_MS * MS;
    if (a->frozen_until || restarted || net_disturbed(s, a) || !client_is_attached(a->client))
        a->disturbed = s->now;
    a->frozen_until = 0;
    if (clock_first)
        client_tick(a->client, sim_now(s));
    take_inbox(s, a);
    if (!clock_first)
        client_tick(a->client, sim_now(s));
    if (a->next_action <= s->now)
        act(a);
    client_flush(a->client, sim_now(s));
}

int64_t client_next(const struct actor *a)
{
    if (!a->client)
        return a->reborn;
    if (a->frozen_until > a->sim->now)
        return a->frozen_until;
    int64_t due = client_due(a->client).ns;
    int64_t own[] = { pipes_due(a->from_broker), pipe_due(&a->control_in), a->next_action };
    for (unsigned i = 0; i < 3; i++)
        due = own[i] < due ? own[i] : due;
    return due;
}

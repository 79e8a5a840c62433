/* Programs that have the broker keep subscriptions, each under a name of its own, and delete some. One whose put was
 * answered stays until somebody asks for its end; and the broker has none that nobody put. */
#include "tests/sim/sim.h"

#include "broker/core/calls/subscriptions.h"

#include <stdio.h>

#define APP "shop"

static void name_of(size_t index, char out[24])
{
    snprintf(out, 24, "s%zu", index);
}

static void call(struct actor *a, enum call call, struct kept *k)
{
    struct sim *s = a->sim;
    char name[24];
    struct request r = { .call = call, .queue = "", .topic = "" };
    name_of((size_t)(k - s->kept), name);
    r.u.subscription.app = APP;
    r.u.subscription.name = name;
    r.u.subscription.settings = span_str(name);
    sim_trace(s, "c%llu asks for subscription %s: call %d", (unsigned long long)a->instance, name, (int)call);
    client_call(a->client, &r, k, 3000, sim_now(s));
}

void keeping_act(struct actor *a)
{
    struct sim *s = a->sim;
    if (s->kept_count && sim_chance(s, 30)) {
        struct kept *k = &s->kept[sim_random(s, (uint64_t)s->kept_count)];
        k->end_asked = true;
        call(a, CALL_DELETE_SUBSCRIPTION, k);
    } else if (s->kept_count < SIM_KEPT) {
        struct kept *k = &s->kept[s->kept_count++];
        k->broker = s->config.incarnation;
        call(a, CALL_PUT_SUBSCRIPTION, k);
    }
}

bool keeping_replied(struct sim *s, const void *cookie, const struct reply *reply)
{
    const char *at = cookie, *first = (const char *)s->kept, *end = (const char *)(s->kept + SIM_KEPT);
    if (at < first || at >= end)
        return false;
    struct kept *k = &s->kept[(size_t)(at - first) / sizeof *k];
    k->put_answered |= reply->reason == REASON_ok && !k->end_asked;
    return true;
}

static bool is_there(const struct reply *reply, const char *name)
{
    for (size_t i = 0; i < reply->u.subscriptions.count; i++) {
        const struct kept_subscription *k = &reply->u.subscriptions.items[i];
        if (strcmp(k->name, name) == 0)
            return span_equal(k->settings, span_str(name));
    }
    return false;
}

/* Unless there is a disk and confirms wait for its sync, subscriptions are sure to last only until the broker
 * restarts. */
void keeping_check(struct sim *s)
{
    struct request r = { .call = CALL_SUBSCRIPTIONS, .queue = "", .topic = "" };
    struct reply reply = { .detail = "" };
    struct arena arena;
    struct error why;
    char name[24];
    r.u.subscription.app = APP, r.u.subscription.name = "";
    arena_init(&arena, 1 << 20);
    subscription_request(s->core, &r, &reply, &arena, &why);
    size_t there = 0;
    for (size_t i = 0; i < s->kept_count; i++) {
        const struct kept *k = &s->kept[i];
        bool lasts = (s->disk && s->config.confirm_synced) || k->broker == s->config.incarnation;
        name_of(i, name);
        bool found = is_there(&reply, name);
        there += found;
        if (k->put_answered && !k->end_asked && lasts && !found)
            sim_fail(s, "subscription %s was answered, and is gone", name);
    }
    if (there != reply.u.subscriptions.count)
        sim_fail(s, "a subscription that nobody asked for");
    arena_free(&arena);
}

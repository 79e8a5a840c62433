/* Control messages about subscriptions. */
#include "proto/control_priv.h"

#include "base/xalloc.h"

#include <stdlib.h>

static Sluice__V1__Subscription *request_member(Sluice__V1__Subscription *s, const struct request *r)
{
    sluice__v1__subscription__init(s);
    s->app = control_borrow(r->u.subscription.app);
    s->subscription = control_borrow(r->u.subscription.name);
    s->settings =
        (ProtobufCBinaryData){ r->u.subscription.settings.size, (uint8_t *)(uintptr_t)r->u.subscription.settings.data };
    return s;
}

void control_pack_subscription(const struct request *r, Sluice__V1__Request *m, struct buf *out)
{
    Sluice__V1__Subscription one;
    Sluice__V1__Subscriptions all = SLUICE__V1__SUBSCRIPTIONS__INIT;
    if (r->call == CALL_SUBSCRIPTIONS) {
        all.app = control_borrow(r->u.subscription.app);
        all.known = r->u.subscription.known;
        m->call_case = SLUICE__V1__REQUEST__CALL_SUBSCRIPTIONS;
        m->subscriptions = &all;
    } else if (r->call == CALL_PUT_SUBSCRIPTION) {
        m->call_case = SLUICE__V1__REQUEST__CALL_PUT_SUBSCRIPTION;
        m->put_subscription = request_member(&one, r);
    } else {
        m->call_case = SLUICE__V1__REQUEST__CALL_DELETE_SUBSCRIPTION;
        m->delete_subscription = request_member(&one, r);
    }
    control_pack(&m->base, out);
}

bool control_read_subscription(const Sluice__V1__Request *m, struct request *out)
{
    if (m->call_case == SLUICE__V1__REQUEST__CALL_SUBSCRIPTIONS) {
        out->call = CALL_SUBSCRIPTIONS;
        out->u.subscription.app = m->subscriptions->app;
        out->u.subscription.name = "";
        out->u.subscription.known = m->subscriptions->known;
        return true;
    }
    bool put = m->call_case == SLUICE__V1__REQUEST__CALL_PUT_SUBSCRIPTION;
    const Sluice__V1__Subscription *s = put ? m->put_subscription : m->delete_subscription;
    out->call = put ? CALL_PUT_SUBSCRIPTION : CALL_DELETE_SUBSCRIPTION;
    out->u.subscription.app = s->app;
    out->u.subscription.name = s->subscription;
    out->u.subscription.settings = span_of(s->settings.data, s->settings.len);
    return s->settings.len <= SUBSCRIPTION_SETTINGS_MAX;
}

void control_pack_subscriptions(const struct reply *r, Sluice__V1__Reply *m, struct buf *out)
{
    Sluice__V1__SubscriptionList l = SLUICE__V1__SUBSCRIPTION_LIST__INIT;
    size_t count = r->u.subscriptions.count;
    Sluice__V1__Subscription *items = xcalloc(count + 1, sizeof *items);
    l.subscriptions = xcalloc(count + 1, sizeof *l.subscriptions);
    for (size_t i = 0; i < count; i++) {
        const struct kept_subscription *k = &r->u.subscriptions.items[i];
        sluice__v1__subscription__init(&items[i]);
        items[i].subscription = control_borrow(k->name);
        items[i].settings = (ProtobufCBinaryData){ k->settings.size, (uint8_t *)(uintptr_t)k->settings.data };
        items[i].revision = k->revision;
        l.subscriptions[i] = &items[i];
    }
    l.n_subscriptions = count;
    l.revision = r->u.subscriptions.revision;
    l.same = r->u.subscriptions.same;
    l.created = r->u.subscriptions.created;
    m->result_case = SLUICE__V1__REPLY__RESULT_SUBSCRIPTIONS;
    m->subscriptions = &l;
    control_pack(&m->base, out);
    free(l.subscriptions);
    free(items);
}

bool control_read_subscriptions(const Sluice__V1__SubscriptionList *m, struct arena *arena, struct reply *out)
{
    struct kept_subscription *items = arena_alloc(arena, m->n_subscriptions * sizeof *items);
    if (!items)
        return false;
    for (size_t i = 0; i < m->n_subscriptions; i++) {
        const Sluice__V1__Subscription *s = m->subscriptions[i];
        items[i] =
            (struct kept_subscription){ s->subscription, span_of(s->settings.data, s->settings.len), s->revision };
    }
    out->result = RESULT_SUBSCRIPTIONS;
    out->u.subscriptions.revision = m->revision;
    out->u.subscriptions.same = m->same != 0;
    out->u.subscriptions.created = m->created != 0;
    out->u.subscriptions.items = items;
    out->u.subscriptions.count = m->n_subscriptions;
    return true;
}

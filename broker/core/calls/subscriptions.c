#include "broker/core/calls/subscriptions.h"

#include "base/mutation.h"
#include "base/xalloc.h"
#include "broker/core/durable/persist_fields.h"

#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

struct subscription {
    struct subscription *next; /* in the order of application and name */
    char app[NAME_MAX_SIZE + 1], name[NAME_MAX_SIZE + 1];
    uint8_t *settings;
    size_t size;
    uint64_t revision;
};

/* ------------------------------------------------------------------ the list */

static int compare(const struct subscription *s, const char *app, const char *name)
{
    int by_app = strcmp(s->app, app);
    return by_app ? by_app : strcmp(s->name, name);
}

/* The link in the list where it is, or would be inserted. */
static struct subscription **place_of(struct core *c, const char *app, const char *name)
{
    struct subscription **at = &c->subscriptions;
    while (*at && compare(*at, app, name) < 0)
        at = &(*at)->next;
    return at;
}

static struct subscription *find(struct core *c, const char *app, const char *name)
{
    struct subscription *s = *place_of(c, app, name);
    return s && compare(s, app, name) == 0 ? s : NULL;
}

static uint32_t count_of(const struct core *c, const char *app)
{
    uint32_t count = 0;
    for (const struct subscription *s = c->subscriptions; s; s = s->next)
        count += strcmp(s->app, app) == 0;
    return count;
}

static struct subscription *add(struct core *c, const char *app, const char *name)
{
    struct subscription **at = place_of(c, app, name), *s = xcalloc(1, sizeof *s);
    snprintf(s->app, sizeof s->app, "%s", app);
    snprintf(s->name, sizeof s->name, "%s", name);
    s->next = *at;
    *at = s;
    c->subscription_count++;
    return s;
}

static void set(struct subscription *s, struct span settings, uint64_t revision)
{
    free(s->settings);
    s->settings = xmalloc(settings.size + 1);
    if (settings.size)
        memcpy(s->settings, settings.data, settings.size);
    s->size = settings.size;
    s->revision = revision;
}

static void drop(struct core *c, struct subscription *s)
{
    LL_DELETE(c->subscriptions, s);
    c->subscription_count--;
    free(s->settings);
    free(s);
}

/* The list's revision. It is above every revision of an earlier run of the broker, even if nothing is kept on disk. */
static uint64_t revision_of(const struct core *c)
{
    uint64_t first = c->config.incarnation << 20; /* does not overflow: at most a time in milliseconds */
    return c->subscription_revision > first ? c->subscription_revision : first;
}

void subscriptions_free(struct core *c)
{
    while (c->subscriptions)
        drop(c, c->subscriptions);
}

/* ------------------------------------------------------------------ on disk */

static void put(struct buf *b, uint32_t tag, const struct subscription *s)
{
    size_t mark = wire_begin(b, tag);
    wire_add_span(b, SUBSCRIPTION_APP, span_str(s->app));
    wire_add_span(b, SUBSCRIPTION_NAME, span_str(s->name));
    wire_add_bytes(b, SUBSCRIPTION_SETTINGS, span_of(s->settings, s->size));
    wire_add_number(b, SUBSCRIPTION_REVISION, s->revision);
    wire_end(b, mark);
}

void subscriptions_put(const struct core *c, struct buf *out)
{
    if (c->subscription_revision)
        wire_add_number(out, STATE_SUBSCRIPTION_REVISION, c->subscription_revision);
    for (const struct subscription *s = MUTATED(forget_kept) ? NULL : c->subscriptions; s; s = s->next)
        put(out, NOTE_SUBSCRIPTION, s);
}

static void note(struct core *c, uint32_t tag, const struct subscription *s)
{
    struct buf b = { 0 };
    put(&b, tag, s);
    persist_note(c, &b);
}

static bool take_name(struct span bytes, char out[NAME_MAX_SIZE + 1])
{
    if (!name_valid(bytes))
        return false;
    snprintf(out, NAME_MAX_SIZE + 1, "%.*s", (int)bytes.size, (const char *)bytes.data);
    return true;
}

bool subscription_restore(struct core *c, struct span bytes, bool deleted)
{
    struct wire_reader r = wire_open(bytes);
    struct wire_field f = { 0 };
    char app[NAME_MAX_SIZE + 1] = "", name[NAME_MAX_SIZE + 1] = "";
    struct span settings = { 0 };
    uint64_t revision = 0;
    while (!wire_done(&r)) {
        f = (struct wire_field){ 0 }; /* a field of the wrong type is ignored */
        if (!wire_next(&r, &f) || (f.tag == SUBSCRIPTION_APP && !take_name(f.bytes, app)) ||
            (f.tag == SUBSCRIPTION_NAME && !take_name(f.bytes, name)))
            return false;
        if (f.tag == SUBSCRIPTION_SETTINGS)
            settings = f.bytes;
        else if (f.tag == SUBSCRIPTION_REVISION)
            revision = f.number;
    }
    if (!*app || !*name)
        return false;
    if (revision > c->subscription_revision)
        c->subscription_revision = revision;
    struct subscription *s = find(c, app, name);
    if (!deleted)
        set(s ? s : add(c, app, name), settings, revision);
    else if (s)
        drop(c, s);
    return true;
}

/* ------------------------------------------------------------------ calls */

static void refuse(struct reply *reply, enum reason why, const char *detail)
{
    reply->reason = why;
    reply->detail = detail;
}

static void answer(const struct core *c, const struct request *r, struct reply *reply, struct arena *a)
{
    const char *app = r->u.subscription.app;
    uint64_t revision = revision_of(c);
    reply->result = RESULT_SUBSCRIPTIONS;
    reply->u.subscriptions.revision = revision;
    reply->u.subscriptions.same = r->call == CALL_SUBSCRIPTIONS && r->u.subscription.known == revision;
    if (reply->u.subscriptions.same)
        return;
    size_t count = 0;
    struct kept_subscription *items = arena_alloc(a, (SUBSCRIPTIONS_OF_APP + 1) * sizeof *items);
    for (const struct subscription *s = c->subscriptions; s && count < SUBSCRIPTIONS_OF_APP; s = s->next) {
        if (strcmp(s->app, app) == 0)
            items[count++] = (struct kept_subscription){ s->name, span_of(s->settings, s->size), s->revision };
    }
    reply->u.subscriptions.items = items;
    reply->u.subscriptions.count = count;
}

static bool has_room(struct core *c, const char *app, struct error *why)
{
    if (count_of(c, app) >= SUBSCRIPTIONS_OF_APP)
        return error_set(why, "application '%s' has %u subscriptions, and may have no more: delete one first", app,
                         SUBSCRIPTIONS_OF_APP);
    return c->subscription_count < SUBSCRIPTIONS_MOST ||
           error_set(why, "the broker keeps %u subscriptions, and no more: delete one first", SUBSCRIPTIONS_MOST);
}

static bool change(struct core *c, const struct request *r, struct reply *reply, struct error *why)
{
    const char *app = r->u.subscription.app, *name = r->u.subscription.name;
    struct subscription *s = find(c, app, name);
    bool put_it = r->call == CALL_PUT_SUBSCRIPTION;
    if (!put_it && !s) {
        refuse(reply, REASON_not_found, "");
        return false;
    }
    if (put_it && !s && !has_room(c, app, why)) {
        refuse(reply, REASON_invalid, why->text);
        return false;
    }
    c->subscription_revision = revision_of(c) + 1;
    if (put_it) {
        reply->u.subscriptions.created = !s;
        s = s ? s : add(c, app, name);
        set(s, r->u.subscription.settings, c->subscription_revision);
        note(c, NOTE_SUBSCRIPTION, s);
    } else {
        s->revision = c->subscription_revision;
        note(c, NOTE_SUBSCRIPTION_DELETED, s);
        drop(c, s);
    }
    return true;
}

void subscription_request(struct core *c, const struct request *r, struct reply *reply, struct arena *a,
                          struct error *why)
{
    bool list = r->call == CALL_SUBSCRIPTIONS;
    if (!name_valid(span_str(r->u.subscription.app)) || (!list && !name_valid(span_str(r->u.subscription.name)))) {
        refuse(reply, REASON_invalid, "a name is " NAME_RULE);
        return;
    }
    if (list || change(c, r, reply, why))
        answer(c, r, reply, a);
}

/* Subscriptions that were put by call: the broker stores them, for all sidecars of the application. Each sidecar asks
 * every two seconds whether something has changed, and runs what the broker has. A change is sent to the broker first,
 * whose reply holds the new list. */
#include "sidecar/sidecar_priv.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POLL_MS         2000
#define CALL_TIMEOUT_MS 5000

static void refuse(struct job *j, enum reason reason, const char *detail)
{
    struct api_response r;
    job_explain_refusal(j, reason);
    api_refuse(&j->command, reason, detail, 1000, j->arena, &r);
    job_answer(j, &r);
}

static void refuse_missing(struct job *j)
{
    char sentence[2 * NAME_MAX_SIZE + 160];
    snprintf(sentence, sizeof sentence, "application '%s' has no subscription '%s'", j->sidecar->api.app_name,
             j->command.subscription);
    refuse(j, REASON_not_found, sentence);
}

static void refuse_managed(struct job *j)
{
    char sentence[NAME_MAX_SIZE + 120];
    snprintf(sentence, sizeof sentence,
             "subscription '%s' is managed by the sidecar's configuration file; change it there and restart",
             j->command.subscription);
    refuse(j, REASON_managed, sentence);
}

static void refuse_nameless(struct job *j)
{
    refuse(j, REASON_not_found,
           "subscriptions belong to an application, and this sidecar has none: give it the application's name "
           "(--app-name, or app.name in its YAML)");
}

static void show(struct job *j, bool created)
{
    struct sidecar *s = j->sidecar;
    struct subscription_info info;
    struct api_response r;
    if (!push_info(s->push, j->command.subscription, s->now.mono, &info)) {
        if (s->kept.known)
            refuse_missing(j);
        else
            refuse(j, REASON_unavailable, "the broker, which keeps the subscriptions, has not been reached yet");
        return;
    }
    api_render_subscription(&info, created, &r);
    job_answer(j, &r);
}

/* ------------------------------------------------------------------ following the broker */

static bool is_listed(const struct reply *reply, const char *name)
{
    for (size_t i = 0; i < reply->u.subscriptions.count; i++) {
        if (strcmp(reply->u.subscriptions.items[i].name, name) == 0)
            return true;
    }
    return false;
}

static void end_others(struct sidecar *s, const struct reply *reply)
{
    struct subscription_info infos[SUBSCRIPTIONS_MAX];
    size_t count = push_list(s->push, "", SUBSCRIPTIONS_MAX, s->now.mono, infos);
    for (size_t i = 0; i < count; i++) {
        if (infos[i].managed || is_listed(reply, infos[i].name))
            continue;
        log_write(LOG_INFO, "push", "subscription %s was deleted", infos[i].name);
        push_delete(s->push, infos[i].name);
    }
}

/* A subscription that this sidecar cannot run is skipped with a warning: another replica may be configured for it. */
static void run_one(struct sidecar *s, const struct kept_subscription *k)
{
    struct subscription_settings settings;
    struct error why;
    bool managed = false;
    push_settings(s->push, k->name, &managed);
    if (managed || push_revision(s->push, k->name) == k->revision)
        return;
    if (!subscription_read(k->settings, &settings, &why) ||
        !subscription_complete(&settings, &s->options->push_allow, &why))
        log_write(LOG_WARN, "push", "subscription %s is not run here: %s", k->name, why.text);
    else if (push_put(s->push, k->name, &settings, false, k->revision) == PUSH_PUT_TOO_MANY)
        log_write(LOG_WARN, "push", "subscription %s is not run here: there are %u already", k->name,
                  SUBSCRIPTIONS_MAX);
}

static void take_list(struct sidecar *s, const struct reply *reply)
{
    s->kept.known = true;
    s->kept.revision = reply->u.subscriptions.revision;
    if (reply->u.subscriptions.same)
        return;
    end_others(s, reply);
    for (size_t i = 0; i < reply->u.subscriptions.count; i++)
        run_one(s, &reply->u.subscriptions.items[i]);
    s->busy = true; /* there may be something to take now */
}

static bool is_list(const struct reply *reply)
{
    return reply->reason == REASON_ok && reply->result == RESULT_SUBSCRIPTIONS;
}

static void ask_broker(struct job *j, enum call call, struct span settings, uint64_t known)
{
    struct sidecar *s = j->sidecar;
    struct request r = { .call = call, .queue = "" };
    r.u.subscription.app = s->api.app_name;
    r.u.subscription.name = j->command.subscription ? j->command.subscription : "";
    r.u.subscription.settings = settings;
    r.u.subscription.known = known;
    j->waiting = true;
    j->attached = uplink_is_attached(s->uplink);
    uplink_call(s->uplink, &r, j, j->attached ? CALL_TIMEOUT_MS : AWAY_TIMEOUT_MS, s->now);
    s->busy = true; /* the uplink has something to send */
}

mono_t subscriptions_due(const struct sidecar *s)
{
    return s->kept.attached ? s->kept.next : MONO_NEVER;
}

void subscriptions_tick(struct sidecar *s)
{
    struct kept *k = &s->kept;
    bool attached = s->api.app_named && uplink_is_attached(s->uplink);
    if (attached && !k->attached && k->next.ns != MONO_NEVER.ns)
        k->next = s->now.mono;
    k->attached = attached;
    if (!attached || s->now.mono.ns < k->next.ns)
        return;
    k->next = MONO_NEVER;
    s->poll = (struct job){ .sidecar = s, .command.kind = API_SUBSCRIPTIONS };
    ask_broker(&s->poll, CALL_SUBSCRIPTIONS, span_str(""), k->known ? k->revision : 0);
}

/* ------------------------------------------------------------------ list */

static void list(struct job *j)
{
    struct sidecar *s = j->sidecar;
    struct subscription_info infos[SUBSCRIPTIONS_MAX + 1];
    struct api_response r;
    size_t limit = j->command.u.subscription.limit;
    size_t count = push_list(s->push, j->command.u.subscription.after, SUBSCRIPTIONS_MAX, s->now.mono, infos);
    bool more = count > limit;
    count = more ? limit : count;
    api_render_subscriptions(infos, count, more ? infos[count - 1].name : "", &r);
    job_answer(j, &r);
}

static void list_known(struct job *j)
{
    struct sidecar *s = j->sidecar;
    if (s->kept.known || !s->api.app_named)
        list(j);
    else
        ask_broker(j, CALL_SUBSCRIPTIONS, span_str(""), 0);
}

static void listed(struct job *j, const struct reply *reply)
{
    struct api_response r;
    if (is_list(reply)) {
        take_list(j->sidecar, reply);
        list(j);
    } else if (reply->reason == REASON_unavailable && !job_may_have_reached(j)) {
        job_refuse_away(j, &r);
        job_answer(j, &r);
    } else {
        refuse(j, reply->reason == REASON_ok ? REASON_unavailable : reply->reason, reply->detail);
    }
}

/* ------------------------------------------------------------------ changes */

/* The present settings (NULL: none) with the changes of the call. */
static bool complete(struct job *j, const struct subscription_settings *present, struct subscription_settings *out,
                     struct error *why)
{
    *out = present ? *present : (struct subscription_settings){ 0 };
    subscription_merge(out, j->command.u.subscription.change);
    return subscription_complete(out, &j->sidecar->options->push_allow, why);
}

/* Second step of a put: the broker's list has just arrived, so the present settings are known. */
static void put(struct job *j)
{
    struct sidecar *s = j->sidecar;
    struct subscription_settings settings;
    struct error why;
    bool managed;
    struct buf bytes = { 0 };
    if (!complete(j, push_settings(s->push, j->command.subscription, &managed), &settings, &why)) {
        refuse(j, REASON_invalid, why.text);
        return;
    }
    subscription_write(&settings, &bytes);
    j->changing = true;
    ask_broker(j, CALL_PUT_SUBSCRIPTION, buf_span(&bytes), 0);
    buf_free(&bytes);
}

static void change(struct job *j)
{
    struct sidecar *s = j->sidecar;
    bool managed = false, put_it = j->command.kind == API_SUBSCRIBE;
    push_settings(s->push, j->command.subscription, &managed);
    if (managed)
        refuse_managed(j);
    else if (put_it && s->api.draining)
        refuse(j, REASON_draining, NULL);
    else if (put_it)
        ask_broker(j, CALL_SUBSCRIPTIONS, span_str(""), 0);
    else
        ask_broker(j, CALL_DELETE_SUBSCRIPTION, span_str(""), 0);
}

static void changed(struct job *j, const struct reply *reply)
{
    struct api_response gone = { .status = 204 };
    if (is_list(reply))
        take_list(j->sidecar, reply);
    if (reply->reason == REASON_not_found)
        refuse_missing(j);
    else if (reply->reason == REASON_unavailable && job_may_have_reached(j) &&
             (j->changing || j->command.kind == API_UNSUBSCRIBE))
        refuse(j, REASON_unknown,
               "the broker did not answer in time; the change may have been made: check before you repeat it");
    else if (!is_list(reply))
        refuse(j, reply->reason == REASON_ok ? REASON_unavailable : reply->reason, reply->detail);
    else if (j->command.kind == API_UNSUBSCRIBE)
        job_answer(j, &gone);
    else if (j->changing)
        show(j, reply->u.subscriptions.created);
    else
        put(j);
}

void subscriptions_replied(struct job *j, const struct reply *reply)
{
    struct sidecar *s = j->sidecar;
    if (j != &s->poll) {
        (j->command.kind == API_SUBSCRIPTIONS ? listed : changed)(j, reply);
        return;
    }
    s->kept.next = mono_add_ms(s->now.mono, POLL_MS);
    if (is_list(reply))
        take_list(s, reply);
}

void subscriptions_answer(struct job *j)
{
    if (!j->sidecar->api.app_named && j->command.kind != API_SUBSCRIPTIONS) {
        refuse_nameless(j);
        return;
    }
    switch (j->command.kind) {
    case API_SUBSCRIBE:
    case API_UNSUBSCRIBE: change(j); return;
    case API_SUBSCRIPTIONS: list_known(j); return;
    default: show(j, false);
    }
}

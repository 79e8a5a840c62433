/* Calls about subscriptions: they are this sidecar's own, so the answers come at once. */
#include "sidecar/sidecar_priv.h"

#include <stdio.h>
#include <stdlib.h>

static void refuse(struct job *j, enum reason reason, const char *detail)
{
    struct api_response r;
    api_problem(reason, detail, 1000, j->arena, &r);
    job_answer(j, &r);
}

static void refuse_missing(struct job *j)
{
    char sentence[NAME_MAX_SIZE + 160];
    snprintf(sentence, sizeof sentence,
             "there is no subscription '%s' in this sidecar; one that was made by call ends with its sidecar",
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

static void show(struct job *j, bool created)
{
    struct sidecar *s = j->sidecar;
    struct subscription_info info;
    struct api_response r;
    if (!push_info(s->push, j->command.subscription, s->now.mono, &info)) {
        refuse_missing(j);
        return;
    }
    api_render_subscription(&info, created, &r);
    job_answer(j, &r);
}

/* What is there, with what the call changes of it. */
static bool complete(struct job *j, const struct subscription_settings *present, struct subscription_settings *out,
                     struct error *why)
{
    *out = present ? *present : (struct subscription_settings){ 0 };
    subscription_merge(out, j->command.u.subscription.change);
    return subscription_complete(out, &j->sidecar->options->push_allow, why);
}

static void subscribe(struct job *j)
{
    struct sidecar *s = j->sidecar;
    struct subscription_settings settings;
    struct error why;
    bool managed = false;
    const char *name = j->command.subscription;
    const struct subscription_settings *present = push_settings(s->push, name, &managed);
    if (managed) {
        refuse_managed(j);
        return;
    }
    if (s->api.draining) {
        refuse(j, REASON_draining, NULL);
        return;
    }
    if (!complete(j, present, &settings, &why)) {
        refuse(j, REASON_invalid, why.text);
        return;
    }
    enum push_put put = push_put(s->push, name, &settings, false);
    if (put == PUSH_PUT_TOO_MANY)
        refuse(j, REASON_invalid, "this sidecar has 256 subscriptions, and may have no more: delete one first");
    else
        show(j, put == PUSH_PUT_NEW);
}

static void unsubscribe(struct job *j)
{
    struct sidecar *s = j->sidecar;
    struct api_response gone = { .status = 204 };
    bool managed = false;
    push_settings(s->push, j->command.subscription, &managed);
    if (managed)
        refuse_managed(j);
    else if (push_delete(s->push, j->command.subscription))
        job_answer(j, &gone);
    else
        refuse_missing(j);
}

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

void subscriptions_answer(struct job *j)
{
    switch (j->command.kind) {
    case API_SUBSCRIBE: subscribe(j); return;
    case API_UNSUBSCRIBE: unsubscribe(j); return;
    case API_SUBSCRIPTIONS: list(j); return;
    default: show(j, false);
    }
}

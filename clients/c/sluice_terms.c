/* Publishing with options (when an event may be delivered, until when, to a topic only) and a full receipt. All of
 * it is behind the command's `extras` pointer, which is NULL for a plain publish. */
#include "clients/c/sluice_priv.h"

#include "base/clock.h"
#include "base/xalloc.h"

#include <stdlib.h>

/* About the end of the year 9999: a later time is a mistake. */
#define TIME_MOST_MS INT64_C(253402300800000)

/* ------------------------------------------------------------------ callers */

static bool terms_of(const struct sluice_publish_options *o, struct client_terms *out)
{
    int64_t now = clock_now().wall.ms;
    if (o->not_before_ms < 0 || o->expires_ms < 0 || o->not_before_ms > TIME_MOST_MS || o->expires_ms > TIME_MOST_MS ||
        o->ttl_ms > (uint64_t)TIME_MOST_MS)
        return sluice_invalid("not_before_ms, ttl_ms and expires_ms must be from 0 to %lld", (long long)TIME_MOST_MS),
               false;
    if (o->delay_ms && o->not_before_ms)
        return sluice_invalid("delay_ms and not_before_ms exclude each other; give one of them"), false;
    if (o->ttl_ms && o->expires_ms)
        return sluice_invalid("ttl_ms and expires_ms exclude each other; give one of them"), false;
    if (o->ttl_ms && o->ttl_ms <= o->delay_ms)
        return sluice_invalid("ttl_ms %llu includes delay_ms %llu and must be longer: the event would expire "
                              "undelivered",
                              (unsigned long long)o->ttl_ms, (unsigned long long)o->delay_ms),
               false;
    *out = (struct client_terms){ .expires_ms = o->ttl_ms ? now + (int64_t)o->ttl_ms : o->expires_ms,
                                  .not_before_ms = o->not_before_ms,
                                  .delay_ms = o->delay_ms };
    return true;
}

static struct publish_extras *extras_new(const struct sluice_publish_options *o, sluice_receipt_fn *receipt,
                                         void *context)
{
    static const struct sluice_publish_options none;
    struct publish_extras extras = { .receipt = receipt, .context = context, .topic = o && o->topic };
    if (!terms_of(o ? o : &none, &extras.terms))
        return NULL;
    struct publish_extras *own = xmalloc(sizeof *own);
    *own = extras;
    return own;
}

int sluice_publish_on(struct sluice *s, const char *to, const struct sluice_event *event,
                      const struct sluice_publish_options *options, sluice_receipt_fn *receipt, void *context)
{
    struct publish_extras *extras = extras_new(options, receipt, context);
    int error = extras ? outbox_publish(s, to, event, options ? options->wait_ms : 0, extras) : SLUICE_INVALID;
    if (error != SLUICE_OK)
        free(extras);
    return error;
}

/* ------------------------------------------------------------------ the thread */

void extras_report(struct publish_extras *extras, enum reason why, const struct client_outcome *o)
{
    struct sluice_receipt r = { .error = (int)why, .refused_by = "" };
    if (o) {
        r.durable = o->flags & RUN_DURABLE;
        r.duplicate = o->flags & RUN_DUPLICATE;
        r.depth = o->depth;
        r.capacity = o->capacity;
        r.retry_after_ms = o->retry_after_ms;
        r.refused_by = o->queue ? o->queue : "";
        r.sequence = why == REASON_ok && !(o->flags & RUN_TOPIC) ? o->sequence : 0;
    }
    bool topic = o && why == REASON_ok && o->flags & RUN_TOPIC;
    struct sluice_target *targets = topic ? xcalloc(o->target_count + 1, sizeof *targets) : NULL;
    for (size_t i = 0; topic && i < o->target_count; i++)
        targets[i] = (struct sluice_target){ o->targets[i].queue, o->targets[i].sequence + o->sequence };
    r.targets = targets;
    r.target_count = topic ? o->target_count : 0;
    if (extras->receipt)
        extras->receipt(extras->context, &r);
    free(targets);
    free(extras);
}

bool extras_publish(struct sluice *s, const struct command *c, struct span event,
                    const uint8_t (*hash)[EVENT_HASH_SIZE], struct pending *p, enum reason *why)
{
    struct span to = span_str((const char *)s->taken.bytes.data + c->at);
    bool (*publish)(struct client *, struct span, const struct span *, const uint8_t(*)[EVENT_HASH_SIZE],
                    const struct client_terms *, uint32_t, uint32_t, void *, struct now, enum reason *) =
        c->extras->topic ? client_publish_topic : client_publish_on;
    return publish(s->client, to, &event, hash, &c->extras->terms, 1, c->ms, p, s->now, why);
}

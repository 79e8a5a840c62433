/* The calls that the broker makes itself, to apply its configuration file; they need no session. */
#include "broker/core/topic/topic.h"

bool core_configure_queue(struct core *c, const char *name, const struct queue_settings *settings, struct error *e,
                          struct now now)
{
    c->now = now;
    struct queue *q;
    if (!name_valid(span_str(name)))
        return error_set(e, "'%s' is not a valid queue name: use " NAME_RULE, name);
    bool fine = operate_declare(c, span_str(name), settings, false, true, &q, NULL, e) == REASON_ok;
    q = queue_find(c, span_str(name));
    if (q) /* managed by the file even if its settings were refused */
        q->managed = true;
    return fine;
}

bool core_queue_settings(struct core *c, const char *name, struct queue_settings *out)
{
    const struct queue *q = queue_find(c, span_str(name));
    if (q)
        *out = q->settings;
    return q != NULL;
}

void core_unmanage(struct core *c, bool (*kept)(const void *context, bool topic, const char *name), const void *context)
{
    for (uint32_t i = 0; i < c->queue_count; i++) {
        struct queue *q = c->by_name[i];
        q->managed = q->managed && kept(context, false, q->name);
    }
    for (uint32_t i = 0; i < c->topic_count; i++) {
        struct topic *t = c->topics_by_name[i];
        t->managed = t->managed && kept(context, true, t->name);
    }
}

/* Declares the configured queues and topics, and logs what a reloaded file changed. */
#include "broker/declare.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "base/xalloc.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

static void declare_topic(struct core *core, const struct declared_topic *t)
{
    struct binding_config bindings[TOPIC_BINDINGS_MAX];
    struct topic_config config = {
        .name = t->name, .unrouted = t->unrouted, .catch_all = t->catch_all, .bindings = bindings
    };
    struct error e = { "" };
    /* No more than TOPIC_BINDINGS_MAX: options_topics.c checked it. */
    for (const struct declared_binding *d = t->bindings; d; d = d->next)
        bindings[config.binding_count++] = (struct binding_config){ d->queue, buf_span(&d->filter) };
    if (!core_configure_topic(core, &config, &e, clock_now()))
        log_write(LOG_ERROR, "config", "topic '%s' is not declared as configured: %s", t->name, e.text);
}

static bool declare_queue(struct core *core, const struct declared_queue *q, uint32_t without, bool says)
{
    struct error e = { "" };
    struct queue_settings settings = q->settings;
    settings.present &= ~without;
    bool fine = core_configure_queue(core, q->name, &settings, &e, clock_now());
    if (!fine && says)
        log_about(LOG_ERROR, "config", q->name, NULL, "not declared as configured: %s", e.text);
    return fine;
}

/* Returns how many were refused. */
static unsigned declare_queues(struct core *core, const struct broker_options *o, uint32_t without, bool says)
{
    unsigned refused = 0;
    for (const struct declared_queue *q = o->queues; q; q = q->hh.next)
        refused += !declare_queue(core, q, without, says);
    return refused;
}

/* First declares all queues without their dead_letter, then with it, so that the order in the file does not matter.
 * The second pass is repeated as long as it helps: where dead-letter targets change places, one queue must give up
 * its target before another may have it, and a name must be free before a queue in memory may take it. Whatever is
 * refused in the end is declared once more, to log why. */
void declare_configured(struct core *core, const struct broker_options *o)
{
    unsigned refused = UINT_MAX, before;
    declare_queues(core, o, 1u << QUEUE_SETTING_dead_letter, false);
    do {
        before = refused;
        refused = declare_queues(core, o, 0, false);
    } while (refused && refused < before);
    if (refused)
        declare_queues(core, o, 0, true);
    for (const struct declared_topic *t = o->topics; t; t = t->hh.next)
        declare_topic(core, t);
}

/* ------------------------------------------------------------------ what a reloaded file changed */

struct before {
    bool was_there;
    struct queue_settings settings;
};

static void add_value(struct buf *b, const struct queue_settings *s, enum queue_setting which)
{
    const struct queue_setting_info *info = queue_setting_info(which);
    uint64_t value = queue_settings_get(s, which);
    char text[24];
    if (info->type == QUEUE_SETTING_NAME) {
        const char *name = queue_settings_text(s, which);
        buf_add_str(b, *name ? name : "none");
    } else if (info->choices) {
        buf_add_str(b, info->choices[value]);
    } else if (info->type == QUEUE_SETTING_BOOL) {
        buf_add_str(b, value ? "true" : "false");
    } else if (info->type == QUEUE_SETTING_NUMBER) {
        buf_printf(b, "%llu", (unsigned long long)value);
    } else {
        if (info->type == QUEUE_SETTING_DURATION)
            duration_format((int64_t)value, text);
        else
            size_format(value, text);
        buf_add_str(b, text);
    }
}

/* "capacity 5 -> 10, lease 30s -> 1m"; empty: nothing changed. */
static void add_changes(struct buf *b, const struct queue_settings *before, const struct queue_settings *after)
{
    for (unsigned i = 0; i < QUEUE_SETTING_COUNT; i++) {
        enum queue_setting which = (enum queue_setting)i;
        if (queue_settings_same(before, after, which))
            continue;
        buf_printf(b, "%s%s ", b->size ? ", " : "", queue_setting_info(which)->name);
        add_value(b, before, which);
        buf_add_str(b, " -> ");
        add_value(b, after, which);
    }
    buf_add_byte(b, '\0');
}

/* Totals for one summarizing log line, because the log suppresses lines that repeat too often. */
struct counts {
    unsigned made, changed, let_go;
};

static void log_changes(struct core *core, const char *queue, const struct before *before, struct counts *n)
{
    struct queue_settings after;
    struct buf changes = { 0 };
    if (!core_queue_settings(core, queue, &after))
        return; /* refused, which was logged */
    if (!before->was_there) {
        log_about(LOG_INFO, "config", queue, NULL, "created");
        n->made++;
        return;
    }
    add_changes(&changes, &before->settings, &after);
    if (changes.size > 1)
        log_about(LOG_INFO, "config", queue, NULL, "changed: %s", (const char *)changes.data);
    n->changed += changes.size > 1;
    buf_free(&changes);
}

struct file {
    const struct broker_options *options;
    struct counts *counts;
};

static bool is_in_file(const void *context, bool topic, const char *name)
{
    const struct file *file = context;
    const struct broker_options *o = file->options;
    if (topic ? broker_options_has_topic(o, name) : broker_options_has_queue(o, name))
        return true;
    log_about(LOG_INFO, "config", topic ? NULL : name, NULL,
              "%s '%s' is no longer in the file: it stays, and calls may change and delete it",
              topic ? "topic" : "queue", name);
    file->counts->let_go++;
    return false;
}

void declare_reloaded(struct core *core, const struct broker_options *o)
{
    struct counts n = { 0 };
    size_t count = 0, i = 0;
    for (const struct declared_queue *q = o->queues; q; q = q->hh.next)
        count++;
    struct before *before = xcalloc(count + 1, sizeof *before);
    for (const struct declared_queue *q = o->queues; q; q = q->hh.next, i++)
        before[i].was_there = core_queue_settings(core, q->name, &before[i].settings);
    declare_configured(core, o);
    i = 0;
    for (const struct declared_queue *q = o->queues; q; q = q->hh.next)
        log_changes(core, q->name, &before[i++], &n);
    core_unmanage(core, is_in_file, &(struct file){ o, &n });
    free(before);
    log_write(LOG_INFO, "config",
              "the file's queues and topics were reloaded: %u queues created, %u changed, %u no longer in it; every "
              "other setting needs a restart",
              n.made, n.changed, n.let_go);
}

/* Declares, changes and deletes queues on behalf of calls, the configuration file, and the first use of a name. */
#include "broker/core/deliver/dead_letter.h"
#include "broker/core/deliver/trouble.h"
#include "broker/core/topic/topic.h"

static bool has_disk(const struct core *c, struct error *why)
{
    return c->disk ||
           error_set(why, "this broker has no data directory, so durability 'disk' is not available; start it "
                          "with --data DIR");
}

static bool differs(const struct queue *q, const struct queue_settings *given, enum queue_setting which)
{
    return (given->present & (1u << which)) && !queue_settings_same(given, &q->settings, which);
}

static bool changes_partitions(const struct queue *q, const struct queue_settings *given)
{
    return differs(q, given, QUEUE_SETTING_partitions) || differs(q, given, QUEUE_SETTING_ordered);
}

static enum reason check_change(const struct core *c, const struct queue *q, const struct queue_settings *given,
                                bool by_config, struct error *why)
{
    bool changes = false;
    for (unsigned i = 0; i < QUEUE_SETTING_COUNT; i++)
        changes |= differs(q, given, (enum queue_setting)i);
    if (changes && q->managed && !by_config) {
        error_set(why, "queue '%s' is managed by the broker's configuration file; change it there", q->name);
        return REASON_managed;
    }
    if ((given->present & (1u << QUEUE_SETTING_durability)) && given->durability != q->settings.durability) {
        if (given->durability == DURABILITY_DISK && !has_disk(c, why))
            return REASON_invalid;
        error_set(why, "the durability of queue '%s' cannot change; %s", q->name,
                  by_config ? "take it out of the file, delete it, and put it back" : "delete it and declare it again");
        return REASON_conflict;
    }
    if (changes_partitions(q, given) && queue_remaining(q)) {
        error_set(why,
                  "'partitions' and 'ordered' of queue '%s' can change only while it is empty; it holds %llu event%s",
                  q->name, (unsigned long long)queue_remaining(q), queue_remaining(q) == 1 ? "" : "s");
        return REASON_conflict;
    }
    return REASON_ok;
}

static void apply_settings(struct queue_settings *to, const struct queue_settings *given)
{
    for (unsigned i = 0; i < QUEUE_SETTING_COUNT; i++) {
        if (given->present & (1u << i))
            queue_settings_copy(to, given, (enum queue_setting)i);
    }
}

/* Settings that a declaration does not give: the defaults, with durability disk where the broker has a data
 * directory. */
static struct queue_settings defaults_of(const struct core *c)
{
    struct queue_settings s = queue_settings_defaults();
    s.durability = c->disk ? DURABILITY_DISK : DURABILITY_MEMORY;
    return s;
}

/* Checks `dead_letter` only if it changes: one whose target was deleted since must not prevent other changes. */
static enum reason check_dead_letter(struct core *c, struct span name, const struct queue_settings *present,
                                     const struct queue_settings *given, struct error *why)
{
    if (!(given->present & 1u << QUEUE_SETTING_dead_letter) ||
        queue_settings_same(given, present, QUEUE_SETTING_dead_letter))
        return REASON_ok;
    struct queue_settings merged = *present;
    apply_settings(&merged, given);
    return dead_letter_check(c, name, &merged, why);
}

enum reason operate_declare(struct core *c, struct span name, const struct queue_settings *given, bool only_create,
                            bool by_config, struct queue **out, bool *created, struct error *why)
{
    struct queue_settings none = { 0 };
    struct queue *q = queue_find(c, name);
    given = given ? given : &none;
    if (created)
        *created = !q;
    *out = q;
    if (!queue_settings_check(given, why))
        return REASON_invalid;
    if (q) {
        if (only_create)
            return REASON_exists;
        enum reason change = check_change(c, q, given, by_config, why);
        if (change == REASON_ok)
            change = check_dead_letter(c, name, &q->settings, given, why);
        if (change != REASON_ok)
            return change;
        bool parts = changes_partitions(q, given);
        apply_settings(&q->settings, given);
        if (parts)
            deliver_set_partitions(c, q);
    } else {
        if (topic_find(c, name)) {
            error_set(why, "there is a topic of that name, and a queue cannot share it; choose another");
            return REASON_conflict;
        }
        if (c->queue_count >= c->config.max_queues) {
            error_set(why, "the broker's max_queues (%u) is reached; delete queues or raise it", c->config.max_queues);
            return REASON_too_many_queues;
        }
        struct queue_settings settings = defaults_of(c);
        apply_settings(&settings, given);
        if (settings.durability == DURABILITY_DISK && !has_disk(c, why))
            return REASON_invalid;
        enum reason letters = dead_letter_check(c, name, &settings, why);
        if (letters != REASON_ok)
            return letters;
        *out = q = queue_create(c, name, &settings);
        if (q->durable)
            destinations_set_persistent(c, q->name);
    }
    q->managed |= by_config;
    persist_queue(c, q);
    core_run_queue(c, q); /* a larger capacity may let waiters in */
    return REASON_ok;
}

void queue_delete(struct core *c, struct queue *q, enum reason why)
{
    publish_refuse_all(c, q, NULL, why);
    topic_forget_queue(c, q);
    deliver_queue_deleted(c, q, why);
    queue_purge(c, q, true);
    dead_purge(c, q);
    ledger_add(&c->closed_ledger, &q->ledger);
    persist_deleted(c, q);
    queue_free(c, q);
}

/* Which destinations of producers are persistent, so that their outcomes survive a restart: those whose queue, or
 * topic, is on disk. Changes are written to the log. */
#include "broker/core/durable/persist_write.h"
#include "broker/core/topic/topic.h"

#include "base/xalloc.h"

#include <stdlib.h>

/* The destinations of one name that are not persistent and were published to. This index spares a search through all
 * producers when a queue of that name is declared on disk. */
struct transient {
    char name[NAME_MAX_SIZE + 1];
    struct destination *destinations; /* utlist DL */
    UT_hash_handle hh;
};

static struct transient *find(const struct core *c, const char *name)
{
    struct transient *f = NULL;
    HASH_FIND_STR(c->transient, name, f);
    return f;
}

static void list(struct core *c, struct destination *d)
{
    struct transient *f = find(c, d->name);
    if (!f) {
        f = xcalloc(1, sizeof *f);
        memcpy(f->name, d->name, sizeof f->name);
        HASH_ADD_STR(c->transient, name, f);
    }
    DL_APPEND2(f->destinations, d, transient_prev, transient_next);
    d->transient = true;
}

void destination_unlist(struct core *c, struct destination *d)
{
    if (!d->transient)
        return;
    struct transient *f = find(c, d->name);
    DL_DELETE2(f->destinations, d, transient_prev, transient_next);
    d->transient = false;
    if (f->destinations)
        return;
    HASH_DEL(c->transient, f);
    free(f);
}

void destination_set_persistent(struct core *c, struct destination *d, bool persistent)
{
    if (!persistent && !d->transient && c->disk)
        list(c, d);
    if (d->persistent == persistent)
        return;
    if (persistent)
        destination_unlist(c, d);
    d->persistent = persistent;
    if (d->next > 1)
        persist_destination_state(c, d);
}

void destinations_set_persistent(struct core *c, const char *name)
{
    for (struct transient *f; (f = find(c, name)) != NULL;)
        destination_set_persistent(c, f->destinations, true);
}

/* Is the queue or topic that now has this name in memory? Not so for a topic without any queue: it is between two sets
 * of bindings. */
static bool is_in_memory(struct core *c, struct span name)
{
    const struct queue *q = queue_find(c, name);
    const struct topic *t = q ? NULL : topic_find(c, name);
    return q ? !q->durable : t && (t->binding_count || t->catch_all) && !topic_is_durable(t);
}

void destinations_recovered(struct core *c, struct producer *p)
{
    struct destination *d, *next;
    HASH_ITER (hh, p->destinations, d, next) {
        if (is_in_memory(c, span_str(d->name)))
            destination_forget(c, p, span_str(d->name));
        else
            destination_close_holes(d);
    }
}

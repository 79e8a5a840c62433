/* --check: reports what a start would report, and then reads every segment: a start reads only what it needs, and
 * meets damage in older segments only when their events are wanted. */
#include "broker/store/log_walk.h"

#include "base/units.h"
#include "base/xalloc.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <uthash.h>

struct tally {
    uint32_t queue;
    uint64_t events, first, end;
    UT_hash_handle hh;
};

struct check {
    struct files *files;
    void (*report)(void *context, const char *line);
    void *context;
    const struct log_names *names; /* or NULL */
    log_readable_fn *readable;     /* or NULL */
    struct log *log;               /* as a start would read it */
    bool opens, whole;
    struct tally *tallies;
};

static void report_line(struct check *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void report_line(struct check *c, const char *format, ...)
{
    char line[512];
    va_list rest;
    va_start(rest, format);
    vsnprintf(line, sizeof line, format, rest);
    va_end(rest);
    c->report(c->context, line);
}

static const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

static void count_run(struct check *c, const struct run_record *run)
{
    struct tally *t = NULL;
    HASH_FIND(hh, c->tallies, &run->queue, sizeof run->queue, t);
    if (!t) {
        t = xcalloc(1, sizeof *t);
        t->queue = run->queue;
        t->first = run->first;
        HASH_ADD(hh, c->tallies, queue, sizeof t->queue, t);
    }
    t->events += run->count;
    t->first = run->first < t->first ? run->first : t->first;
    t->end = run->first + run->count > t->end ? run->first + run->count : t->end;
}

static void count_shared(struct check *c, const struct shared_record *s)
{
    struct target_reader targets = targets_open(s->targets, s->target_count, 0);
    struct run_target t;
    while (target_next(&targets, &t)) {
        struct run_record run = shared_run(s, 0, &t);
        count_run(c, &run);
    }
}

static void check_record(void *context, uint64_t segment, uint64_t group, uint64_t offset, const struct record *r)
{
    struct check *c = context;
    struct shared_record s;
    uint8_t own[OWN_TARGET_MAX];
    (void)group;
    if (r->type != RECORD_EVENTS && r->type != RECORD_MOVED && r->type != RECORD_SHARED)
        return;
    if (!record_shared(r, &s, own)) {
        c->whole = false;
        report_line(c, "%016" PRIx64 ".log: damaged at offset %" PRIu64 ": the record's events are malformed", segment,
                    offset);
    } else if (!s.moved) {
        count_shared(c, &s);
    }
}

static void check_damage(void *context, uint64_t segment, uint64_t from, uint64_t to)
{
    struct check *c = context;
    c->whole = false;
    report_line(c, "%016" PRIx64 ".log: damaged at offset %" PRIu64 ": whole again from offset %" PRIu64, segment, from,
                to);
}

/* Does the log end in this segment, or before it? Then what follows its last whole group is a torn tail. */
static bool is_last(const struct check *c, uint64_t id)
{
    const struct segment *last = segment_active(c->log);
    return !last || id >= last->id;
}

static void check_end(struct check *c, const struct walked *w)
{
    if (w->sealed || (w->damaged && !w->torn))
        return;
    if (!is_last(c, w->id) || (w->torn && !c->opens)) {
        if (!w->damaged && !w->torn && w->groups == 0)
            return;
        c->whole = false;
        report_line(c, "%016" PRIx64 ".log: damaged at offset %" PRIu64 ": no whole group is behind it", w->id, w->end);
    } else if (w->torn) {
        report_line(c,
                    "%016" PRIx64 ".log: torn tail at offset %" PRIu64
                    ": the next start cuts off what was not confirmed there",
                    w->id, w->end);
    }
}

static void check_segment(struct check *c, uint64_t id)
{
    struct walked w;
    const struct walk walk = { c, check_record, check_damage };
    const struct walk silent = { 0 };
    bool needed = !c->opens || segment_find(c->log, id);
    int why = walk_segment(c->log, id, needed ? &walk : &silent, &w);
    if (why) {
        c->whole = false;
        report_line(c, "%016" PRIx64 ".log: cannot be read: %s", id, strerror(why));
        return;
    }
    if (!needed || (w.blank && w.groups == 0 && !w.torn)) {
        report_line(c, "%016" PRIx64 ".log: holds nothing that is needed", id);
        return;
    }
    report_line(c, "%016" PRIx64 ".log: %s, %" PRIu64 " group%s, %" PRIu64 " record%s, %" PRIu64 " event%s", id,
                w.sealed ? "sealed" : "open", w.groups, plural(w.groups), w.records, plural(w.records), w.events,
                plural(w.events));
    check_end(c, &w);
}

static int by_queue(struct tally *a, struct tally *b)
{
    return a->queue < b->queue ? -1 : a->queue > b->queue;
}

/* "queue 1 (orders)". */
struct label {
    char text[32 + NAME_MAX_SIZE];
};

static struct label label_of(const struct check *c, uint32_t queue)
{
    struct label l;
    const char *name = c->names ? c->names->name(c->names->context, queue) : "";
    snprintf(l.text, sizeof l.text, "queue %" PRIu32 "%s%s%s", queue, *name ? " (" : "", name, *name ? ")" : "");
    return l;
}

static void report_queues(struct check *c)
{
    struct tally *t, *next;
    HASH_SORT(c->tallies, by_queue);
    HASH_ITER (hh, c->tallies, t, next) {
        report_line(c, "%s: %" PRIu64 " event%s accepted in these segments, sequences %" PRIu64 " to %" PRIu64,
                    label_of(c, t->queue).text, t->events, t->events == 1 ? " was" : "s were", t->first, t->end - 1);
        HASH_DEL(c->tallies, t);
        free(t);
    }
    for (const struct log_queue *q = c->log->queues; c->opens && q; q = q->hh.next) {
        if (q->live)
            report_line(c, "%s: %" PRIu64 " event%s of %" PRIu64 " bytes %s live", label_of(c, q->id).text, q->live,
                        plural(q->live), q->live_bytes, q->live == 1 ? "is" : "are");
    }
}

static void name_by_note(void *context, struct span bytes)
{
    const struct check *c = context;
    if (c->names)
        c->names->words(c->names->context, bytes);
}

static bool name_by_state(void *context, struct span state)
{
    const struct check *c = context;
    name_by_note(context, state);
    return !c->readable || c->readable(state);
}

bool log_check(struct files *files, const struct log_names *names, log_readable_fn *readable,
               void (*report)(void *context, const char *line), void *context)
{
    struct check c = { .files = files, .report = report, .context = context, .names = names, .readable = readable };
    struct log_config config;
    struct error e = { "" };
    const struct log_replay named = { .context = &c, .restore = name_by_state, .note = name_by_note };
    size_t count = 0;
    int why;
    log_config_defaults(&config);
    c.log = log_new(&config, files);
    c.whole = c.opens = log_scan(c.log, &named, &e);
    if (!c.opens)
        report_line(&c, "%s", e.text);
    uint64_t *ids = walk_list(files, &count, &why);
    for (size_t i = 0; i < count; i++)
        check_segment(&c, ids[i]);
    report_queues(&c);
    free(ids);
    log_free(c.log);
    return c.whole && why == 0;
}

/* The publishing half of the library: callers encode events into the command queue; the thread passes them to the
 * client and reports each outcome to its publisher. */
#include "clients/c/sluice_priv.h"

#include "base/xalloc.h"

#include <stdlib.h>

/* ------------------------------------------------------------------ callers */

/* Checks what every publish is given. `events`: an event, or several. */
static int check_arguments(const struct sluice *s, const char *queue, const void *events)
{
    if (!s)
        return sluice_invalid("the connection is NULL");
    if (!queue || !name_valid(span_str(queue)))
        return sluice_invalid_name(queue);
    return events ? SLUICE_OK : sluice_invalid("the event is NULL");
}

/* Appends the queue's name to the command bytes; the events follow. The lock is held. */
static size_t begin_publish(struct sluice *s, const char *queue)
{
    size_t at = s->queue.bytes.size;
    buf_add(&s->queue.bytes, queue, strlen(queue) + 1);
    return at;
}

int outbox_admit(struct sluice *s, uint64_t bytes)
{
    uint_fast64_t now = atomic_load_explicit(&s->buffered, memory_order_relaxed);
    if (bytes > s->buffer_bytes)
        return SLUICE_TOO_LARGE;
    do {
        if (now + bytes > s->buffer_bytes)
            return SLUICE_BUSY;
    } while (!atomic_compare_exchange_weak_explicit(&s->buffered, &now, now + bytes, memory_order_relaxed,
                                                    memory_order_relaxed));
    return SLUICE_OK;
}

/* As outbox_admit, for callers; the lock is held. */
static int admit(struct sluice *s, uint64_t bytes, bool *wake)
{
    int error = outbox_admit(s, bytes);
    if (error != SLUICE_BUSY)
        return error;
    *wake = s->asleep && s->lingers;
    s->full |= *wake || !s->asleep; /* if awake, the thread itself checks for a linger */
    s->asleep &= !*wake;
    return error;
}

static struct command *queue_publish(struct sluice *s, size_t at, uint32_t count, uint32_t wait_ms,
                                     sluice_confirm_fn *confirm, void *context, void **contexts, bool *wake)
{
    struct command *c = sluice_command(s, COMMAND_PUBLISH, wake);
    c->at = at;
    c->count = count;
    c->ms = wait_ms;
    c->confirm = confirm;
    c->context = context;
    c->contexts = contexts;
    s->undecided += count;
    return c;
}

/* Precedes each event's bytes in the command bytes. */
struct head {
    uint32_t size;
    uint32_t id_given; /* false: generated, so it cannot identify a retry */
};

/* Appends one event, as the queue's name, a head and its bytes. Undone on refusal. */
static int publish_locked(struct sluice *s, const char *queue, const struct sluice_event *event, uint32_t wait_ms,
                          sluice_confirm_fn *confirm, void *context, struct publish_extras *extras, bool *wake)
{
    struct buf *b = &s->queue.bytes;
    size_t at = begin_publish(s, queue), start = b->size;
    struct sluice_encoding e;
    struct head head = { .id_given = event->id != NULL };
    buf_add(b, &head, sizeof head);
    int error = SLUICE_INVALID;
    if (s->stop) {
        error = SLUICE_UNAVAILABLE;
    } else if (sluice_prepare(s, &s->ids, event, &e)) {
        event_encode(&e.event, b);
        size_t size = b->size - start - sizeof head;
        error = size > FRAME_MAX_SIZE / 2 ? SLUICE_TOO_LARGE : admit(s, size, wake);
        head.size = (uint32_t)size; /* fits if admitted */
        memcpy(b->data + start, &head, sizeof head);
    }
    if (error == SLUICE_OK)
        queue_publish(s, at, 1, wait_ms, confirm, context, NULL, wake)->extras = extras;
    else
        b->size = at;
    return error;
}

static int publish(struct sluice *s, const char *queue, const struct sluice_event *event, uint32_t wait_ms,
                   sluice_confirm_fn *confirm, void *context, struct publish_extras *extras)
{
    bool wake = false;
    int error = check_arguments(s, queue, event);
    if (error != SLUICE_OK)
        return error;
    if (sluice_is_oversized(event))
        return SLUICE_TOO_LARGE;
    pthread_mutex_lock(&s->lock);
    error = publish_locked(s, queue, event, wait_ms, confirm, context, extras, &wake);
    pthread_mutex_unlock(&s->lock);
    if (wake)
        sluice_wake(s);
    return error;
}

int sluice_publish(struct sluice *s, const char *queue, const struct sluice_event *event, uint32_t wait_ms,
                   sluice_confirm_fn *confirm, void *context)
{
    if (s && queue && event && sluice_on_thread(s) && direct_allowed(s))
        return direct_publish(s, queue, event, wait_ms, confirm, context);
    return publish(s, queue, event, wait_ms, confirm, context, NULL);
}

int outbox_publish(struct sluice *s, const char *queue, const struct sluice_event *event, uint32_t wait_ms,
                   struct publish_extras *extras)
{
    return publish(s, queue, event, wait_ms, NULL, NULL, extras);
}

/* A caller that waits for its one outcome. */
struct waiting {
    struct sluice *s;
    pthread_cond_t done_now;
    bool done;
    int error;
    uint64_t sequence;
};

static void waited(void *context, int error, uint64_t sequence)
{
    struct waiting *w = context;
    pthread_mutex_lock(&w->s->lock);
    w->done = true;
    w->error = error;
    w->sequence = sequence;
    pthread_cond_signal(&w->done_now); /* under the lock: the waiter's stack frame may be gone right after */
    pthread_mutex_unlock(&w->s->lock);
}

int sluice_publish_wait(struct sluice *s, const char *queue, const struct sluice_event *event, uint32_t wait_ms,
                        uint64_t *sequence)
{
    bool wake = false;
    int error = check_arguments(s, queue, event);
    if (error != SLUICE_OK)
        return error;
    if (sluice_on_thread(s))
        return sluice_invalid("sluice_publish_wait must not be called in a callback");
    if (sluice_is_oversized(event))
        return SLUICE_TOO_LARGE;
    struct waiting w = { .s = s };
    pthread_cond_init(&w.done_now, NULL);
    pthread_mutex_lock(&s->lock);
    s->waiting++;
    while ((w.error = publish_locked(s, queue, event, wait_ms, waited, &w, NULL, &wake)) == SLUICE_BUSY) {
        if (wake)
            sluice_wake(s);
        pthread_cond_wait(&s->changed, &s->lock);
    }
    if (wake)
        sluice_wake(s);
    while (w.error == SLUICE_OK && !w.done)
        pthread_cond_wait(&w.done_now, &s->lock);
    sluice_waited(s);
    pthread_mutex_unlock(&s->lock);
    pthread_cond_destroy(&w.done_now);
    if (sequence && w.error == SLUICE_OK)
        *sequence = w.sequence;
    return w.error;
}

static int check_encoded(const struct sluice_bytes *events, uint32_t count, uint64_t *bytes)
{
    *bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!events[i].data || events[i].size == 0)
            return sluice_invalid("event %u is empty", (unsigned)i);
        if (events[i].size > FRAME_MAX_SIZE / 2)
            return SLUICE_TOO_LARGE;
        *bytes += events[i].size;
    }
    return SLUICE_OK;
}

/* A copy of the contexts, followed by a byte for each that is set once the event's outcome was reported. */
static void **copy_contexts(void **contexts, uint32_t count)
{
    if (!contexts)
        return NULL;
    void **own = xcalloc(count, sizeof *own + 1);
    memcpy(own, contexts, count * sizeof *own);
    return own;
}

int sluice_publish_encoded(struct sluice *s, const char *queue, const struct sluice_bytes *events, uint32_t count,
                           uint32_t wait_ms, sluice_confirm_fn *confirm, void **contexts)
{
    bool wake = false;
    uint64_t bytes = 0;
    int error = check_arguments(s, queue, events);
    if (error == SLUICE_OK)
        error = count ? check_encoded(events, count, &bytes) : sluice_invalid("there are no events to publish");
    if (error != SLUICE_OK)
        return error;
    pthread_mutex_lock(&s->lock);
    error = s->stop ? SLUICE_UNAVAILABLE : admit(s, bytes, &wake);
    if (error == SLUICE_OK) {
        size_t at = begin_publish(s, queue);
        for (uint32_t i = 0; i < count; i++) {
            struct head head = { (uint32_t)events[i].size, true };
            buf_add(&s->queue.bytes, &head, sizeof head);
            buf_add(&s->queue.bytes, events[i].data, events[i].size);
        }
        queue_publish(s, at, count, wait_ms, confirm, NULL, copy_contexts(contexts, count), &wake);
    }
    pthread_mutex_unlock(&s->lock);
    if (wake)
        sluice_wake(s);
    return error;
}

/* ------------------------------------------------------------------ the thread */

struct pending *pending_new(struct sluice *s, uint32_t count, sluice_confirm_fn *confirm, void *context,
                            void **contexts)
{
    struct pending *p = s->spare;
    if (p)
        s->spare = p->next;
    else
        p = xmalloc(sizeof *p);
    *p =
        (struct pending){ .confirm = confirm, .context = context, .contexts = contexts, .count = count, .left = count };
    DL_APPEND(s->pending, p);
    return p;
}

void pending_free(struct sluice *s, struct pending *p)
{
    DL_DELETE(s->pending, p);
    free(p->contexts);
    s->freed_bytes += p->bytes;
    p->next = s->spare;
    s->spare = p;
}

static void confirm_some(struct sluice *s, struct pending *p, uint32_t index, uint32_t count, int error,
                         uint64_t sequence)
{
    uint8_t *told = p->contexts ? (uint8_t *)(p->contexts + p->count) : NULL;
    for (uint32_t i = 0; i < count; i++) {
        if (told)
            told[index + i] = 1;
        if (p->confirm)
            p->confirm(told ? p->contexts[index + i] : p->context, error, sequence ? sequence + i : 0);
    }
    s->decided += count;
    p->left -= count;
    if (p->left == 0)
        pending_free(s, p);
}

void outbox_outcome(struct sluice *s, struct pending *p, uint32_t index, uint32_t count, const struct client_outcome *o)
{
    if (p->extras)
        extras_report(p->extras, o->reason, o);
    bool one_sequence = o->reason == REASON_ok && !(o->flags & RUN_TOPIC);
    confirm_some(s, p, index, count, (int)o->reason, one_sequence ? o->sequence : 0);
}

#define SPANS_AT_ONCE 16u

/* False: its id was generated. */
static bool hash_of(const struct head *head, struct span event, uint8_t out[EVENT_HASH_SIZE])
{
    struct span source, id;
    memset(out, 0, EVENT_HASH_SIZE);
    if (!head->id_given || !event_identity(event, &source, &id))
        return false;
    event_hash(source, id, out);
    return true;
}

void outbox_command(struct sluice *s, const struct command *c)
{
    struct pending *p = pending_new(s, c->count, c->confirm, c->context, c->contexts);
    p->extras = c->extras;
    struct span few[SPANS_AT_ONCE];
    uint8_t few_hashes[SPANS_AT_ONCE][EVENT_HASH_SIZE];
    struct span *events = c->count <= SPANS_AT_ONCE ? few : xmalloc(c->count * sizeof *events);
    uint8_t(*hashes)[EVENT_HASH_SIZE] = c->count <= SPANS_AT_ONCE ? few_hashes : xmalloc(c->count * sizeof *hashes);
    bool hashed = false;
    const char *queue = (const char *)s->taken.bytes.data + c->at;
    const uint8_t *at = s->taken.bytes.data + c->at + strlen(queue) + 1;
    for (uint32_t i = 0; i < c->count; i++) {
        struct head head;
        memcpy(&head, at, sizeof head);
        events[i] = span_of(at + sizeof head, head.size);
        hashed |= hash_of(&head, events[i], hashes[i]);
        at += sizeof head + head.size;
        p->bytes += head.size;
    }
    enum reason why;
    const uint8_t(*given)[EVENT_HASH_SIZE] = hashed ? (const uint8_t(*)[EVENT_HASH_SIZE])hashes : NULL;
    bool taken = c->extras
                     ? extras_publish(s, c, events[0], given, p, &why)
                     : client_publish_once(s->client, span_str(queue), events, given, c->count, c->ms, p, s->now, &why);
    if (!taken && c->extras)
        extras_report(c->extras, why, NULL);
    if (!taken)
        confirm_some(s, p, 0, c->count, (int)why, 0);
    if (events != few) {
        free(events);
        free(hashes);
    }
}

/* Without contexts the events are indistinguishable: only the number of calls matters. */
static void abandon(struct sluice *s, struct pending *p)
{
    const uint8_t *told = p->contexts ? (const uint8_t *)(p->contexts + p->count) : NULL;
    if (p->extras)
        extras_report(p->extras, REASON_unknown, NULL);
    if (!told) {
        confirm_some(s, p, 0, p->left, SLUICE_UNKNOWN, 0);
        return;
    }
    for (uint32_t i = 0, count = p->count, left = p->left; i < count && left; i++) {
        if (!told[i]) {
            left--;
            confirm_some(s, p, i, 1, SLUICE_UNKNOWN, 0);
        }
    }
}

void outbox_abandon(struct sluice *s)
{
    while (s->pending)
        abandon(s, s->pending);
    while (s->spare) {
        struct pending *p = s->spare;
        s->spare = p->next;
        free(p);
    }
}

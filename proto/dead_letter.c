/* The event is not decoded and encoded again. In protobuf, fields appended to an encoded message belong to the
 * message, so the new entries of the attributes' map are simply appended to the published bytes. */
#include "proto/dead_letter.h"

#include "proto/event.h"
#include "proto/wire.h"

#include <stdio.h>

#define PREFIX "sluicedead"

/* Fields of CloudEvent, its attributes' map, and their values (proto/cloudevents.proto). */
enum { EVENT_ATTRIBUTE = 5, ENTRY_NAME = 1, ENTRY_VALUE = 2, VALUE_INTEGER = 2, VALUE_STRING = 3, VALUE_TIMESTAMP = 7 };

/* ------------------------------------------------------------------ the event as it was */

static bool is_of_an_earlier_death(struct span entry)
{
    struct span name, value;
    size_t size = sizeof PREFIX - 1;
    return event_entry(entry, &name, &value) && name.size >= size && memcmp(name.data, PREFIX, size) == 0;
}

/* Copies the event without the attributes of an earlier death, and returns how many attributes remain. Bytes that
 * are not a message are copied whole. */
static unsigned copy_event(struct buf *out, struct span event)
{
    size_t start = out->size;
    unsigned count = 0;
    struct wire_reader r = wire_open(event);
    while (!wire_done(&r)) {
        const uint8_t *from = r.at;
        struct wire_field f;
        if (!wire_next(&r, &f)) {
            out->size = start;
            buf_add(out, event.data, event.size);
            return 0;
        }
        bool attribute = f.tag == EVENT_ATTRIBUTE && f.type == WIRE_BYTES;
        if (attribute && is_of_an_earlier_death(f.bytes))
            continue;
        count += attribute;
        buf_add(out, from, (size_t)(r.at - from));
    }
    return count;
}

/* ------------------------------------------------------------------ attributes */

struct writing {
    struct buf *out;
    unsigned left; /* attributes that may still be added */
};

/* Begins an entry; its value follows. False: no more entries fit. */
static bool begin(struct writing *w, const char *name, size_t *entry, size_t *value)
{
    if (w->left == 0)
        return false;
    w->left--;
    *entry = wire_begin(w->out, EVENT_ATTRIBUTE);
    wire_add_span(w->out, ENTRY_NAME, span_str(name));
    *value = wire_begin(w->out, ENTRY_VALUE);
    return true;
}

static void end(struct writing *w, size_t entry, size_t value)
{
    wire_end(w->out, value);
    wire_end(w->out, entry);
}

static void add_text(struct writing *w, const char *name, const char *text)
{
    size_t entry, value;
    if (!begin(w, name, &entry, &value))
        return;
    wire_add_bytes(w->out, VALUE_STRING, span_str(text));
    end(w, entry, value);
}

/* Writes 0, too: a value without a member would be no value. */
static void add_integer(struct writing *w, const char *name, uint32_t number)
{
    size_t entry, value;
    if (!begin(w, name, &entry, &value))
        return;
    uint8_t *at = buf_reserve(w->out, 20);
    uint8_t *stop = wire_put_varint(wire_put_varint(at, VALUE_INTEGER << 3 | WIRE_VARINT), number);
    w->out->size += (size_t)(stop - at);
    end(w, entry, value);
}

static void add_time(struct writing *w, const char *name, int64_t ms)
{
    size_t entry, value;
    if (ms <= 0 || !begin(w, name, &entry, &value))
        return;
    size_t time = wire_begin(w->out, VALUE_TIMESTAMP);
    wire_add_number(w->out, 1, (uint64_t)(ms / 1000));
    wire_add_number(w->out, 2, (uint64_t)(ms % 1000) * 1000000);
    wire_end(w->out, time);
    end(w, entry, value);
}

/* Replaces characters that CloudEvents strings must not contain. */
static void add_error(struct writing *w, const char *error)
{
    char text[TROUBLE_ERROR_MAX + 1];
    snprintf(text, sizeof text, "%s", error);
    uint8_t *at = (uint8_t *)text, *end = at + strlen(text);
    for (size_t size; at < end; at += size ? size : 1) {
        size = event_banned(at, end);
        memset(at, ' ', size);
    }
    if (*text)
        add_text(w, PREFIX "error", text);
}

void dead_letter_write(struct buf *out, struct span event, const struct dead_letter *l)
{
    const struct trouble_info *t = &l->trouble;
    char sequence[24];
    unsigned has = copy_event(out, event);
    struct writing w = { out, has < EVENT_ATTRIBUTES_MAX ? EVENT_ATTRIBUTES_MAX - has : 0 };
    snprintf(sequence, sizeof sequence, "%llu", (unsigned long long)l->sequence);
    add_text(&w, PREFIX "queue", l->queue);
    add_text(&w, PREFIX "sequence", sequence);
    add_text(&w, PREFIX "reason", dead_reason_name(t->dead));
    add_integer(&w, PREFIX "attempts", l->attempts);
    add_integer(&w, PREFIX "failures", t->failures);
    add_integer(&w, PREFIX "crashes", t->crashes);
    if (t->status)
        add_integer(&w, PREFIX "status", t->status);
    add_error(&w, t->error);
    add_time(&w, PREFIX "first", t->first_ms);
    add_time(&w, PREFIX "last", t->last_ms);
}

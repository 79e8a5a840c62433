/* Fuzzes CloudEvents.
 * - An event that decodes must decode to the same after encoding, and so must every event that passes the rules:
 *   otherwise the consumer could not read what was accepted.
 * - The scans that do not decode an event must find the same in it as decoding does. */
#include "proto/dead_letter.h"
#include "proto/event.h"

#include <stdio.h>
#include <stdlib.h>

#define ATTRIBUTES 24u
#define ARENA      (1u << 22)

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* Integers may come back in canonical form; everything else must be identical. */
static void compare(const struct event *a, const struct event *b)
{
    must(span_equal(a->id, b->id) && span_equal(a->source, b->source) && span_equal(a->type, b->type));
    must(a->attribute_count == b->attribute_count);
    for (size_t i = 0; i < a->attribute_count; i++) {
        const struct attribute *x = &a->attributes[i], *y = &b->attributes[i];
        must(span_equal(x->name, y->name) && (x->type == ATTRIBUTE_INTEGER || span_equal(x->text, y->text)));
    }
    must(a->data_kind == b->data_kind && span_equal(a->data, b->data));
}

static void round_trip(const struct event *e)
{
    struct buf encoded = { 0 };
    struct arena arena;
    struct event back;
    struct error why;
    arena_init(&arena, ARENA);
    event_encode(e, &encoded);
    must(event_decode(buf_span(&encoded), &arena, &back, &why));
    compare(e, &back);
    arena_free(&arena);
    buf_free(&encoded);
}

/* Whether `key` is the value of the attribute that keys are taken from, if that value can be a key. */
static bool is_key(const struct event *e, const char *name, struct span key)
{
    for (size_t i = 0; i < e->attribute_count; i++) {
        const struct attribute *a = &e->attributes[i];
        if (!span_equal(a->name, span_str(name)) || a->type == ATTRIBUTE_BOOLEAN || a->type == ATTRIBUTE_TIMESTAMP)
            continue;
        if (a->type == ATTRIBUTE_BYTES) /* the key is the bytes themselves, the attribute's text is base64 */
            return a->text.size == (key.size + 2) / 3 * 4 && key.size;
        return span_equal(a->text, key) && key.size;
    }
    return false;
}

static void scan(struct span bytes, const struct event *e, struct arena *arena)
{
    const struct dead_letter l = { .queue = "q",
                                   .attempts = 1,
                                   .trouble = { .dead = DEAD_MAX_DELIVERIES, .error = "" } };
    struct span source, id;
    struct buf letter = { 0 };
    struct event dead;
    char number[EVENT_KEY_NUMBER];
    must(event_identity(bytes, &source, &id) && span_equal(source, e->source) && span_equal(id, e->id));
    struct span key = event_key(bytes, number);
    must(is_key(e, "partitionkey", key) || is_key(e, "subject", key) || key.size == 0);
    dead_letter_write(&letter, bytes, &l);
    must(event_decode(buf_span(&letter), arena, &dead, NULL));
    buf_free(&letter);
}

static void decode(struct span bytes)
{
    struct arena arena;
    struct event e;
    struct error why;
    arena_init(&arena, ARENA);
    if (event_decode(bytes, &arena, &e, &why)) {
        round_trip(&e);
        scan(bytes, &e, &arena);
    }
    arena_free(&arena);
}

/* Returns the next line of the input, without the line break. */
static struct span next_line(struct span *rest)
{
    const uint8_t *end = rest->size ? memchr(rest->data, '\n', rest->size) : NULL;
    struct span line = end ? span_of(rest->data, (size_t)(end - rest->data)) : *rest;
    *rest = end ? span_of(end + 1, rest->size - line.size - 1) : span_str("");
    return line;
}

/* Builds an event from lines: id, source, type, then attributes, each beginning with a byte for its type. A line '='
 * ends the attributes; the rest is the data. */
static void build(struct span rest)
{
    static const char *const known[] = { "time", "dataschema", "subject", "datacontenttype" };
    struct attribute attributes[ATTRIBUTES];
    char names[ATTRIBUTES][16];
    struct event e = { .attributes = attributes };
    e.id = next_line(&rest), e.source = next_line(&rest), e.type = next_line(&rest);
    while (rest.size && e.attribute_count < ATTRIBUTES) {
        struct span line = next_line(&rest);
        if (span_equal(line, span_str("=")))
            break;
        unsigned kind = line.size ? line.data[0] : 0;
        size_t i = e.attribute_count++;
        if (i < 4 && kind & 8)
            snprintf(names[i], sizeof names[i], "%s", known[i]);
        else
            snprintf(names[i], sizeof names[i], "a%zu", i);
        attributes[i] = (struct attribute){ span_str(names[i]), (enum attribute_type)(kind % 8 % 7),
                                            line.size ? span_of(line.data + 1, line.size - 1) : line };
    }
    e.data_kind = (enum data_kind)(rest.size % 4);
    e.data = e.data_kind ? rest : span_str("");
    struct error why;
    if (event_check(&e, &why))
        round_trip(&e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int64_t seconds;
    int32_t nanos;
    char number[EVENT_KEY_NUMBER];
    decode(span_of(data, size));
    struct span key = event_key(span_of(data, size), number);
    must((event_key_hash(key) == 0) == (key.size == 0));
    build(span_of(data, size));
    if (timestamp_parse(span_of(data, size), &seconds, &nanos))
        must(nanos >= 0 && nanos <= 999999999);
    return 0;
}

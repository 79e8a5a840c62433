/* Translates struct sluice_event and struct sluice_delivery to and from CloudEvents in protobuf. */
#include "clients/c/sluice_priv.h"

#include "proto/event.h"
#include "proto/wire.h"

#include <sodium.h>
#include <stdio.h>

#define DEFAULT_TYPE "sluice.event"
/* The cap on a delivery's strings, as a multiple of its encoded size. */
#define ARENA_FACTOR 8u
#define VARINT_MOST  10u

/* Each batch begins with the seed of the next one, and bytes given out are erased, so earlier ids cannot be
 * recovered. */
static void draw_random(struct id_source *ids)
{
    if (!ids->seeded)
        randombytes_buf(ids->random, RANDOM_SEED_SIZE);
    ids->seeded = true;
    uint8_t seed[RANDOM_SEED_SIZE];
    memcpy(seed, ids->random, sizeof seed);
    randombytes_buf_deterministic(ids->random, sizeof ids->random, seed);
    ids->left = sizeof ids->random - sizeof seed;
}

static void draw_id(struct id_source *ids, char out[37])
{
    if (ids->left < 16)
        draw_random(ids);
    uint8_t *at = ids->random + RANDOM_SEED_SIZE + ids->left - 16;
    ids->left -= 16;
    uuid_format(at, out);
    memset(at, 0, 16);
}

static void add_attribute(struct event *e, const char *name, const char *text)
{
    if (!text)
        return;
    e->attributes[e->attribute_count++] =
        (struct attribute){ .name = span_str(name), .type = ATTRIBUTE_STRING, .text = span_str(text) };
}

static bool add_extensions(struct event *e, const char *const *list)
{
    for (size_t i = 0; list && list[i]; i += 2) {
        if (!list[i + 1] || i / 2 == EXTENSIONS_MAX) {
            if (list[i + 1])
                sluice_invalid("the event has more than %u other attributes", EXTENSIONS_MAX);
            else
                sluice_invalid("attribute '%.64s' has no value", list[i]);
            return false;
        }
        add_attribute(e, list[i], list[i + 1]);
    }
    return true;
}

/* No event of that size is accepted; but it would have to be encoded first. */
static bool is_encodable(const struct event *e)
{
    for (size_t i = 0; i < e->attribute_count; i++) {
        const struct attribute *a = &e->attributes[i];
        if (a->text.size > EVENT_ATTRIBUTE_SIZE_MAX) {
            sluice_invalid("attribute '%.*s' is too large", (int)a->name.size, (const char *)a->name.data);
            return false;
        }
    }
    return true;
}

bool sluice_prepare(const struct sluice *s, struct id_source *ids, const struct sluice_event *event,
                    struct sluice_encoding *out)
{
    struct event *e = &out->event;
    struct error why;
    *e = (struct event){
        .id = span_str(event->id),
        .source = event->source ? span_str(event->source) : span_of(s->source, s->source_size),
        .type = event->type ? span_str(event->type) : span_of(DEFAULT_TYPE, sizeof DEFAULT_TYPE - 1),
        .attributes = out->attributes,
        .data_kind = event->data ? DATA_BINARY : DATA_NONE,
        .data = span_of(event->data, event->size),
    };
    if (!event->id) {
        draw_id(ids, out->id);
        e->id = span_of(out->id, sizeof out->id - 1);
    }
    add_attribute(e, "datacontenttype", event->content_type);
    add_attribute(e, "subject", event->subject);
    if (!add_extensions(e, event->attributes) || !is_encodable(e))
        return false;
    bool made_here = !event->id && !event->source && !event->type && !e->attribute_count && s->source_is_valid;
    if (made_here || event_check(e, &why))
        return true;
    sluice_invalid("%s", why.text);
    return false;
}

/* ------------------------------------------------------------------ plain: nothing but data */

#define ID_AT   2u /* after its tag and size */
#define ID_SIZE 36u
#define DATA    6u /* the field's number */

void sluice_prepare_plain(struct sluice *s)
{
    char id[ID_SIZE];
    memset(id, '0', sizeof id);
    struct event e = { .id = span_of(id, sizeof id),
                       .source = span_of(s->source, s->source_size),
                       .type = span_of(DEFAULT_TYPE, sizeof DEFAULT_TYPE - 1) };
    if (s->source_is_valid)
        event_encode(&e, &s->plain);
}

bool sluice_is_plain(const struct sluice *s, const struct sluice_event *e)
{
    return s->plain.size && !e->id && !e->source && !e->type && !e->content_type && !e->subject && !e->attributes;
}

size_t sluice_plain_most(const struct sluice *s, const struct sluice_event *event)
{
    return s->plain.size + 1 + VARINT_MOST + event->size;
}

uint8_t *sluice_encode_plain(struct sluice *s, const struct sluice_event *event, uint8_t *to)
{
    size_t behind = ID_AT + ID_SIZE;
    memcpy(to, s->plain.data, ID_AT);
    draw_id(&s->own_ids, (char *)to + ID_AT); /* writes a NUL too, which the next field overwrites */
    memcpy(to + behind, s->plain.data + behind, s->plain.size - behind);
    to += s->plain.size;
    if (!event->data)
        return to;
    *to++ = DATA << 3 | WIRE_BYTES;
    to = wire_put_varint(to, event->size);
    if (event->size)
        memcpy(to, event->data, event->size);
    return to + event->size;
}

/* ------------------------------------------------------------------ delivered */

static const char *text_of(struct arena *arena, struct span s)
{
    return s.data ? arena_strndup(arena, (const char *)s.data, s.size) : NULL;
}

/* Any event, with its fields in any order. */
static bool decode(struct sluice *s, struct span encoded, struct sluice_delivery *out)
{
    struct event e;
    arena_reset(&s->arena, encoded.size * ARENA_FACTOR + 65536);
    if (!event_decode(encoded, &s->arena, &e, NULL))
        return false;
    out->id = text_of(&s->arena, e.id);
    out->source = text_of(&s->arena, e.source);
    out->type = text_of(&s->arena, e.type);
    if (e.attribute_count) {
        out->subject = text_of(&s->arena, event_attribute(&e, "subject"));
        out->content_type = text_of(&s->arena, event_attribute(&e, "datacontenttype"));
    }
    out->data = e.data.data;
    out->size = e.data.size;
    return out->id && out->source && out->type;
}

/* Reads the next field as a text, and keeps it unless it equals the kept one. False if it is not a valid short text. */
static bool take_text(struct wire_reader *r, uint32_t tag, char kept[TEXT_KEPT], size_t *kept_size)
{
    struct span text;
    if (!wire_next_bytes(r, tag, &text) || text.size >= TEXT_KEPT)
        return false;
    if (*kept_size && text.size == *kept_size && memcmp(text.data, kept, text.size) == 0)
        return true;
    if (!event_text_valid(text))
        return false;
    if ((size_t)(r->end - text.data) >= TEXT_KEPT) /* a copy of constant size takes a few instructions */
        memcpy(kept, text.data, TEXT_KEPT);
    else
        memcpy(kept, text.data, text.size);
    kept[text.size] = '\0';
    *kept_size = text.size;
    return true;
}

/* Decodes the form that libsluice and the sidecar write for an event without attributes: its fields in order, and
 * bytes as data. False for any other form. */
static bool decode_plain(struct sluice *s, struct span encoded, struct sluice_delivery *out)
{
    struct delivery_texts *t = &s->texts;
    struct wire_reader r = wire_open(encoded);
    struct span version, data = { 0 };
    size_t id_size = 0;
    if (!take_text(&r, 1, t->id, &id_size) || !take_text(&r, 2, t->source, &t->source_size) ||
        !wire_next_bytes(&r, 3, &version) || version.size != 3 || memcmp(version.data, "1.0", 3) != 0 ||
        !take_text(&r, 4, t->type, &t->type_size))
        return false;
    if (!wire_done(&r) && (!wire_next_bytes(&r, 6, &data) || !wire_done(&r)))
        return false;
    out->id = t->id;
    out->source = t->source;
    out->type = t->type;
    out->data = data.data;
    out->size = data.size;
    return true;
}

bool sluice_decode(struct sluice *s, struct span encoded, struct sluice_delivery *out)
{
    out->encoded = (struct sluice_bytes){ encoded.data, encoded.size };
    return decode_plain(s, encoded, out) || decode(s, encoded, out);
}

int sluice_attribute(const struct sluice_delivery *d, const char *name, char *text, size_t size)
{
    struct arena arena;
    struct event e;
    int length = -1;
    arena_init(&arena, d->encoded.size * ARENA_FACTOR + 65536);
    if (event_decode(span_of(d->encoded.data, d->encoded.size), &arena, &e, NULL)) {
        struct span value = event_attribute(&e, name);
        if (value.data)
            length = snprintf(text, size, "%.*s", (int)value.size, (const char *)value.data);
    }
    arena_free(&arena);
    return length;
}

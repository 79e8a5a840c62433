/* Events as programs see them, to and from CloudEvents in protobuf. */
#include "clients/c/sluice_priv.h"

#include "proto/event.h"

#include <sodium.h>

#define EXTENSIONS_MAX 64u

/* The seed of the next lot comes out of this one, and nothing that was given out is kept. */
static void draw_random(struct sluice *s)
{
    if (!s->seeded)
        randombytes_buf(s->random, RANDOM_SEED_SIZE);
    s->seeded = true;
    uint8_t seed[RANDOM_SEED_SIZE];
    memcpy(seed, s->random, sizeof seed);
    randombytes_buf_deterministic(s->random, sizeof s->random, seed);
    s->random_left = sizeof s->random - sizeof seed;
}

static void draw_id(struct sluice *s, char out[37])
{
    if (s->random_left < 16)
        draw_random(s);
    uint8_t *at = s->random + RANDOM_SEED_SIZE + s->random_left - 16;
    s->random_left -= 16;
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
        if (!list[i + 1] || i / 2 == EXTENSIONS_MAX)
            return false;
        add_attribute(e, list[i], list[i + 1]);
    }
    return true;
}

bool sluice_encode(struct sluice *s, const struct sluice_event *event, struct buf *out)
{
    char id[37];
    struct attribute attributes[EXTENSIONS_MAX + 2];
    struct event e = {
        .id = span_str(event->id),
        .source = span_str(event->source ? event->source : s->source),
        .type = span_str(event->type ? event->type : "sluice.event"),
        .attributes = attributes,
        .data_kind = event->data ? DATA_BINARY : DATA_NONE,
        .data = span_of(event->data, event->size),
    };
    if (!event->id) {
        draw_id(s, id);
        e.id = span_str(id);
    }
    add_attribute(&e, "datacontenttype", event->content_type);
    add_attribute(&e, "subject", event->subject);
    if (!add_extensions(&e, event->attributes) || !event_check(&e, NULL))
        return false;
    event_encode(&e, out);
    return true;
}

static const char *text_of(struct arena *arena, struct span s)
{
    return s.data ? arena_strndup(arena, (const char *)s.data, s.size) : NULL;
}

bool sluice_decode(struct span encoded, struct arena *arena, struct sluice_delivery *out)
{
    struct event e;
    if (!event_decode(encoded, arena, &e, NULL))
        return false;
    out->id = text_of(arena, e.id);
    out->source = text_of(arena, e.source);
    out->type = text_of(arena, e.type);
    if (e.attribute_count) {
        out->subject = text_of(arena, event_attribute(&e, "subject"));
        out->content_type = text_of(arena, event_attribute(&e, "datacontenttype"));
    }
    out->data = e.data.data;
    out->size = e.data.size;
    out->encoded = (struct sluice_bytes){ encoded.data, encoded.size };
    return out->id && out->source && out->type;
}

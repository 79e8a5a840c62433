/* Effects: what the core asks its owner to do. The core appends them; the owner carries them out and clears them. */
#include "broker/core/state.h"

#include "base/xalloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct effect *core_effect(struct core *c, enum effect_kind kind)
{
    if (c->effect_count == c->effect_capacity) {
        c->effect_capacity = c->effect_capacity ? c->effect_capacity * 2 : 64;
        c->effects = xrealloc(c->effects, c->effect_capacity * sizeof *c->effects);
    }
    struct effect *e = &c->effects[c->effect_count++];
    *e = (struct effect){ .kind = kind };
    return e;
}

struct effect *core_effects(struct core *c, size_t *count)
{
    *count = c->effect_count;
    return c->effects;
}

void core_effects_clear(struct core *c)
{
    for (size_t i = 0; i < c->effect_count; i++) {
        struct effect *e = &c->effects[i];
        frame_drop(e->frame);
        buf_free(&e->bytes);
        free(e->endpoint);
        free(e->peer);
        free(e->queue);
        free(e->session);
        free(e->text);
    }
    c->effect_count = 0;
}

void core_log(struct core *c, enum log_level level, const struct queue *q, const struct session *s, const char *format,
              ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    struct effect *e = core_effect(c, EFFECT_LOG);
    e->level = level;
    e->message = format;
    e->queue = q ? xstrdup(q->name) : NULL;
    e->session = s ? xstrdup(s->name) : NULL;
    e->text = xstrdup(text);
}

void core_reply(struct core *c, const struct route *route, const struct reply *reply)
{
    struct effect *e = core_effect(c, EFFECT_REPLY);
    e->route = *route;
    reply_pack(reply, &e->bytes);
}

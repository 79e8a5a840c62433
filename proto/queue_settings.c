/* A queue's settings, generated from queue_settings.def. */
#include "proto/queue_settings.h"

#include "base/settings.h"

#include <stddef.h>
#include <stdio.h>

static const char *const durabilities[] = { "memory", "disk", NULL };
static const char *const overflows[] = { "wait", "reject", "drop_oldest", NULL };
static const char *const orders[] = { "none", "key", NULL };

#define CHOICES_NUMBER            NULL
#define CHOICES_SIZE              NULL
#define CHOICES_DURATION          NULL
#define CHOICES_BOOL              NULL
#define CHOICES_CHOICE_DURABILITY durabilities
#define CHOICES_CHOICE_OVERFLOW   overflows
#define CHOICES_NAME              NULL
#define CHOICES_CHOICE_ORDERED    orders

const struct queue_setting_info *queue_setting_info(enum queue_setting s)
{
    static const struct queue_setting_info infos[QUEUE_SETTING_COUNT] = {
#define SETTING(index, name, type, field, fallback, min, max, help)                                                    \
    [index] = { #name, QUEUE_SETTING_##type, fallback, min, max, help, CHOICES_##type },
#include "proto/queue_settings.def"
#undef SETTING
    };
    return &infos[s];
}

const struct queue_setting_info *queue_setting_find(struct span name, enum queue_setting *which)
{
    for (unsigned i = 0; i < QUEUE_SETTING_COUNT; i++) {
        const struct queue_setting_info *info = queue_setting_info((enum queue_setting)i);
        if (span_equal(span_str(info->name), name)) {
            *which = (enum queue_setting)i;
            return info;
        }
    }
    return NULL;
}

/* A setting is a number or a text. */
#define NUMBER_NUMBER(from)            (uint64_t)(from)
#define NUMBER_SIZE(from)              (uint64_t)(from)
#define NUMBER_DURATION(from)          (uint64_t)(from)
#define NUMBER_BOOL(from)              (uint64_t)(from)
#define NUMBER_CHOICE_DURABILITY(from) (uint64_t)(from)
#define NUMBER_CHOICE_OVERFLOW(from)   (uint64_t)(from)
#define NUMBER_CHOICE_ORDERED(from)    (uint64_t)(from)
#define NUMBER_NAME(from)              0

#define TEXT_NUMBER(from)              NULL
#define TEXT_SIZE(from)                NULL
#define TEXT_DURATION(from)            NULL
#define TEXT_BOOL(from)                NULL
#define TEXT_CHOICE_DURABILITY(from)   NULL
#define TEXT_CHOICE_OVERFLOW(from)     NULL
#define TEXT_CHOICE_ORDERED(from)      NULL
#define TEXT_NAME(from)                (from)

uint64_t queue_settings_get(const struct queue_settings *s, enum queue_setting which)
{
    switch (which) {
#define SETTING(index, name, type, field, fallback, min, max, help)                                                    \
    case QUEUE_SETTING_##name:                                                                                         \
        return NUMBER_##type(s->field);
#include "proto/queue_settings.def"
#undef SETTING
    case QUEUE_SETTING_COUNT: break;
    }
    return 0;
}

const char *queue_settings_text(const struct queue_settings *s, enum queue_setting which)
{
    switch (which) {
#define SETTING(index, name, type, field, fallback, min, max, help)                                                    \
    case QUEUE_SETTING_##name:                                                                                         \
        return TEXT_##type(s->field);
#include "proto/queue_settings.def"
#undef SETTING
    case QUEUE_SETTING_COUNT: break;
    }
    return NULL;
}

/* Each field's type fits its row's values. */
#define STORE_NUMBER(to, value)            (to) = (value)
#define STORE_SIZE(to, value)              (to) = (value)
#define STORE_DURATION(to, value)          (to) = (value)
#define STORE_BOOL(to, value)              (to) = (value) != 0
#define STORE_CHOICE_DURABILITY(to, value) (to) = (uint32_t)(value)
#define STORE_CHOICE_OVERFLOW(to, value)   (to) = (uint32_t)(value)
#define STORE_NAME(to, value)              (void)(to), (void)(value) /* it is a text */
#define STORE_CHOICE_ORDERED(to, value)    (to) = (uint32_t)(value)

void queue_settings_put(struct queue_settings *s, enum queue_setting which, uint64_t value)
{
    switch (which) {
#define SETTING(index, name, type, field, fallback, min, max, help)                                                    \
    case QUEUE_SETTING_##name:                                                                                         \
        STORE_##type(s->field, value);                                                                                 \
        break;
#include "proto/queue_settings.def"
#undef SETTING
    case QUEUE_SETTING_COUNT: return;
    }
    s->present |= 1u << which;
}

#define COPY_NUMBER(to, text)            (void)(to), (void)(text)
#define COPY_SIZE(to, text)              (void)(to), (void)(text)
#define COPY_DURATION(to, text)          (void)(to), (void)(text)
#define COPY_BOOL(to, text)              (void)(to), (void)(text)
#define COPY_CHOICE_DURABILITY(to, text) (void)(to), (void)(text)
#define COPY_CHOICE_OVERFLOW(to, text)   (void)(to), (void)(text)
#define COPY_CHOICE_ORDERED(to, text)    (void)(to), (void)(text)
#define COPY_NAME(to, text)              copy_name((to), sizeof(to), (text))

static void copy_name(char *to, size_t room, struct span text)
{
    size_t size = text.size < room ? text.size : 0; /* too long for a name */
    if (size)
        memcpy(to, text.data, size);
    to[size] = '\0';
}

void queue_settings_put_text(struct queue_settings *s, enum queue_setting which, struct span text)
{
    switch (which) {
#define SETTING(index, name, type, field, fallback, min, max, help)                                                    \
    case QUEUE_SETTING_##name:                                                                                         \
        COPY_##type(s->field, text);                                                                                   \
        break;
#include "proto/queue_settings.def"
#undef SETTING
    case QUEUE_SETTING_COUNT: return;
    }
    s->present |= 1u << which;
}

void queue_settings_copy(struct queue_settings *to, const struct queue_settings *from, enum queue_setting which)
{
    const char *text = queue_settings_text(from, which);
    if (text)
        queue_settings_put_text(to, which, span_str(text));
    else
        queue_settings_put(to, which, queue_settings_get(from, which));
}

bool queue_settings_same(const struct queue_settings *a, const struct queue_settings *b, enum queue_setting which)
{
    const char *text = queue_settings_text(a, which);
    return text ? strcmp(text, queue_settings_text(b, which)) == 0
                : queue_settings_get(a, which) == queue_settings_get(b, which);
}

struct queue_settings queue_settings_defaults(void)
{
    struct queue_settings s = { 0 };
    for (unsigned i = 0; i < QUEUE_SETTING_COUNT; i++)
        queue_settings_put(&s, (enum queue_setting)i, queue_setting_info((enum queue_setting)i)->fallback);
    return s;
}

static bool unknown_setting(struct span name, struct error *e)
{
    const char *names[QUEUE_SETTING_COUNT];
    char text[64];
    for (unsigned i = 0; i < QUEUE_SETTING_COUNT; i++)
        names[i] = queue_setting_info((enum queue_setting)i)->name;
    snprintf(text, sizeof text, "%.*s", (int)(name.size < 60 ? name.size : 60), (const char *)name.data);
    const char *closest = settings_closest(names, QUEUE_SETTING_COUNT, text);
    return closest ? error_set(e, "unknown queue setting '%s'; did you mean '%s'?", text, closest)
                   : error_set(e, "unknown queue setting '%s'", text);
}

static bool parse_choice(const struct queue_setting_info *info, struct span value, uint64_t *out)
{
    for (*out = 0; info->choices[*out]; ++*out) {
        if (span_equal(span_str(info->choices[*out]), value))
            return true;
    }
    return false;
}

static bool all_digits(struct span s)
{
    for (size_t i = 0; i < s.size; i++) {
        if (s.data[i] < '0' || s.data[i] > '9')
            return false;
    }
    return true;
}

static bool parse_value(const struct queue_setting_info *info, struct span value, uint64_t *out)
{
    int64_t ms;
    switch (info->type) {
    case QUEUE_SETTING_DURATION:
        if (!duration_parse(value, &ms))
            return false;
        *out = (uint64_t)ms;
        return true;
    case QUEUE_SETTING_BOOL:
        *out = span_equal(value, span_str("true"));
        return *out || span_equal(value, span_str("false"));
    case QUEUE_SETTING_NUMBER: return all_digits(value) && size_parse(value, out);
    case QUEUE_SETTING_SIZE: return size_parse(value, out);
    case QUEUE_SETTING_NAME: return false;
    case QUEUE_SETTING_CHOICE_DURABILITY:
    case QUEUE_SETTING_CHOICE_OVERFLOW:
    case QUEUE_SETTING_CHOICE_ORDERED: break;
    }
    return parse_choice(info, value, out);
}

static bool check_one(const struct queue_setting_info *info, uint64_t value, struct error *e)
{
    if (value >= info->min && value <= info->max)
        return true;
    if (info->type != QUEUE_SETTING_DURATION)
        return error_set(e, "'%s' must be between %llu and %llu", info->name, (unsigned long long)info->min,
                         (unsigned long long)info->max);
    char least[24], most[24];
    duration_format((int64_t)info->min, least);
    duration_format((int64_t)info->max, most);
    return error_set(e, "'%s' must be between %s and %s", info->name, least, most);
}

static bool is_name(struct span text)
{
    return text.size == 0 || name_valid(text);
}

static bool refuse_name(const struct queue_setting_info *info, struct span text, struct error *e)
{
    return error_set(e, "'%s' must be a queue's name (" NAME_RULE "), or empty, not '%.*s'", info->name,
                     (int)(text.size < 140 ? text.size : 140), (const char *)text.data);
}

bool queue_settings_parse(struct queue_settings *s, struct span name, struct span value, struct error *e)
{
    static const char *const wanted[] = {
        [QUEUE_SETTING_NUMBER] = "a whole number",
        [QUEUE_SETTING_SIZE] = "a size like 65536 or 64MiB",
        [QUEUE_SETTING_DURATION] = "a duration like 500ms, 30s or 2m",
        [QUEUE_SETTING_BOOL] = "true or false",
        [QUEUE_SETTING_CHOICE_DURABILITY] = "memory or disk",
        [QUEUE_SETTING_CHOICE_OVERFLOW] = "wait, reject or drop_oldest",
        [QUEUE_SETTING_CHOICE_ORDERED] = "none or key",
    };
    enum queue_setting which = QUEUE_SETTING_COUNT;
    const struct queue_setting_info *info = queue_setting_find(name, &which);
    uint64_t number;
    if (!info)
        return unknown_setting(name, e);
    if (info->type == QUEUE_SETTING_NAME) {
        if (!is_name(value))
            return refuse_name(info, value, e);
        queue_settings_put_text(s, which, value);
        return true;
    }
    if (!parse_value(info, value, &number))
        return error_set(e, "'%s' must be %s, not '%.*s'", info->name, wanted[info->type], (int)value.size,
                         (const char *)value.data);
    if (!check_one(info, number, e))
        return false;
    queue_settings_put(s, which, number);
    return true;
}

bool queue_settings_check(const struct queue_settings *s, struct error *e)
{
    for (unsigned i = 0; i < QUEUE_SETTING_COUNT; i++) {
        enum queue_setting which = (enum queue_setting)i;
        const char *text = queue_settings_text(s, which);
        if (text && !is_name(span_str(text)))
            return refuse_name(queue_setting_info(which), span_str(text), e);
        if (!text && (s->present & 1u << i) && !check_one(queue_setting_info(which), queue_settings_get(s, which), e))
            return false;
    }
    return true;
}

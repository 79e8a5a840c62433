/* A queue's settings from their one table (queue_settings.def). */
#include "proto/control.h"

#include "base/error.h"
#include "base/settings.h"

#include <stddef.h>
#include <stdio.h>

static const char *const durabilities[] = { "memory", "disk", NULL };
static const char *const overflows[] = { "wait", "reject", "drop_oldest", NULL };

#define CHOICES_NUMBER            NULL
#define CHOICES_SIZE              NULL
#define CHOICES_DURATION          NULL
#define CHOICES_BOOL              NULL
#define CHOICES_CHOICE_DURABILITY durabilities
#define CHOICES_CHOICE_OVERFLOW   overflows

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

uint64_t queue_settings_get(const struct queue_settings *s, enum queue_setting which)
{
    switch (which) {
#define SETTING(index, name, type, field, fallback, min, max, help)                                                    \
    case QUEUE_SETTING_##name:                                                                                         \
        return (uint64_t)s->field;
#include "proto/queue_settings.def"
#undef SETTING
    case QUEUE_SETTING_COUNT: break;
    }
    return 0;
}

/* Each field has the type its row's values fit. */
#define STORE_NUMBER(to, value)            (to) = (value)
#define STORE_SIZE(to, value)              (to) = (value)
#define STORE_DURATION(to, value)          (to) = (value)
#define STORE_BOOL(to, value)              (to) = (value) != 0
#define STORE_CHOICE_DURABILITY(to, value) (to) = (uint32_t)(value)
#define STORE_CHOICE_OVERFLOW(to, value)   (to) = (uint32_t)(value)

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
    case QUEUE_SETTING_CHOICE_DURABILITY:
    case QUEUE_SETTING_CHOICE_OVERFLOW: break;
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

bool queue_settings_parse(struct queue_settings *s, struct span name, struct span value, struct error *e)
{
    static const char *const wanted[] = {
        [QUEUE_SETTING_NUMBER] = "a whole number",
        [QUEUE_SETTING_SIZE] = "a size like 65536 or 64MiB",
        [QUEUE_SETTING_DURATION] = "a duration like 500ms, 30s or 2m",
        [QUEUE_SETTING_BOOL] = "true or false",
        [QUEUE_SETTING_CHOICE_DURABILITY] = "memory or disk",
        [QUEUE_SETTING_CHOICE_OVERFLOW] = "wait, reject or drop_oldest",
    };
    enum queue_setting which = QUEUE_SETTING_COUNT;
    const struct queue_setting_info *info = queue_setting_find(name, &which);
    uint64_t number;
    if (!info)
        return unknown_setting(name, e);
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
        if ((s->present & 1u << i) && !check_one(queue_setting_info(which), queue_settings_get(s, which), e))
            return false;
    }
    return true;
}

/* The settings of a queue, as listed in queue_settings.def: defaults, ranges, parsing. */
#ifndef SLUICE_PROTO_QUEUE_SETTINGS_H
#define SLUICE_PROTO_QUEUE_SETTINGS_H

#include "base/buf.h"
#include "base/error.h"
#include "base/units.h"

#include <stdbool.h>
#include <stdint.h>

enum durability { DURABILITY_MEMORY, DURABILITY_DISK };
enum overflow { OVERFLOW_WAIT, OVERFLOW_REJECT, OVERFLOW_DROP_OLDEST };
enum ordered { ORDERED_NONE, ORDERED_KEY };

enum queue_setting {
#define SETTING(index, name, type, field, fallback, min, max, help) QUEUE_SETTING_##name = (index),
#include "proto/queue_settings.def"
#undef SETTING
    QUEUE_SETTING_COUNT
};

struct queue_settings {
    uint32_t present; /* bit QUEUE_SETTING_x: the field was given */
    uint64_t capacity;
    uint64_t capacity_bytes;
    uint32_t durability; /* enum durability */
    uint32_t overflow;   /* enum overflow */
    uint64_t lease_ms;
    bool require_consumer;
    uint64_t dedup_window_ms; /* 0: no deduplication */
    uint64_t dedup_entries;
    uint64_t max_deliveries, max_crashes;
    uint64_t backoff_ms, backoff_max_ms; /* 0: at once */
    uint64_t dead_capacity;
    char dead_letter[NAME_MAX_SIZE + 1]; /* "": its own dead store */
    uint32_t ordered;                    /* enum ordered */
    uint64_t partitions;
    bool dead_letter_dropped;  /* also for events that drop_oldest drops */
    uint64_t ttl_ms, delay_ms; /* 0: never; at once */
    bool dead_letter_expired;  /* also for events that expire */
};

enum queue_setting_type {
    QUEUE_SETTING_NUMBER,
    QUEUE_SETTING_SIZE,
    QUEUE_SETTING_DURATION,
    QUEUE_SETTING_BOOL,
    QUEUE_SETTING_CHOICE_DURABILITY,
    QUEUE_SETTING_CHOICE_OVERFLOW,
    QUEUE_SETTING_NAME, /* a text; all others are numbers */
    QUEUE_SETTING_CHOICE_ORDERED,
};

/* A row of queue_settings.def. */
struct queue_setting_info {
    const char *name;
    enum queue_setting_type type;
    uint64_t fallback, min, max;
    const char *help;
    const char *const *choices; /* NULL-terminated names of a CHOICE, by value */
};
const struct queue_setting_info *queue_setting_info(enum queue_setting s);
/* The row of that name; NULL when there is none. */
const struct queue_setting_info *queue_setting_find(struct span name, enum queue_setting *which);
uint64_t queue_settings_get(const struct queue_settings *s, enum queue_setting which);
void queue_settings_put(struct queue_settings *s, enum queue_setting which, uint64_t value); /* sets `present` too */
/* The same for a text setting: NULL if the setting is a number. A text too long for a name is stored as "". */
const char *queue_settings_text(const struct queue_settings *s, enum queue_setting which);
void queue_settings_put_text(struct queue_settings *s, enum queue_setting which, struct span text);
/* For settings of either kind. */
void queue_settings_copy(struct queue_settings *to, const struct queue_settings *from, enum queue_setting which);
bool queue_settings_same(const struct queue_settings *a, const struct queue_settings *b, enum queue_setting which);
struct queue_settings queue_settings_defaults(void); /* all present */
/* Parses and range-checks a text as in YAML or a flag ("64MiB", "30s", "wait", "true", "1000"). False with a
 * sentence; `e` may be NULL. */
bool queue_settings_parse(struct queue_settings *s, struct span name, struct span value, struct error *e);
/* Range-checks the settings present; false with a sentence that names the setting and its range. */
bool queue_settings_check(const struct queue_settings *s, struct error *e);

#endif

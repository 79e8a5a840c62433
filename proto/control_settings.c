/* A queue's settings in control messages: in a declare, and in a description. */
#include "proto/control_priv.h"

void control_settings_write(const struct queue_settings *s, Sluice__V1__QueueSettings *out)
{
    sluice__v1__queue_settings__init(out);
    out->present = s->present;
    out->capacity = s->capacity;
    out->capacity_bytes = s->capacity_bytes;
    out->durability = s->durability;
    out->overflow = s->overflow;
    out->lease_ms = s->lease_ms;
    out->require_consumer = s->require_consumer;
    out->dedup_window_ms = s->dedup_window_ms;
    out->dedup_entries = s->dedup_entries;
    out->max_deliveries = s->max_deliveries;
    out->max_crashes = s->max_crashes;
    out->backoff_ms = s->backoff_ms;
    out->backoff_max_ms = s->backoff_max_ms;
    out->dead_capacity = s->dead_capacity;
    out->dead_letter = control_borrow(s->dead_letter);
    out->ordered = s->ordered;
    out->partitions = s->partitions;
    out->dead_letter_dropped = s->dead_letter_dropped;
    out->dead_letter_expired = s->dead_letter_expired;
    out->ttl_ms = s->ttl_ms;
    out->delay_ms = s->delay_ms;
}

void control_settings_read(const Sluice__V1__QueueSettings *m, struct queue_settings *out)
{
    *out = (struct queue_settings){ 0 };
    if (!m)
        return;
    *out = (struct queue_settings){
        .present = m->present & ((1u << QUEUE_SETTING_COUNT) - 1),
        .capacity = m->capacity,
        .capacity_bytes = m->capacity_bytes,
        .durability = m->durability,
        .overflow = m->overflow,
        .lease_ms = m->lease_ms,
        .require_consumer = m->require_consumer != 0,
        .dedup_window_ms = m->dedup_window_ms,
        .dedup_entries = m->dedup_entries,
        .max_deliveries = m->max_deliveries,
        .max_crashes = m->max_crashes,
        .backoff_ms = m->backoff_ms,
        .backoff_max_ms = m->backoff_max_ms,
        .dead_capacity = m->dead_capacity,
        .ordered = m->ordered,
        .partitions = m->partitions,
        .dead_letter_dropped = m->dead_letter_dropped != 0,
        .dead_letter_expired = m->dead_letter_expired != 0,
        .ttl_ms = m->ttl_ms,
        .delay_ms = m->delay_ms,
    };
    if (strlen(m->dead_letter) <= NAME_MAX_SIZE)
        strcpy(out->dead_letter, m->dead_letter);
    else /* too long for a name: the settings' check refuses it */
        strcpy(out->dead_letter, "(a name that is too long)");
}

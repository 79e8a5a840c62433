/* CloudEvents' JSON format (cloudevents/formats/json-format.md 1.0.2), reading and writing. The publisher's bytes of
 * `data` are kept unchanged. */
#ifndef SLUICE_SIDECAR_API_EVENT_JSON_H
#define SLUICE_SIDECAR_API_EVENT_JSON_H

#include "proto/event.h"
#include "sidecar/api/json_scan.h"

/* Reads and checks one event from a valid JSON object. Spans point into `object` or the arena. */
bool event_json_read(struct span object, struct arena *a, struct event *out, struct error *why);
/* Likewise, for an object that was entered with scan_enter and is not validated yet; reads to its end. Also false if it
 * is not valid JSON: to report where, use scan_text_at. The event's attributes are stored in `attributes`. */
bool event_json_scan(struct scan *object, struct attribute attributes[EVENT_ATTRIBUTES_MAX], struct arena *a,
                     struct event *out, struct error *why);
/* Appends a stored event (protobuf) as a JSON object. If it is not a valid CloudEvent (a program can publish anything),
 * writes an event that wraps its bytes, so that it can be inspected and acked. */
void event_json_write(struct span encoded, struct buf *out);
/* The value inside a google.protobuf.Any: the data itself, for consumers that know its type. */
struct span event_any_value(struct span any);
/* Is it "application/json", "text/json" or "…+json", with or without parameters? An empty type counts as JSON. */
bool media_type_is_json(struct span content_type);
/* Can the data be shown as text? True for valid JSON of a JSON type, and for UTF-8 of a text type or a form; never
 * without a type. */
bool data_is_text(struct span data, struct span content_type);

#endif

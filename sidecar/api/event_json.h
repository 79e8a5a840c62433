/* CloudEvents' JSON format (cloudevents/formats/json-format.md 1.0.2), both ways. The publisher's bytes of `data` are kept
 * and handed back as they came. */
#ifndef SLUICE_SIDECAR_API_EVENT_JSON_H
#define SLUICE_SIDECAR_API_EVENT_JSON_H

#include "proto/event.h"
#include "sidecar/api/json_scan.h"

/* Reads one event from an object's valid bytes and checks it. Spans point into the bytes or the arena. */
bool event_json_read(struct span object, struct arena *a, struct event *out, struct error *why);
/* The same of an object that was entered (json_scan.h) and not validated yet, up to and with its end. False also when it is
 * no valid JSON: whoever wants to say where asks scan_text_at. Its attributes are in `attributes`. */
bool event_json_scan(struct scan *object, struct attribute attributes[EVENT_ATTRIBUTES_MAX], struct arena *a,
                     struct event *out, struct error *why);
/* Appends a stored event (protobuf) as a JSON object. An event that is no valid CloudEvent (a program may push anything)
 * is shown as one that wraps its bytes, so that it can be looked at and acked. */
void event_json_write(struct span encoded, struct buf *out);
/* What a google.protobuf.Any carries: the data itself, for those who know its type. */
struct span event_any_value(struct span any);
/* "application/json", "text/json", "…+json", with parameters or without; absent counts as JSON. */
bool media_type_is_json(struct span content_type);
/* Is it text that can be shown as such: valid JSON of a JSON type, UTF-8 of text or of a form? Without a type it is bytes. */
bool data_is_text(struct span data, struct span content_type);

#endif

/* CloudEvents' HTTP binding (cloudevents/bindings/http-protocol-binding.md 1.0.2): binary mode, and any other body
 * wrapped into an event. Structured and batch modes are event_json.h's and the protobuf codec's. */
#ifndef SLUICE_SIDECAR_API_EVENT_HTTP_H
#define SLUICE_SIDECAR_API_EVENT_HTTP_H

#include "sidecar/api/api.h"

#include <strings.h>

/* The first header of that name (any case); an empty span with NULL data when absent. */
struct span header_find(const struct api_request *r, const char *name);

/* Most names differ in size or in their first letter. */
static inline bool header_name_is(struct span name, const char *wanted)
{
    size_t size = strlen(wanted);
    return name.size == size && (size == 0 || ((name.data[0] ^ (uint8_t)wanted[0]) & 0xdf) == 0) &&
           strncasecmp((const char *)name.data, wanted, size) == 0;
}

/* True when the request has a header that begins with "ce-". */
bool event_http_is_binary(const struct api_request *r);
/* Reads a binary-mode event and checks it. */
bool event_http_read(const struct api_request *r, struct arena *a, struct event *out, struct error *why);
/* Wraps the body: id from Idempotency-Key or `random`, source "/APP", type "sluice.event", the time, the content type. */
bool event_http_wrap(const struct api_request *r, const char *app, const uint8_t random[16], wall_t now,
                     struct arena *a, struct event *out, bool *id_generated, struct error *why);
/* A stored event (protobuf) in binary mode: appends header lines ("ce-id: 42", each with its NUL) and the body. One that is
 * no valid CloudEvent is shown as event_json_write shows it. */
void event_http_write(struct span encoded, struct buf *headers, struct buf *body);

#endif

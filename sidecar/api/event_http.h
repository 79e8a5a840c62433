/* CloudEvents' HTTP binding (cloudevents/bindings/http-protocol-binding.md 1.0.2): binary mode, and wrapping any other
 * body into an event. Structured and batch modes are in event_json.h and the protobuf codec. */
#ifndef SLUICE_SIDECAR_API_EVENT_HTTP_H
#define SLUICE_SIDECAR_API_EVENT_HTTP_H

#include "sidecar/api/api.h"

#include <strings.h>

/* The value of the first header of that name (in any case); an empty span with NULL data if there is none. */
struct span header_find(const struct api_request *r, const char *name);

/* Compares without case. Checks the size and the first letter first, by which most names differ. */
static inline bool header_name_is(struct span name, const char *wanted)
{
    size_t size = strlen(wanted);
    return name.size == size && (size == 0 || ((name.data[0] ^ (uint8_t)wanted[0]) & 0xdf) == 0) &&
           strncasecmp((const char *)name.data, wanted, size) == 0;
}

/* Has the request a header that begins with "ce-"? */
bool event_http_is_binary(const struct api_request *r);
/* Reads and checks an event in binary mode. */
bool event_http_read(const struct api_request *r, struct arena *a, struct event *out, struct error *why);
/* Wraps the body into an event: id from Idempotency-Key or `random`, source "/APP", type "sluice.event", time `now`,
 * and the content type. */
bool event_http_wrap(const struct api_request *r, const char *app, const uint8_t random[16], wall_t now,
                     struct arena *a, struct event *out, bool *id_generated, struct error *why);
/* Writes a stored event (protobuf) in binary mode: appends header lines ("ce-id: 42", each terminated by NUL) and the
 * body. An event that is not a valid CloudEvent is wrapped as by event_json_write. */
void event_http_write(struct span encoded, struct buf *headers, struct buf *body);

#endif

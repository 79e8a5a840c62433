/* Splits the request target of a request line (RFC 9112, 3.2). Pure. */
#ifndef SLUICE_SIDECAR_HTTP_TARGET_H
#define SLUICE_SIDECAR_HTTP_TARGET_H

#include "base/span.h"

struct http_target {
    struct span authority;   /* of a target in absolute form (as sent to a proxy); NULL data for any other form */
    struct span path, query; /* as in struct api_request */
};

/* *out points into `text`. The absolute form is recognized for http:// only: any other scheme is misdirected here (RFC
 * 9110, 7.4) and remains a path, which no route matches. */
void target_split(const char *text, struct http_target *out);

#endif

/* What a request line asks for, taken apart: pure. */
#ifndef SLUICE_SIDECAR_HTTP_TARGET_H
#define SLUICE_SIDECAR_HTTP_TARGET_H

#include "base/span.h"

struct http_target {
    struct span authority;   /* of a target in absolute form, as one sends it to a proxy; NULL data: it is in none */
    struct span path, query; /* as api_request has them */
};

/* `text` outlives *out. Of the absolute form only http:// is taken off: nothing else was asked for on a connection like ours (RFC
 * 9110, 7.4), and stays a path that there is not. */
void target_split(const char *text, struct http_target *out);

#endif

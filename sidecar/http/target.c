#include "sidecar/http/target.h"

#include <strings.h>

#define SCHEME "http://"

void target_split(const char *text, struct http_target *out)
{
    bool absolute = *text != '/' && strncasecmp(text, SCHEME, sizeof SCHEME - 1) == 0;
    *out = (struct http_target){ 0 };
    if (absolute) {
        text += sizeof SCHEME - 1;
        out->authority = span_of(text, strcspn(text, "/?"));
        text += out->authority.size;
    }
    size_t path = strcspn(text, "?");
    out->path = absolute && path == 0 ? span_str("/") : span_of(text, path);
    out->query = span_str(text[path] ? text + path + 1 : "");
}

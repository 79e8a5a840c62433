/* Why something was refused: the enum behind reasons.def, for the wire, HTTP and people. */
#ifndef SLUICE_PROTO_REASON_H
#define SLUICE_PROTO_REASON_H

#include <stdbool.h>

enum reason {
#define REASON(name, number, status, retryable, title) REASON_##name = (number),
#include "proto/reasons.def"
#undef REASON
};

struct reason_info {
    const char *name; /* "full" */
    int status;       /* HTTP status */
    bool retryable;
    const char *title;
};

/* Never NULL: a number from a newer peer answers {"unrecognised", 500, false, ...}. */
const struct reason_info *reason_info(unsigned number);

#endif

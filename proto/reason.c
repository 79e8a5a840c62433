#include "proto/reason.h"

#include <stddef.h>

const struct reason_info *reason_info(unsigned number)
{
    static const struct reason_info unrecognised = { "unrecognised", 500, false,
                                                     "a newer peer gave a reason this version does not know" };
    switch (number) {
#define REASON(name, number, status, retryable, title)                                                                 \
    case number: {                                                                                                     \
        static const struct reason_info info = { #name, status, retryable, title };                                    \
        return &info;                                                                                                  \
    }
#include "proto/reasons.def"
#undef REASON
    default: return &unrecognised;
    }
}

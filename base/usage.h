/* What this process takes of its machine, as the kernel counts it. */
#ifndef SLUICE_BASE_USAGE_H
#define SLUICE_BASE_USAGE_H

#include <stdint.h>

/* Each is 0 where the kernel does not tell. */
struct usage {
    uint64_t cpu_ns;         /* user's and system's, of all threads, since the start */
    uint64_t resident_bytes; /* memory that is there, shared libraries' included */
    uint64_t open_fds;       /* file descriptors … */
    uint64_t max_fds;        /* … and how many there may be; UINT64_MAX: no limit */
};

void usage_read(struct usage *out);
/* Of these the resident bytes alone. */
uint64_t usage_resident_bytes(void);

#endif

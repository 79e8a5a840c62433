/* The resources this process uses, as the kernel counts them. */
#ifndef SLUICE_BASE_USAGE_H
#define SLUICE_BASE_USAGE_H

#include <stdint.h>

/* A field is 0 if the kernel does not provide it. */
struct usage {
    uint64_t cpu_ns;         /* user and system time of all threads since the start */
    uint64_t resident_bytes; /* resident memory, including shared libraries */
    uint64_t open_fds;       /* open file descriptors */
    uint64_t max_fds;        /* their limit; UINT64_MAX: none */
};

void usage_read(struct usage *out);
/* Only resident_bytes. */
uint64_t usage_resident_bytes(void);

#endif

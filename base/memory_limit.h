/* How much memory this process may have, as the kernel enforces it. */
#ifndef SLUICE_BASE_MEMORY_LIMIT_H
#define SLUICE_BASE_MEMORY_LIMIT_H

#include <stdint.h>

/* The least limit of its control group and of those above it, in bytes; 0: there is none. `own` is /proc/self/cgroup, `mounts` is
 * /sys/fs/cgroup. Both versions of cgroups. A container sees its group as the root; a service of systemd does not. */
uint64_t memory_limit(const char *own, const char *mounts);

#endif

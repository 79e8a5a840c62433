/* How much memory this process may have, as the kernel enforces it. */
#ifndef SLUICE_BASE_MEMORY_LIMIT_H
#define SLUICE_BASE_MEMORY_LIMIT_H

#include <stdint.h>

/* The lowest memory limit of this process's control group and the groups above it, in bytes; 0: there is none. `own`
 * is /proc/self/cgroup, `mounts` is /sys/fs/cgroup. Knows both versions of cgroups. A container sees its own group
 * as the root; a systemd service does not. */
uint64_t memory_limit(const char *own, const char *mounts);

#endif

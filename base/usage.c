#include "base/usage.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FDS "/proc/self/fd"

uint64_t usage_resident_bytes(void)
{
    unsigned long long all = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f)
        return 0;
    bool told = fscanf(f, "%llu %llu", &all, &resident) == 2;
    fclose(f);
    return told ? resident * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static uint64_t cpu_ns(void)
{
    struct timespec t;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) != 0)
        return 0;
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Counts entries that begin with a digit, without the descriptor that lists them. */
static uint64_t listed_fds(void)
{
    DIR *d = opendir(FDS);
    if (!d)
        return 0;
    uint64_t n = 0;
    for (const struct dirent *e; (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.';
    closedir(d);
    return n ? n - 1 : 0;
}

/* Linux 6.2 and newer give the number as the directory's size; listing thousands would take milliseconds. */
static uint64_t open_fds(void)
{
    struct stat s;
    if (stat(FDS, &s) == 0 && s.st_size > 0)
        return (uint64_t)s.st_size;
    return listed_fds();
}

static uint64_t max_fds(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 0;
    return limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
}

void usage_read(struct usage *out)
{
    *out = (struct usage){
        .cpu_ns = cpu_ns(),
        .resident_bytes = usage_resident_bytes(),
        .open_fds = open_fds(),
        .max_fds = max_fds(),
    };
}

/* The floor of the log: appends groups of GROUP_BYTES to files of 32 MiB, with an fdatasync after each group, and does
 * nothing else. The files are allocated ahead, as the log's segments are.
 *   bench_bare_log DIRECTORY GROUP_BYTES SECONDS
 *     ->  {"groups":N,"seconds":S} */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FILE_BYTES (32l << 20)
#define FILES      4

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int open_file(int dir, int number)
{
    char name[32];
    snprintf(name, sizeof name, "bare-%d.log", number);
    unlinkat(dir, name, 0);
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || fallocate(fd, 0, 0, FILE_BYTES) != 0 || fsync(fd) != 0) {
        perror(name);
        exit(1);
    }
    return fd;
}

static double append(int fd, const char *group, size_t size, long offset)
{
    double start = now();
    if (pwrite(fd, group, size, offset) != (ssize_t)size || fdatasync(fd) != 0) {
        perror("append");
        exit(1);
    }
    return now() - start;
}

/* The time to create a file is not counted: the log does this ahead of use, beside its groups. */
int main(int argc, char **argv)
{
    int dir = argc == 4 ? open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    size_t size = dir < 0 ? 0 : strtoul(argv[2], NULL, 10);
    double limit = dir < 0 ? 0 : strtod(argv[3], NULL), seconds = 0;
    char *group = size && size <= FILE_BYTES ? malloc(size) : NULL;
    if (!group) {
        fprintf(stderr, "usage: bench_bare_log DIRECTORY GROUP_BYTES SECONDS\n");
        return 2;
    }
    memset(group, 'x', size);
    long groups = 0;
    for (int number = 0; seconds < limit; number = (number + 1) % FILES) {
        int fd = open_file(dir, number);
        for (long at = 0; at + (long)size <= FILE_BYTES && seconds < limit; at += (long)size, groups++)
            seconds += append(fd, group, size, at);
        close(fd);
    }
    for (int number = 0; number < FILES; number++) {
        char name[32];
        snprintf(name, sizeof name, "bare-%d.log", number);
        unlinkat(dir, name, 0);
    }
    free(group);
    printf("{\"groups\":%ld,\"seconds\":%.4f}\n", groups, seconds);
}

/* A preloaded library that shifts the wall clock by the nanoseconds in the file named by STEPPING_CLOCK: a 64-bit
 * integer in the machine's byte order, which may change at any time. The monotonic clock stays as it is, as it does
 * when a clock is set. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *map_offset(void)
{
    const char *name = getenv("STEPPING_CLOCK");
    int fd = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    void *page = fd >= 0 ? mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (page == MAP_FAILED)
        abort(); /* without its offset the test would prove nothing */
    close(fd);
    return page;
}

int clock_gettime(clockid_t which, struct timespec *out)
{
    static int (*real)(clockid_t, struct timespec *);
    static const volatile int64_t *offset;
    if (!real)
        real = (int (*)(clockid_t, struct timespec *))(intptr_t)dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(which, out);
    if (status != 0 || which != CLOCK_REALTIME)
        return status;
    if (!offset)
        offset = map_offset();
    int64_t ns = (int64_t)out->tv_sec * 1000000000 + out->tv_nsec + *offset;
    out->tv_sec = (time_t)(ns / 1000000000);
    out->tv_nsec = (long)(ns % 1000000000);
    return 0;
}

#include "base/clock.h"

#include <time.h>

struct now clock_now(void)
{
    struct timespec mono, real;
    clock_gettime(CLOCK_MONOTONIC, &mono);
    clock_gettime(CLOCK_REALTIME, &real);
    return (struct now){
        .mono = { (int64_t)mono.tv_sec * 1000000000 + mono.tv_nsec },
        .wall = { (int64_t)real.tv_sec * 1000 + real.tv_nsec / 1000000 },
    };
}

/* The figures of sluice bench. Pure: no clock, no socket, no other process. */
#include "base/xalloc.h"
#include "clients/cli/bench.h"

#include <stdlib.h>

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

struct bench_times bench_times_of(const int64_t *intended, const int64_t *came, unsigned long slots)
{
    int64_t *sorted = xcalloc(slots, sizeof *sorted);
    unsigned long count = 0;
    for (unsigned long i = 0; i < slots; i++) {
        if (intended[i] && came[i])
            sorted[count++] = came[i] - intended[i];
    }
    qsort(sorted, count, sizeof *sorted, compare);
    struct bench_times t = { 0 };
    if (count) {
        t.p50 = (double)sorted[(count - 1) / 2] / 1000;
        t.p99 = (double)sorted[(unsigned long)((double)(count - 1) * 0.99)] / 1000;
        t.p999 = (double)sorted[(unsigned long)((double)(count - 1) * 0.999)] / 1000;
    }
    free(sorted);
    return t;
}

void bench_check(const struct bench *b, unsigned long *next, unsigned long event, struct bench_result *r)
{
    unsigned long *expected = &next[event % b->producers];
    if (event < *expected)
        r->repeated++;
    else if (event > *expected)
        r->disordered++;
    *expected = event + b->producers;
}

int64_t bench_due(const struct bench *b, int64_t start, unsigned long event)
{
    return start + (int64_t)((double)event * 1e9 / (double)b->rate);
}

struct bench_producer bench_sum(const struct bench_producer *producers, unsigned long count)
{
    struct bench_producer sum = { 0 };
    for (unsigned long i = 0; i < count; i++) {
        const struct bench_producer *p = &producers[i];
        sum.confirmed += p->confirmed;
        sum.refused += p->refused;
        sum.disordered += p->disordered;
        sum.error = p->error ? p->error : sum.error;
        sum.ended = p->ended > sum.ended ? p->ended : sum.ended;
    }
    return sum;
}

double bench_seconds(int64_t start, const struct bench_producer *sum, const struct bench_result *r)
{
    int64_t ended = r->ended > sum->ended ? r->ended : sum->ended;
    return ended > start ? (double)(ended - start) / 1e9 : 0;
}

unsigned long bench_slots(const struct bench *b)
{
    return (b->events / b->producers / b->stride + 1) * b->producers;
}

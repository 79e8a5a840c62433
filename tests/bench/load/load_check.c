#include "tests/bench/load/load_check.h"

#include <stdio.h>
#include <string.h>

static unsigned bucket_of(uint64_t v)
{
    if (v < (1u << TIMES_FINE))
        return (unsigned)v;
    unsigned e = 63 - (unsigned)__builtin_clzll(v);
    return ((e - TIMES_FINE) << TIMES_FINE) + (unsigned)(v >> (e - TIMES_FINE));
}

static double value_of(unsigned bucket)
{
    if (bucket < (2u << TIMES_FINE))
        return bucket;
    unsigned shift = (bucket >> TIMES_FINE) - 1;
    return ((double)((bucket & ((1u << TIMES_FINE) - 1)) + (1u << TIMES_FINE)) + 0.5) * (double)(1ull << shift);
}

void times_add(struct times *t, int64_t ns)
{
    t->count[bucket_of(ns > 0 ? (uint64_t)ns : 0)]++;
}

void times_merge(struct times *t, const struct times *other)
{
    for (unsigned i = 0; i < TIMES_BUCKETS; i++)
        t->count[i] += other->count[i];
}

double times_at(const struct times *t, double part)
{
    uint64_t total = 0, before = 0;
    for (unsigned i = 0; i < TIMES_BUCKETS; i++)
        total += t->count[i];
    uint64_t wanted = (uint64_t)((double)total * part);
    for (unsigned i = 0; i < TIMES_BUCKETS; i++) {
        before += t->count[i];
        if (before > wanted)
            return value_of(i) / 1e3;
    }
    return 0;
}

const struct load_head *load_check(struct load_seen *seen, const struct load_options *o, const void *data, size_t size)
{
    const struct load_head *head = data;
    if (size != o->size || head->magic != LOAD_MAGIC || head->producer >= o->producers) {
        seen->foreign++;
        return NULL;
    }
    seen->consumed++;
    if (head->nth < seen->next[head->producer])
        seen->repeated++;
    else if (head->nth > seen->next[head->producer])
        seen->disordered++;
    seen->next[head->producer] = head->nth + 1;
    return head;
}

static void print_times(const char *key, const struct times *t)
{
    printf(",\"%s\":{\"p50\":%.1f,\"p99\":%.1f,\"p99.9\":%.1f}", key, times_at(t, 0.5), times_at(t, 0.99),
           times_at(t, 0.999));
}

static int complain(const struct load_options *o, const struct load_side *sides, unsigned long published,
                    unsigned long confirmed, const struct load_seen *seen)
{
    for (unsigned long i = 0; i <= o->producers; i++) {
        if (*sides[i].error) {
            fprintf(stderr, "%s: %s\n", i < o->producers ? "producer" : "consumer", sides[i].error);
            return 1;
        }
    }
    fprintf(
        stderr,
        "the counts are not what they must be: %lu published, %lu confirmed, %lu consumed, %lu of them repeated, %lu "
        "ahead of their order, and %lu events of somebody else\n",
        published, confirmed, seen->consumed, seen->repeated, seen->disordered, seen->foreign);
    return 1;
}

int load_report(const struct load_options *o, const struct load_side *sides, const struct load_seen *seen,
                double seconds)
{
    static struct times confirm;
    unsigned long published = 0, confirmed = 0;
    bool failed = *sides[o->producers].error;
    for (unsigned long i = 0; i < o->producers; i++) {
        published += sides[i].published;
        confirmed += sides[i].confirmed;
        failed |= *sides[i].error != 0;
        times_merge(&confirm, &sides[i].times);
    }
    unsigned long count = o->publish ? published : o->events;
    if (failed || !count || confirmed != published || seen->repeated || seen->disordered || seen->foreign ||
        (o->consume && seen->consumed != count))
        return complain(o, sides, published, confirmed, seen);
    printf("{\"events\":%lu,\"seconds\":%.4f,\"events_per_second\":%.0f", count, seconds, (double)count / seconds);
    print_times("confirm_us", &confirm);
    print_times("end_to_end_us", &sides[o->producers].times);
    printf("}\n");
    return 0;
}

/* sluice-sim: runs seeds, replays one with a trace, plants mutations. */
#include "tests/sim/sim.h"

#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum mutation mutation = MUTATION_none;

static bool plant(const char *name)
{
#define PLANT(mutant)                                                                                                  \
    if (strcmp(name, #mutant) == 0)                                                                                    \
        mutation = MUTATION_##mutant;
    MUTATIONS(PLANT)
#undef PLANT
    return mutation != MUTATION_none;
}

static void usage(FILE *to)
{
    fprintf(to, "usage: sluice-sim [--seeds A..B] [--trace] [--mutate NAME [--expect-failure]]\n\n"
                "Runs the broker's core and the client protocol in a simulated world, once a seed.\n"
                "  --seeds A..B       the seeds to run, or one seed (default 1..500)\n"
                "  --trace            print what happens: replay a failing seed with it\n"
                "  --mutate NAME      plant a fault:");
#define NAME(mutant) fprintf(to, " " #mutant);
    MUTATIONS(NAME)
#undef NAME
    fprintf(to, "\n  --expect-failure   succeed when some seed fails\n");
}

static int run(unsigned long first, unsigned long last, bool trace, bool expect)
{
    static struct sim s;
    unsigned long failures = 0, ran = 0;
    unsigned long long handed_over = 0, published = 0, carried = 0;
    clock_t began = clock();
    double simulated = 0;
    for (unsigned long seed = first; seed <= last && !(expect && failures); seed++, ran++) {
        if (!sim_run(seed, trace, &s)) {
            failures++;
            printf("seed %lu at %.3f s: %s\n  replay: sluice-sim --seeds %lu --trace\n", seed, (double)s.now / 1e9,
                   s.failure, seed);
        }
        simulated += (double)s.now / 1e9;
        handed_over += s.handed_over;
        published += s.fact_count;
        sim_free(&s);
        carried += s.carried;
    }
    double seconds = (double)(clock() - began) / CLOCKS_PER_SEC;
    printf("%lu seeds, %lu failed; %llu published, %llu handed over, %llu groups carried; %.1f simulated hours in %.1f "
           "s of CPU, %.1f a "
           "minute\n",
           ran, failures, published, handed_over, carried, simulated / 3600, seconds, simulated / 60 / seconds);
    return (failures > 0) == expect ? 0 : 1;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "seeds", required_argument, NULL, 's' },  { "trace", no_argument, NULL, 't' },
        { "mutate", required_argument, NULL, 'm' }, { "expect-failure", no_argument, NULL, 'x' },
        { "help", no_argument, NULL, 'h' },         { NULL, 0, NULL, 0 }
    };
    unsigned long first = 1, last = 500;
    bool trace = false, expect = false;
    int flag;
    while ((flag = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (flag == 's') {
            char *dots = strstr(optarg, "..");
            first = strtoul(optarg, NULL, 10);
            last = dots ? strtoul(dots + 2, NULL, 10) : first;
        } else if (flag == 't') {
            trace = true;
        } else if (flag == 'm') {
            if (!plant(optarg)) {
                fprintf(stderr, "sluice-sim: no mutation '%s'\n", optarg);
                return 2;
            }
        } else if (flag == 'x') {
            expect = true;
        } else {
            usage(flag == 'h' ? stdout : stderr);
            return flag == 'h' ? 0 : 2;
        }
    }
    if (sodium_init() < 0)
        return 2;
    return run(first, last, trace, expect);
}

/* A table with a row of each type, for the tests of settings. */
#ifndef SLUICE_TESTS_BASE_SAMPLE_SETTINGS_H
#define SLUICE_TESTS_BASE_SAMPLE_SETTINGS_H

#include "base/settings.h"

struct sample {
    char *listen;
    char *app_name;
    bool strict, loud;
    uint64_t max_queues;
    int64_t heartbeat;
    uint64_t memory_budget;
    struct setting_list hosts;
};

static const struct setting sample_rows[] = {
    { "listen", SETTING_STRING, offsetof(struct sample, listen), .text = "tcp://127.0.0.1:7400",
      .help = "control endpoint", .meta = "ENDPOINT" },
    { "app.name", SETTING_STRING, offsetof(struct sample, app_name), .help = "who this is" },
    { "strict", SETTING_BOOL, offsetof(struct sample, strict), .number = 1, .help = "refuse doubtful input" },
    { "loud", SETTING_BOOL, offsetof(struct sample, loud), .help = "say everything" },
    { "max_queues", SETTING_NUMBER, offsetof(struct sample, max_queues), .number = 1000, .min = 1, .max = 100000,
      .help = "most queues" },
    { "heartbeat", SETTING_DURATION, offsetof(struct sample, heartbeat), .number = 3000, .min = 100, .max = 60000,
      .help = "time between heartbeats" },
    { "memory_budget", SETTING_SIZE, offsetof(struct sample, memory_budget), .number = 1 << 20,
      .help = "most bytes of events" },
    { "allow.hosts", SETTING_STRINGS, offsetof(struct sample, hosts), .help = "host names that are accepted" },
};

static const struct settings sample_settings = { .rows = sample_rows,
                                                 .count = sizeof sample_rows / sizeof *sample_rows };

#endif

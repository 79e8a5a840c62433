/* The parts of `sluice sub`: events are taken and settled (sub.c), read (sub_items.c), and handled by a command (sub_command.c). */
#ifndef SLUICE_CLI_SUB_H
#define SLUICE_CLI_SUB_H

#include "base/mono.h"
#include "clients/cli/cli.h"
#include "sidecar/api/json_scan.h"

#define SUB_INHERITED_MAX 64

struct sub_options {
    const char *wait, *retry_delay;
    unsigned long count, max;
    bool json, exit_empty, attributes;
};

/* One taken event: spans of the response, or of the arena. */
struct sub_item {
    struct span raw; /* {"receipt":...,"event":{...}} */
    struct span receipt, sequence, attempt;
    struct span event, id, source, type, subject, content_type;
    struct span data; /* as it was published; base64 decoded */
};

struct sub {
    struct sub_options options;
    const char *queue;
    char **command;   /* NULL: print */
    int64_t lease_ms; /* of the queue; 0: not known */
    int64_t wait_ms;  /* of the options */
    mono_t came;      /* something, or this began */
    uint64_t handled; /* well or not */
    bool worked;      /* an answer came before: from then on the broker's absence is waited out */
    bool said_standby, said_away;
    char failure[32]; /* how the command ended that failed: "exit status 3" */
    /* receipts taken and not settled: extended while a command runs */
    const struct sub_item *items;
    size_t count, at;
    mono_t extended;
    int inherited[SUB_INHERITED_MAX]; /* descriptors that whoever started this may mean for the command */
    size_t inherited_count;
};

/* Reads an answer's events, at most so many; returns how many, or -1 when it is none of take's. */
int sub_read_items(struct span text, struct arena *a, struct sub_item *items, size_t most);

/* To be called before anything is opened. */
void sub_find_inherited(struct sub *s);
/* Whether there is such a program, in PATH or where it says; else says so. */
bool sub_can_run(const char *program);
/* Runs the command with the event's data as its standard input. True when it ended with status 0; else says
 * how it ended, and leaves it in s->failure. Every third of the lease it calls `extend`. */
bool sub_run_command(struct sub *s, const struct sub_item *item, void (*extend)(struct sub *s));

#endif

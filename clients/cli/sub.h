/* The parts of `sluice sub`: taking and settling events (sub.c), parsing the answers (sub_items.c), printing the events
 * (sub_print.c), running a command for each event (sub_command.c). */
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

/* One taken event; spans into the response or the arena. */
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
    mono_t came;      /* when events last arrived, or the start */
    uint64_t handled; /* events, successful or failed */
    bool worked;      /* a take has succeeded: from then on an unreachable broker is waited for */
    bool said_standby, said_away;
    char failure[32]; /* how the last failed command ended: "exit status 3" */
    /* events taken and not settled; their leases are extended while a command runs */
    const struct sub_item *items;
    size_t count, at;
    mono_t extended;
    int inherited[SUB_INHERITED_MAX]; /* descriptors inherited from our parent, which may be meant for the command */
    size_t inherited_count;
};

/* Parses the events of a take's answer, at most `most`. Returns how many, or -1 if it is not such an answer. */
int sub_read_items(struct span text, struct arena *a, struct sub_item *items, size_t most);

/* Prints the events. Returns how many it printed whole: fewer than `count` if a signal ended it, or with *broken, if the
 * output cannot be written. */
size_t sub_print(const struct sub *s, const struct sub_item *items, size_t count, bool *broken);

/* Records the inherited descriptors. Call before anything is opened. */
void sub_find_inherited(struct sub *s);
/* Does the program exist, in PATH or at its path? False with a message. */
bool sub_can_run(const char *program);
/* Runs the command with the event's data as standard input, and calls `extend` every third of the lease. True if it
 * ended with status 0; otherwise prints how it ended, and stores that in s->failure. */
bool sub_run_command(struct sub *s, const struct sub_item *item, void (*extend)(struct sub *s));

#endif

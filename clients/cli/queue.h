/* Printing queues, for `sluice queue` (queue.c) and `sluice top` (top.c). */
#ifndef SLUICE_CLI_QUEUE_H
#define SLUICE_CLI_QUEUE_H

#include "clients/cli/cli.h"

/* A table. width: of the terminal, where lines are cut and the rest of each line is cleared; 0: plain lines. */
void queue_print_line(const char *line, int width);
void queue_print_heading(int width);
void queue_print_row(const json_t *queue, int width);

void queue_print_all(const json_t *queue); /* a description */
/* One line: whether the queue was created, and the settings with these names. */
void queue_print_declared(const json_t *queue, bool made, char *const *named, int count);
void queue_print_ledger(const json_t *ledger);
void queue_print_events(const json_t *peeked);
void queue_print_explained(const json_t *explained);
void queue_print_done(
    const json_t *answer); /* the answer of an operating call: a description, or {"purged":N} and the like */

#endif

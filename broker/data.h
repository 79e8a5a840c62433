/* The broker's data directory: who it is (incarnation, receipt key) and its log. Held under a lock while it is open. */
#ifndef SLUICE_BROKER_DATA_H
#define SLUICE_BROKER_DATA_H

#include "broker/core/core.h"
#include "broker/options.h"

struct data {
    struct files *files;
    struct store *log; /* after data_recover */
};

/* Locks the directory and fills in config's incarnation, receipt_key and confirm_synced. Without a directory (options->data is NULL)
 * there is no log, and the incarnation comes from the clock. False with a sentence. */
bool data_open(struct data *d, const struct broker_options *options, struct core_config *config, struct error *e);
/* Opens the log and rebuilds the core's state from it; nothing without a directory. */
bool data_recover(struct data *d, const struct broker_options *options, struct core *core, struct error *e);
/* A descriptor that is readable when the disk has completed something; -1: none. */
int data_fd(const struct data *d);
void data_close(struct data *d);

#endif

/* The broker's data directory: its identity (incarnation, receipt key) and its log. Locked while it is open. */
#ifndef SLUICE_BROKER_DATA_H
#define SLUICE_BROKER_DATA_H

#include "broker/core/core.h"
#include "broker/options.h"

struct data {
    struct files *files;
    struct store *log; /* set by data_recover; NULL without a directory */
};

/* Locks the directory and sets config's incarnation, receipt_key and confirm_synced. Without a directory
 * (options->data is NULL) there is no log: the incarnation comes from the clock, epoch_bits is lowered to suit it,
 * and the rest stays. False with an error; data_close either way. */
bool data_open(struct data *d, const struct broker_options *options, struct core_config *config, struct error *e);
/* Opens the log and rebuilds the core's state from it; does nothing without a directory. False with an error. */
bool data_recover(struct data *d, const struct broker_options *options, struct core *core, struct error *e);
/* A descriptor that is readable when the disk has completed something; -1: there is none. */
int data_fd(const struct data *d);
void data_close(struct data *d);

#endif

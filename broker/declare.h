/* Declares the configuration file's queues and topics to the core. */
#ifndef SLUICE_BROKER_DECLARE_H
#define SLUICE_BROKER_DECLARE_H

#include "broker/core/core.h"
#include "broker/options.h"

/* Declares all of them. One that is refused is logged, and the others are declared all the same. */
void declare_configured(struct core *core, const struct broker_options *options);
/* The same for a reloaded file. Logs what changed. Queues and topics that are no longer in the file stay, but calls
 * may change and delete them from now on. */
void declare_reloaded(struct core *core, const struct broker_options *options);

#endif

/* What the configuration file says of queues and topics, told to the core. */
#ifndef SLUICE_BROKER_DECLARE_H
#define SLUICE_BROKER_DECLARE_H

#include "broker/core/core.h"
#include "broker/options.h"

/* Declares all of them; what is wrong with one is logged. */
void declare_configured(struct core *core, const struct broker_options *options);
/* The same of a file that was read again: logs what changed, and what is no longer in it is let go. */
void declare_reloaded(struct core *core, const struct broker_options *options);

#endif

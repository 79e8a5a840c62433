/* The `topics:` section of the broker's configuration, for options.c. */
#ifndef SLUICE_BROKER_OPTIONS_TOPICS_H
#define SLUICE_BROKER_OPTIONS_TOPICS_H

#include "broker/options.h"

/* The section's reader (struct setting_section); the context is a struct broker_options. */
bool options_read_topic(void *context, const char *const *keys, size_t count, const char *value, int line,
                        struct error *e);
/* Checks that `known` knows every queue that a topic's bindings or `unrouted` name. False with an error; `where` is
 * its word for where the queue was looked for. */
bool options_check_targets_exist(const struct broker_options *o, bool (*known)(const void *context, const char *queue),
                                 const void *context, const char *where, struct error *e);
void options_free_topics(struct broker_options *o);

#endif

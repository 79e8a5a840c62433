/* The `topics:` section of the broker's configuration, for options.c. */
#ifndef SLUICE_BROKER_OPTIONS_TOPICS_H
#define SLUICE_BROKER_OPTIONS_TOPICS_H

#include "broker/options.h"

/* As struct setting_section has it; the context is a struct broker_options. */
bool options_read_topic(void *context, const char *const *keys, size_t count, const char *value, int line,
                        struct error *e);
/* Does `known` know every queue that a topic's bindings and `unrouted` name? `where` says in what it looks, for the sentence. */
bool options_check_targets_exist(const struct broker_options *o, bool (*known)(const void *context, const char *queue),
                                 const void *context, const char *where, struct error *e);
void options_free_topics(struct broker_options *o);

#endif

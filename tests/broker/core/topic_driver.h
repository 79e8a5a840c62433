/* Calls on topics, for tests; queues that are bound are declared with capacity 100 where they are not there. */
#ifndef SLUICE_TESTS_BROKER_CORE_TOPIC_DRIVER_H
#define SLUICE_TESTS_BROKER_CORE_TOPIC_DRIVER_H

#include "tests/broker/core/driver.h"

/* Words that are CloudEvents as far as a filter looks: of type "red" and "blue". */
#define RED  "\"\003red"
#define BLUE "\"\004blue"

/* The reason's name, each. */
const char *put_topic(struct driver *d, const char *topic);
const char *set_unrouted(struct driver *d, const char *topic, enum unrouted u, const char *catch_all);
const char *bind_filter(struct driver *d, const char *topic, const char *queue,
                        const char *json); /* NULL: every event */
const char *unbind(struct driver *d, const char *topic, const char *queue);
const char *topic_call_on(struct driver *d, enum call call, const char *topic);
/* A topic bound to these queues: "a b". */
void make_topic(struct driver *d, const char *topic, const char *queues);
struct topic_info topic_of(struct driver *d, const char *topic);

#endif

/* Calls on topics, for tests. A queue that is bound and does not exist is declared with capacity 100. */
#ifndef SLUICE_TESTS_BROKER_CORE_TOPIC_DRIVER_H
#define SLUICE_TESTS_BROKER_CORE_TOPIC_DRIVER_H

#include "tests/broker/core/driver.h"

/* Event bytes that a filter takes for CloudEvents of type "red" and "blue". */
#define RED  "\"\003red"
#define BLUE "\"\004blue"

/* Each returns the reason's name. */
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

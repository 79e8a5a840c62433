/* A broker for tests with sockets: the real core with just enough ZeroMQ around it, on a thread. */
#ifndef SLUICE_TEST_BROKER_H
#define SLUICE_TEST_BROKER_H

struct test_broker;

/* Starts one on free loopback ports. Queues are declared on first use; "bounded" has that capacity, "brief" a lease of
 * 200 ms, "guarded" requires a consumer. The topic "both" is bound to "north" and "bounded", the topic
 * "nothing" to no queue and drops what it gets. */
struct test_broker *test_broker_start(unsigned capacity);
/* The control endpoint. */
const char *test_broker_endpoint(const struct test_broker *t);
void test_broker_stop(struct test_broker *t);

#endif

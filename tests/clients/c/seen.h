/* Callbacks for libsluice that record what they were given, for tests to wait on; and the connection these tests
 * start with. */
#ifndef SLUICE_TEST_SEEN_H
#define SLUICE_TEST_SEEN_H

#include "clients/c/include/sluice.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

struct seen {
    pthread_mutex_t lock;
    pthread_cond_t more;
    unsigned count, accepted;
    int last_error;
    uint64_t last_sequence, token, epoch;
    bool in_order, settle_now;
    char data[32], type[32];
    uint32_t attempt;
    struct sluice_sub *sub;
};

/* An empty record. seen_event acks at once unless settle_now is cleared. */
struct seen seen_fresh(void);
/* Waits for that many callbacks; false if they do not come within 20 s. */
bool seen_wait(struct seen *w, unsigned count);
unsigned seen_count(struct seen *w);

/* The callbacks; the context is a struct seen. */
void seen_confirm(void *context, int error, uint64_t sequence);
bool seen_event(void *context, const struct sluice_delivery *d);

/* cmocka's set-up and tear-down: *state is a test_broker whose queue "bounded" holds 10 events. */
int seen_start(void **state);
int seen_stop(void **state);
/* Connects to it with all defaults. */
struct sluice *seen_connect(void **state);

#endif

#include "tests/clients/c/seen.h"

#include "tests/clients/c/test_broker.h"

#include <stdio.h>

struct seen seen_fresh(void)
{
    return (struct seen){
        .lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER, .in_order = true, .settle_now = true
    };
}

bool seen_wait(struct seen *w, unsigned count)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    pthread_mutex_lock(&w->lock);
    while (w->count < count && pthread_cond_timedwait(&w->more, &w->lock, &until) == 0)
        continue;
    bool enough = w->count >= count;
    pthread_mutex_unlock(&w->lock);
    return enough;
}

unsigned seen_count(struct seen *w)
{
    pthread_mutex_lock(&w->lock);
    unsigned count = w->count;
    pthread_mutex_unlock(&w->lock);
    return count;
}

void seen_confirm(void *context, int error, uint64_t sequence)
{
    struct seen *w = context;
    pthread_mutex_lock(&w->lock);
    w->count++;
    w->accepted += error == SLUICE_OK;
    w->last_error = error;
    w->last_sequence = sequence;
    pthread_cond_broadcast(&w->more);
    pthread_mutex_unlock(&w->lock);
}

bool seen_event(void *context, const struct sluice_delivery *d)
{
    struct seen *w = context;
    pthread_mutex_lock(&w->lock);
    w->count++;
    w->in_order &= d->sequence == w->last_sequence + 1;
    w->last_sequence = d->sequence;
    w->token = d->token;
    w->epoch = d->consumer_epoch;
    w->attempt = d->attempt;
    snprintf(w->data, sizeof w->data, "%.*s", (int)d->size, d->data ? (const char *)d->data : "");
    snprintf(w->type, sizeof w->type, "%s", d->type);
    bool now = w->settle_now;
    pthread_cond_broadcast(&w->more);
    pthread_mutex_unlock(&w->lock);
    return now;
}

int seen_start(void **state)
{
    *state = test_broker_start(10);
    return 0;
}

int seen_stop(void **state)
{
    test_broker_stop(*state);
    return 0;
}

struct sluice *seen_connect(void **state)
{
    char error[256] = "";
    struct sluice *s = sluice_connect(test_broker_endpoint(*state), NULL, error);
    assert_string_equal(error, "");
    assert_non_null(s);
    return s;
}

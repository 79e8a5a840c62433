#include "clients/net/admit.h"

#include "base/xalloc.h"
#include "base/zap.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

struct admit {
    void *handler;
    int stop_fd;
    pthread_t thread;
    char broker_key[CURVE_KEY_SIZE];
};

static void answer(const struct admit *a, const struct zap_request *r)
{
    char key[CURVE_KEY_SIZE] = "";
    if (r->has_key)
        curve_key_text(r->key, key);
    bool is_broker = strcmp(r->domain, ADMIT_DOMAIN) == 0 && strcmp(key, a->broker_key) == 0;
    zap_answer(a->handler, r, is_broker ? "broker" : NULL);
}

static void *run(void *arg)
{
    struct admit *a = arg;
    zmq_pollitem_t items[] = { { a->handler, 0, ZMQ_POLLIN, 0 }, { NULL, a->stop_fd, ZMQ_POLLIN, 0 } };
    while (!(items[1].revents & ZMQ_POLLIN)) {
        struct zap_request r;
        zmq_poll(items, 2, -1);
        while (zap_receive(a->handler, &r))
            answer(a, &r);
    }
    zmq_close(a->handler);
    return NULL;
}

/* With all signals blocked: the program's handlers must not run on this thread. */
static bool start(struct admit *a)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool fine = pthread_create(&a->thread, NULL, run, a) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return fine;
}

struct admit *admit_open(void *context, const char *broker_key, struct error *e)
{
    struct admit *a = xcalloc(1, sizeof *a);
    memcpy(a->broker_key, broker_key, CURVE_KEY_SIZE);
    a->stop_fd = eventfd(0, EFD_CLOEXEC);
    a->handler = a->stop_fd < 0 ? NULL : zap_open(context, e);
    if (a->handler && start(a))
        return a;
    if (a->handler || a->stop_fd < 0)
        error_set(e, "cannot start a thread to check the broker's key");
    if (a->handler)
        zmq_close(a->handler);
    if (a->stop_fd >= 0)
        close(a->stop_fd);
    free(a);
    return NULL;
}

void admit_close(struct admit *a)
{
    uint64_t one = 1;
    if (!a)
        return;
    if (write(a->stop_fd, &one, sizeof one) == (ssize_t)sizeof one)
        pthread_join(a->thread, NULL);
    close(a->stop_fd);
    free(a);
}

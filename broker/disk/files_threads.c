/* One thread for changes and one for reads, each with its own queue of operations; completed operations go into one
 * common list. The threads take operations one by one: the log batches, so there are few.
 *
 * A write that is followed by its sync is reported together with it: a write is of no use to anybody before its sync,
 * and waking the loop in between would take the processor from the sync. Or the submitter waits for the two
 * (file_op.wait): then it carries them out itself. */
#include "broker/disk/files_priv.h"

#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void push(struct file_op **first, struct file_op **last, struct file_op *op)
{
    op->next = NULL;
    if (*first)
        (*last)->next = op;
    else
        *first = op;
    *last = op;
}

static struct file_op *pop(struct file_op **first)
{
    struct file_op *op = *first;
    if (op)
        *first = op->next;
    return op;
}

/* ---- completed operations */

/* The eventfd's count is 1 while there are completed operations and 0 otherwise, so neither call can fail. */
static void raise_event(int event)
{
    uint64_t one = 1;
    ssize_t n = write(event, &one, sizeof one);
    assert(n == sizeof one);
    (void)n;
}

static void clear_event(int event)
{
    uint64_t count;
    ssize_t n = read(event, &count, sizeof count);
    assert(n == sizeof count);
    (void)n;
}

/* Reports completed operations, linked in the order of completion. */
static void finish(struct workers *w, struct file_op *ops)
{
    pthread_mutex_lock(&w->mutex);
    if (!w->first)
        raise_event(w->event);
    for (struct file_op *next; ops; ops = next) {
        next = ops->next;
        push(&w->first, &w->last, ops);
    }
    pthread_mutex_unlock(&w->mutex);
}

struct file_op *workers_done(struct workers *w)
{
    pthread_mutex_lock(&w->mutex);
    struct file_op *op = pop(&w->first);
    if (op && !w->first)
        clear_event(w->event);
    pthread_mutex_unlock(&w->mutex);
    return op ? op : pop(&w->waited);
}

static void execute(struct workers *w, struct file_op *op)
{
    bool measured = op->kind == FILE_WRITE || op->kind == FILE_SYNC;
    int64_t start = measured ? clock_now().mono.ns : 0;
    file_execute(w->directory, op);
    if (measured)
        op->took_ns = (uint64_t)(clock_now().mono.ns - start);
}

/* ---- one thread */

static bool belong_together(const struct file_op *op, const struct file_op *next)
{
    return op->kind == FILE_WRITE && next && next->kind == FILE_SYNC;
}

/* Waits for the next operation; a write comes with its sync linked behind it, if that is there. NULL: the worker is
 * stopped. */
static struct file_op *next(struct worker *w)
{
    pthread_mutex_lock(&w->mutex);
    while (!w->first && !w->stop) {
        w->sleeps = true;
        pthread_cond_wait(&w->more, &w->mutex);
    }
    w->sleeps = false;
    struct file_op *op = pop(&w->first), *sync = NULL;
    if (op && belong_together(op, w->first))
        sync = pop(&w->first);
    pthread_mutex_unlock(&w->mutex);
    if (sync)
        sync->next = NULL;
    if (op)
        op->next = sync;
    return op;
}

static void *work(void *argument)
{
    struct worker *w = argument;
    struct file_op *ops;
    while ((ops = next(w)) != NULL) {
        for (struct file_op *op = ops; op; op = op->next)
            execute(w->all, op);
        finish(w->all, ops);
    }
    return NULL;
}

/* Starts the thread with all signals blocked: another thread waits for them. And with the CPUs that were allowed at
 * the start: the submitter may be restricted to one at the moment (base/same_cpu.h), which the thread must not
 * inherit. */
static int start(struct worker *w)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&w->thread, NULL, work, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!error) {
        w->started = true;
        pthread_setname_np(w->thread, w->name);
        pthread_setaffinity_np(w->thread, sizeof w->all->allowed, &w->all->allowed);
    }
    return error;
}

static void worker_init(struct worker *w, struct workers *all, const char *name)
{
    w->all = all;
    w->name = name;
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->more, NULL);
}

static void worker_free(struct worker *w)
{
    if (w->started) {
        pthread_mutex_lock(&w->mutex);
        w->stop = true;
        pthread_cond_signal(&w->more);
        pthread_mutex_unlock(&w->mutex);
        pthread_join(w->thread, NULL);
    }
    pthread_cond_destroy(&w->more);
    pthread_mutex_destroy(&w->mutex);
}

/* ---- both */

int workers_init(struct workers *w, struct directory *d)
{
    w->directory = d;
    w->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->event < 0)
        return errno;
    if (sched_getaffinity(0, sizeof w->allowed, &w->allowed) != 0)
        CPU_ZERO(&w->allowed); /* unknown: pthread_setaffinity_np will refuse the empty set */
    pthread_mutex_init(&w->mutex, NULL);
    worker_init(&w->changes, w, "log-changes");
    worker_init(&w->reads, w, "log-reads");
    return 0;
}

/* Carries out a sync, and the write queued right before it, on the submitting thread. False: the worker is busy or
 * has other work queued. */
static bool execute_here(struct worker *by, struct file_op *sync)
{
    pthread_mutex_lock(&by->mutex);
    bool idle = by->sleeps && (!by->first || (by->first == by->last && belong_together(by->first, sync)));
    struct file_op *write = idle ? pop(&by->first) : NULL;
    pthread_mutex_unlock(&by->mutex);
    if (!idle)
        return false;
    for (unsigned i = 0; i < 2; i++) {
        struct file_op *op = i ? sync : write;
        if (!op)
            continue;
        execute(by->all, op);
        push(&by->all->waited, &by->all->last_waited, op);
    }
    return true;
}

void workers_submit(struct workers *w, struct file_op *op)
{
    struct worker *by = op->kind == FILE_READ ? &w->reads : &w->changes;
    if (op->wait && execute_here(by, op))
        return;
    op->error = by->started ? 0 : start(by);
    if (op->error) {
        if (by == &w->changes)
            atomic_store(&w->directory->broken, true); /* a later change must not overtake this one */
        op->next = NULL;
        finish(w, op);
        return;
    }
    pthread_mutex_lock(&by->mutex);
    bool wakes = by->sleeps && !op->more;
    by->sleeps = by->sleeps && !wakes;
    push(&by->first, &by->last, op);
    pthread_mutex_unlock(&by->mutex);
    if (wakes) /* after unlocking, because the woken thread takes the mutex first */
        pthread_cond_signal(&by->more);
}

void workers_free(struct workers *w)
{
    worker_free(&w->changes);
    worker_free(&w->reads);
    struct file_op *op;
    while ((op = workers_done(w)) != NULL) {
        buf_free(&op->data);
        free(op);
    }
    pthread_mutex_destroy(&w->mutex);
    file_close(w->event);
}

/* Open files, kept and shared by both threads. */
#include "broker/disk/files_priv.h"

#include "base/xalloc.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* How many files stay open; more only if all of them are in use or have unsynced writes. */
#define MOST_IDLE 16u

void handles_init(struct handles *h, int dir, bool read_only)
{
    pthread_mutex_init(&h->mutex, NULL);
    h->dir = dir;
    h->flags = (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOFOLLOW;
}

/* After EINTR the descriptor is closed, too (Linux). */
int file_close(int fd)
{
    return close(fd) != 0 && errno != EINTR ? errno : 0;
}

/* Takes *at out of the list and closes it. */
static int discard(struct handles *h, struct handle **at)
{
    struct handle *one = *at;
    *at = one->next;
    h->count--;
    int error = file_close(one->fd);
    free(one);
    return error;
}

static struct handle **find(struct handles *h, const char *name)
{
    struct handle **at = &h->list;
    while (*at && ((*at)->dropped || strcmp((*at)->name, name) != 0))
        at = &(*at)->next;
    return at;
}

/* Closes the least recently used idle file, if there are too many. */
static int make_room(struct handles *h)
{
    struct handle **oldest = NULL;
    for (struct handle **at = &h->list; *at; at = &(*at)->next)
        if (!(*at)->users && !(*at)->unsynced)
            oldest = at;
    return oldest && h->count >= MOST_IDLE ? discard(h, oldest) : 0;
}

static int open_one(struct handles *h, const char *name)
{
    int error = make_room(h);
    if (error)
        return error;
    int fd = openat(h->dir, name, h->flags);
    if (fd < 0)
        return errno;
    struct handle *one = xcalloc(1, sizeof *one);
    one->fd = fd;
    snprintf(one->name, sizeof one->name, "%s", name);
    one->next = h->list;
    h->list = one;
    h->count++;
    return 0;
}

static void move_to_front(struct handles *h, struct handle **at)
{
    struct handle *one = *at;
    *at = one->next;
    one->next = h->list;
    h->list = one;
}

/* Opens under the mutex: otherwise a file that is replaced at that moment could be kept under a name that it lost. */
int handles_take(struct handles *h, const char *name, struct handle **out)
{
    pthread_mutex_lock(&h->mutex);
    int error = *find(h, name) ? 0 : open_one(h, name);
    if (!error) {
        move_to_front(h, find(h, name));
        *out = h->list;
        h->list->users++;
    }
    pthread_mutex_unlock(&h->mutex);
    return error;
}

int handles_give(struct handles *h, struct handle *one)
{
    int error = 0;
    pthread_mutex_lock(&h->mutex);
    assert(one->users > 0);
    if (--one->users == 0 && one->dropped) {
        struct handle **at = &h->list;
        while (*at != one)
            at = &(*at)->next;
        error = discard(h, at);
    }
    pthread_mutex_unlock(&h->mutex);
    return error;
}

void handles_set_unsynced(struct handles *h, struct handle *one, bool unsynced)
{
    pthread_mutex_lock(&h->mutex);
    one->unsynced = unsynced;
    pthread_mutex_unlock(&h->mutex);
}

int handles_drop(struct handles *h, const char *name)
{
    int error = 0;
    pthread_mutex_lock(&h->mutex);
    struct handle **at = find(h, name);
    if (*at && (*at)->users)
        (*at)->dropped = true;
    else if (*at)
        error = discard(h, at);
    pthread_mutex_unlock(&h->mutex);
    return error;
}

int handles_close(struct handles *h)
{
    int error = 0;
    while (h->list) {
        int now = discard(h, &h->list);
        error = error ? error : now;
    }
    pthread_mutex_destroy(&h->mutex);
    return error;
}

#include "base/epoll_output.h"

#include "base/xalloc.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HELD_BACK 256 /* changes; a further one goes to the kernel at once */

/* What one descriptor waits for. */
struct interest {
    uint32_t wanted, kernel; /* EPOLLIN, …: as libzmq asked, and as the kernel knows */
    void *data;
    bool known;    /* registered by way of epoll_output_ctl */
    bool changed;  /* is in `held_back` */
    bool had_room; /* the kernel was asked for room, and no longer is: the socket is connected */
    bool was_told; /* that it has room, without asking; and it still wants to hear of it */
};

/* The I/O thread's alone. */
static struct interest *interests; /* by descriptor */
static int interest_count;
static int held_back[HELD_BACK], held_back_count;

void epoll_output_begin(void)
{
    held_back_count = 0;
    if (interests)
        memset(interests, 0, (size_t)interest_count * sizeof *interests);
}

static int ctl(int epoll_fd, int op, int fd, struct epoll_event *event)
{
    return (int)syscall(SYS_epoll_ctl, epoll_fd, op, fd, event);
}

static struct interest *interest_of(int fd)
{
    if (fd >= interest_count) {
        int count = (fd | 63) + 1;
        interests = xrealloc(interests, (size_t)count * sizeof *interests);
        memset(interests + interest_count, 0, (size_t)(count - interest_count) * sizeof *interests);
        interest_count = count;
    }
    return &interests[fd];
}

static void change(struct interest *i, int fd, const struct epoll_event *event)
{
    if (!(event->events & EPOLLOUT)) { /* libzmq takes it back only from sockets that are connected */
        i->had_room |= (i->kernel & EPOLLOUT) != 0;
        i->was_told = false;
    }
    i->wanted = event->events;
    i->data = event->data.ptr;
    if (!i->changed)
        held_back[held_back_count++] = fd;
    i->changed = true;
}

int epoll_output_ctl(int epoll_fd, int op, int fd, struct epoll_event *event)
{
    struct interest *i = fd >= 0 ? interest_of(fd) : NULL;
    if (i && op == EPOLL_CTL_MOD && i->known && (i->changed || held_back_count < HELD_BACK)) {
        change(i, fd, event);
        return 0;
    }
    int result = ctl(epoll_fd, op, fd, event);
    if (i && result == 0 && op != EPOLL_CTL_DEL)
        *i = (struct interest){ event->events, event->events, event->data.ptr, .known = true, .changed = i->changed };
    else if (i)
        i->known = false;
    return result;
}

/* May it be told that it has room? Only of a connected socket: one that connects takes it for success. */
static bool may_be_told(const struct interest *i)
{
    return i->known && i->had_room && !i->was_told && i->wanted == (i->kernel | EPOLLOUT) && i->wanted != i->kernel;
}

static void pass_on(int epoll_fd, struct interest *i, int fd)
{
    struct epoll_event event = { .events = i->wanted, .data.ptr = i->data };
    if (i->known && i->wanted != i->kernel && ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0)
        i->kernel = i->wanted;
}

int epoll_output_report(int epoll_fd, struct epoll_event *events, int most)
{
    int made = 0, kept = 0;
    for (int k = 0; k < held_back_count; k++) {
        int fd = held_back[k];
        struct interest *i = &interests[fd];
        if (made < most && may_be_told(i)) {
            i->was_told = true;
            events[made++] = (struct epoll_event){ .events = EPOLLOUT, .data.ptr = i->data };
            held_back[kept++] = fd;
        } else {
            i->changed = false;
            pass_on(epoll_fd, i, fd);
        }
    }
    held_back_count = kept;
    return made;
}

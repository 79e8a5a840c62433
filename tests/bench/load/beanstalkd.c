/* beanstalkd, through its own text protocol: put, reserve, delete. A consumer pipelines its requests, as a connection
 * would otherwise have one at a time: it sends one reserve that waits, followed by as many that do not
 * (reserve-with-timeout 0) as the last answers suggest. Whether a confirm follows a sync is a setting of the server.
 * mode: unused. */
#include "tests/bench/load/load.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TTR_SECONDS 600
#define MOST        256 /* requests in a pipeline */

struct adapter {
    struct load *load;
    const struct load_options *o;
    int fd;
    bool consumer;
    uint64_t confirmed;
    unsigned asked, answered, got; /* reserves in this round */
    unsigned long deletes, deleted;
    struct load_buffer in, out;
};

static void say(struct adapter *a, const char *format, const char *word, unsigned long number)
{
    char line[256];
    load_append(&a->out, line, (size_t)snprintf(line, sizeof line, format, word, number));
}

struct adapter *adapter_open(struct load *l, const struct load_options *o, bool consumer)
{
    struct adapter *a = calloc(1, sizeof *a);
    *a = (struct adapter){ .load = l, .o = o, .consumer = consumer, .fd = load_connect(o->address) };
    if (a->fd >= 0) {
        say(a, consumer ? "watch %s\r\nignore default\r\n" : "use %s\r\n", o->queue, 0);
        return a;
    }
    load_failed(l, "cannot connect to %s: %s", o->address, strerror(errno));
    free(a);
    return NULL;
}

/* Sends one reserve that waits, and further ones that do not. */
static void ask(struct adapter *a, unsigned count)
{
    say(a, "reserve\r\n%s", "", 0);
    for (unsigned i = 1; i < count; i++)
        say(a, "reserve-with-timeout 0\r\n%s", "", 0);
    a->asked = count;
    a->answered = a->got = 0;
}

bool adapter_consume(struct adapter *a)
{
    ask(a, 1);
    return true;
}

bool adapter_publish(struct adapter *a, uint64_t tag, const void *data)
{
    (void)tag;
    say(a, "put 0 0 %s%lu ", "", TTR_SECONDS);
    say(a, "%s%lu\r\n", "", a->o->size);
    load_append(&a->out, data, a->o->size);
    load_append(&a->out, "\r\n", 2);
    return true;
}

static void reserved(struct adapter *a)
{
    if (++a->answered < a->asked)
        return;
    unsigned more = a->got == a->asked ? 2 * a->asked : a->got + 1;
    ask(a, more < MOST ? more : MOST);
}

/* Handles "RESERVED ID BYTES\r\nDATA\r\n". Returns its length, or 0 while it is incomplete. */
static size_t take_job(struct adapter *a, const char *line, size_t head, size_t came)
{
    char *end;
    unsigned long id = strtoul(line + strlen("RESERVED "), &end, 10), size = strtoul(end, NULL, 10);
    if (came < head + size + 2)
        return 0;
    load_delivered(a->load, line + head, size);
    say(a, "delete %s%lu\r\n", "", id);
    a->deletes++;
    a->got++;
    reserved(a);
    return head + size + 2;
}

static bool begins(const char *line, const char *word)
{
    return strncmp(line, word, strlen(word)) == 0;
}

/* Handles one answer, whose first line has `head` bytes. *used: its length, or 0 while it is incomplete. */
static bool answer(struct adapter *a, const char *line, size_t head, size_t came, size_t *used)
{
    *used = head;
    if (begins(line, "INSERTED "))
        load_confirmed(a->load, a->confirmed++);
    else if (begins(line, "RESERVED "))
        *used = take_job(a, line, head, came);
    else if (begins(line, "TIMED_OUT"))
        reserved(a);
    else if (begins(line, "DELETED"))
        a->deleted++;
    else if (!begins(line, "USING ") && !begins(line, "WATCHING "))
        return load_failed(a->load, "beanstalkd: %.*s", (int)head, line);
    return true;
}

static bool take(struct adapter *a)
{
    size_t used = 1;
    while (used && a->in.begin < a->in.end) {
        const char *line = a->in.data + a->in.begin;
        size_t came = a->in.end - a->in.begin;
        const char *end = memchr(line, '\n', came);
        if (!end)
            return true;
        if (!answer(a, line, (size_t)(end - line) + 1, came, &used))
            return false;
        a->in.begin += used;
    }
    return true;
}

bool adapter_turn(struct adapter *a, int64_t until)
{
    size_t came;
    if (!load_send(a->fd, &a->out))
        return false;
    if (!(load_poll(a->fd, a->out.begin < a->out.end, until) & POLLIN))
        return true;
    return load_receive(a->fd, &a->in, &came) && take(a) && load_send(a->fd, &a->out);
}

void adapter_close(struct adapter *a)
{
    if (!a)
        return;
    int64_t until = load_now() + 5000000000; /* the server requeues jobs not yet deleted when the connection ends */
    while (a->deleted < a->deletes && load_now() < until && adapter_turn(a, until))
        continue;
    close(a->fd);
    free(a->in.data);
    free(a->out.data);
    free(a);
}

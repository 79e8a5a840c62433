/* The floor under every broker: bench_bare_relay, which passes frames on and answers each with a byte. How a connection
 * begins is described there. mode: unused. */
#include "tests/bench/load/load.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct adapter {
    struct load *load;
    const struct load_options *o;
    int fd;
    bool consumer;
    uint64_t confirmed;
    struct load_buffer in, out;
};

struct adapter *adapter_open(struct load *l, const struct load_options *o, bool consumer)
{
    struct adapter *a = calloc(1, sizeof *a);
    *a = (struct adapter){ .load = l, .o = o, .consumer = consumer, .fd = load_connect(o->address) };
    if (a->fd >= 0) {
        uint32_t size = (uint32_t)o->size;
        load_append(&a->out, consumer ? "c" : "p", 1);
        if (!consumer)
            load_append(&a->out, &size, sizeof size);
        return a;
    }
    load_failed(l, "cannot connect to %s: %s", o->address, strerror(errno));
    free(a);
    return NULL;
}

bool adapter_consume(struct adapter *a)
{
    return load_send(a->fd, &a->out);
}

bool adapter_publish(struct adapter *a, uint64_t tag, const void *data)
{
    (void)tag;
    load_append(&a->out, data, a->o->size);
    return true;
}

static void take(struct adapter *a)
{
    while (a->consumer && a->in.end - a->in.begin >= a->o->size) {
        load_delivered(a->load, a->in.data + a->in.begin, a->o->size);
        a->in.begin += a->o->size;
    }
    for (; !a->consumer && a->in.begin < a->in.end; a->in.begin++)
        load_confirmed(a->load, a->confirmed++);
}

bool adapter_turn(struct adapter *a, int64_t until)
{
    size_t came;
    if (!load_send(a->fd, &a->out))
        return false;
    if (!(load_poll(a->fd, a->out.begin < a->out.end, until) & POLLIN))
        return true;
    if (!load_receive(a->fd, &a->in, &came))
        return false;
    take(a);
    return load_send(a->fd, &a->out);
}

void adapter_close(struct adapter *a)
{
    if (!a)
        return;
    close(a->fd);
    free(a->in.data);
    free(a->out.data);
    free(a);
}

/* Sluice over HTTP, with one connection per process. A producer POSTs everything it has as soon as the last answer has
 * come: one event as a plain body, several as a batch of CloudEvents in JSON. The consumer takes, and sends its acks
 * with the next take right behind them. Events are text, with their head in hexadecimal. mode: unused. */
#include "tests/bench/load/load.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define HEAD       24  /* bytes of an event that are not text: struct load_head */
#define BATCH      256 /* events, at most */
#define WAIT_S     30
#define RECEIPT    "\"receipt\":\""
#define DATA       "\"data\":\""
#define RESULT     "\"result\":\"acked\""
#define BATCH_TYPE "application/cloudevents-batch+json"

struct adapter {
    struct load *load;
    const struct load_options *o;
    int fd;
    bool consumer, busy;   /* busy: waiting for the answer to a publish */
    unsigned under_way;    /* events in that publish */
    uint64_t confirmed, n; /* n: event ids so far */
    unsigned long acks, acked;
    char *event;                      /* room for one event's bytes */
    struct load_buffer in, out, kept; /* kept: texts of events to publish */
    struct load_buffer body;
};

/* ------------------------------------------------------------------ events as text */

static void to_text(char *text, const char *bytes, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < HEAD; i++) {
        text[2 * i] = digits[(unsigned char)bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    memset(text + 2 * HEAD, 'x', size - 2 * HEAD);
}

static int digit(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

static void to_bytes(char *bytes, const char *text)
{
    for (size_t i = 0; i < HEAD; i++)
        bytes[i] = (char)(digit(text[2 * i]) << 4 | digit(text[2 * i + 1]));
}

/* ------------------------------------------------------------------ requests */

static void post(struct adapter *a, const char *path, const char *type)
{
    size_t size = a->body.end - a->body.begin;
    char *head = load_reserve(&a->out, 512);
    a->out.end += (size_t)snprintf(head, 512,
                                   "POST /v1/queues/%s/%s HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\n"
                                   "Content-Length: %zu\r\n\r\n",
                                   a->o->queue, path, a->o->address, type, size);
    load_append(&a->out, a->body.data + a->body.begin, size);
    a->body.begin = a->body.end;
}

static void add(struct adapter *a, const char *text)
{
    load_append(&a->body, text, strlen(text));
}

static void add_event(struct adapter *a, const char *text, bool first)
{
    char head[160];
    snprintf(head, sizeof head,
             "%s{\"specversion\":\"1.0\",\"id\":\"%d-%llu\",\"source\":\"/bench\",\"type\":\"bench\","
             "\"datacontenttype\":\"text/plain\",\"data\":\"",
             first ? "[" : ",", (int)getpid(), (unsigned long long)a->n++);
    add(a, head);
    load_append(&a->body, text, a->o->size);
    add(a, "\"}");
}

/* Publishes the kept events, unless an answer is due. */
static void publish_kept(struct adapter *a)
{
    size_t count = (a->kept.end - a->kept.begin) / a->o->size;
    if (a->busy || count == 0)
        return;
    a->under_way = (unsigned)(count < BATCH ? count : BATCH);
    a->busy = true;
    if (a->under_way == 1)
        load_append(&a->body, a->kept.data + a->kept.begin, a->o->size);
    for (unsigned i = 0; i < a->under_way && a->under_way > 1; i++)
        add_event(a, a->kept.data + a->kept.begin + i * a->o->size, i == 0);
    if (a->under_way > 1)
        add(a, "]");
    a->kept.begin += a->under_way * a->o->size;
    post(a, "events?wait=30s", a->under_way == 1 ? "text/plain" : BATCH_TYPE);
}

static void ask(struct adapter *a)
{
    char path[64];
    snprintf(path, sizeof path, "take?max=%d&wait=%ds", BATCH, WAIT_S);
    post(a, path, "text/plain");
}

/* ------------------------------------------------------------------ answers */

/* Finds `word` before `end`. Returns the position after it, or NULL. */
static const char *behind(const char *from, const char *end, const char *word)
{
    const char *at = from < end ? memmem(from, (size_t)(end - from), word, strlen(word)) : NULL;
    return at ? at + strlen(word) : NULL;
}

static bool answered_publish(struct adapter *a, int status)
{
    if (status != 202)
        return load_failed(a->load, "not published: HTTP status %d", status);
    a->busy = false;
    for (unsigned i = a->under_way; i > 0; i--)
        load_confirmed(a->load, a->confirmed++);
    return true;
}

static void answered_take(struct adapter *a, const char *at, const char *end)
{
    bool any = false;
    while ((at = behind(at, end, RECEIPT)) != NULL) {
        const char *receipt_end = memchr(at, '"', (size_t)(end - at)), *data = behind(at, end, DATA);
        const char *data_end = data ? memchr(data, '"', (size_t)(end - data)) : NULL;
        if (!data_end)
            break;
        to_bytes(a->event, data);
        load_delivered(a->load, a->event, (size_t)(data_end - data));
        add(a, any ? ",\"" : "{\"ack\":[\"");
        load_append(&a->body, at, (size_t)(receipt_end - at) + 1);
        any = true;
        a->acks++;
        at = data_end;
    }
    if (any) {
        add(a, "]}");
        post(a, "acks", "application/json");
    }
    ask(a);
}

static bool answer(struct adapter *a, int status, const char *body, const char *end)
{
    if (!a->consumer)
        return answered_publish(a, status);
    if (status != 200)
        return load_failed(a->load, "not consumed: HTTP status %d", status);
    if (!behind(body, end, "\"results\":")) {
        answered_take(a, body, end);
        return true;
    }
    for (const char *at = body; (at = behind(at, end, RESULT)) != NULL;)
        a->acked++;
    return true;
}

static bool take(struct adapter *a)
{
    while (a->in.begin < a->in.end) {
        const char *head = a->in.data + a->in.begin, *end = a->in.data + a->in.end;
        const char *body = behind(head, end, "\r\n\r\n"),
                   *length = body ? behind(head, body, "Content-Length: ") : NULL;
        size_t size = length ? strtoul(length, NULL, 10) : 0;
        if (!body || (size_t)(end - body) < size)
            return true;
        a->in.begin += (size_t)(body - head) + size;
        if (!answer(a, atoi(head + strlen("HTTP/1.1 ")), body, body + size))
            return false;
    }
    return true;
}

/* ------------------------------------------------------------------ the adapter */

struct adapter *adapter_open(struct load *l, const struct load_options *o, bool consumer)
{
    struct adapter *a = calloc(1, sizeof *a);
    *a = (struct adapter){ .load = l, .o = o, .consumer = consumer, .fd = load_connect(o->address) };
    a->event = calloc(1, o->size);
    if (a->fd >= 0 && o->size >= 2 * HEAD)
        return a;
    load_failed(l, a->fd < 0 ? "cannot connect to %s" : "events of 48 B or more, at %s", o->address);
    adapter_close(a);
    return NULL;
}

bool adapter_consume(struct adapter *a)
{
    ask(a);
    return true;
}

bool adapter_publish(struct adapter *a, uint64_t tag, const void *data)
{
    (void)tag;
    to_text(load_reserve(&a->kept, a->o->size), data, a->o->size);
    a->kept.end += a->o->size;
    return true;
}

bool adapter_turn(struct adapter *a, int64_t until)
{
    size_t came;
    publish_kept(a);
    if (!load_send(a->fd, &a->out))
        return false;
    if (!(load_poll(a->fd, a->out.begin < a->out.end, until) & POLLIN))
        return true;
    if (!load_receive(a->fd, &a->in, &came) || !take(a))
        return false;
    publish_kept(a);
    return load_send(a->fd, &a->out);
}

void adapter_close(struct adapter *a)
{
    if (!a)
        return;
    int64_t until = load_now() + 5000000000;
    while (a->acked < a->acks && load_now() < until && adapter_turn(a, until))
        continue;
    if (a->fd >= 0)
        close(a->fd);
    free(a->event);
    free(a->in.data);
    free(a->out.data);
    free(a->kept.data);
    free(a->body.data);
    free(a);
}

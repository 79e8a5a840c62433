/* The load that every system of the bench gets. PRODUCERS processes publish numbered events, each with at most WINDOW
 * unconfirmed ones; the calling process consumes and acks them, and checks their count and the order of each producer.
 * A load program consists of load.c, load_check.c, load_io.c and one adapter, which knows a system's client library and
 * nothing of measuring:
 *   bench_load_SYSTEM --address A [--mode M] [--queue Q] [--size BYTES] [--producers N] [--window N] [--events N]
 *                     [--seconds S] [--rate N] [--only publish|consume]
 *     ->  {"events":N,"seconds":S,"events_per_second":R,"confirm_us":{"p50":…,"p99":…,"p99.9":…},"end_to_end_us":{…}}
 * --events          total of all producers
 * --seconds         publish for this long instead
 * --rate            events per second of all producers, each timed from when it was due; without it, as fast as the
 *                   window allows
 * --only publish    leave the events in the system
 * --only consume    consume EVENTS events that are there
 * Exits with status 1 and a message unless every published event was confirmed, and consumed once in its producer's
 * order. */
#ifndef SLUICE_BENCH_LOAD_H
#define SLUICE_BENCH_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct load; /* one process of the load, a producer or the consumer */

struct load_options {
    const char *address, *mode, *queue; /* as given; their meaning is the adapter's */
    size_t size;                        /* of each event's data */
    unsigned long producers, window, events, rate;
    double seconds;
    bool publish, consume;
};

/* ------------------------------------------------------------------ implemented by an adapter */

struct adapter; /* a connection */

/* Connects. The consumer's connection also declares the queue; no producer starts before that, even if nothing is
 * consumed. Returns NULL after calling load_failed. */
struct adapter *adapter_open(struct load *l, const struct load_options *o, bool consumer);
/* Starts to consume the queue from its first event. */
bool adapter_consume(struct adapter *a);
/* Publishes o->size bytes at `data`, or keeps them for the next turn. Never waits for an answer. `tag` is passed to
 * load_confirmed later. */
bool adapter_publish(struct adapter *a, uint64_t tag, const void *data);
/* Sends what was kept and handles what arrives; returns once something arrived, or at the time `until`. If the library
 * does this in a thread of its own, calls load_sleep. */
bool adapter_turn(struct adapter *a, int64_t until);
/* Disconnects; every ack has reached the system when it returns. `a` may be NULL. */
void adapter_close(struct adapter *a);

/* ------------------------------------------------------------------ called by an adapter */

/* An event was confirmed. Called from adapter_turn, or from one thread of the library. May call adapter_publish. */
void load_confirmed(struct load *l, uint64_t tag);
/* An event arrived. The adapter acks it. */
void load_delivered(struct load *l, const void *data, size_t size);
/* Ends the run with this message; only the first one is kept. Returns false. */
bool load_failed(struct load *l, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ------------------------------------------------------------------ helpers for adapters */

/* Nanoseconds of CLOCK_MONOTONIC. */
int64_t load_now(void);
/* Sleeps until that time, but at most 2 ms. Returns true. */
bool load_sleep(int64_t until);
/* Waits until fd is readable or, if `write`, writable. Returns the poll events (POLLIN, POLLOUT, POLLHUP …), or 0 at
 * the time `until`. */
int load_poll(int fd, bool write, int64_t until);
/* Opens a nonblocking tcp ("HOST:PORT", with TCP_NODELAY) or unix ("/PATH") connection. Returns -1 with errno on
 * failure. */
int load_connect(const char *address);
/* Splits HOST:PORT. Stores the host, truncated to 63 bytes, and returns the port. */
int load_port(const char *address, char host[64]);

/* Bytes to be sent, or received and not yet read: data[begin] to data[end - 1]. */
struct load_buffer {
    char *data;
    size_t begin, end, room;
};
/* Makes room for `size` bytes at data + end. The caller advances `end`. */
char *load_reserve(struct load_buffer *b, size_t size);
void load_append(struct load_buffer *b, const void *data, size_t size);
/* Sends as much as possible. Returns false if the connection is gone. */
bool load_send(int fd, struct load_buffer *b);
/* Receives what has arrived, *came bytes. Returns false if the connection is gone. */
bool load_receive(int fd, struct load_buffer *b, size_t *came);

#endif

/* The load that every system of the bench gets, alike: PRODUCERS processes publish numbered events, each with at most WINDOW
 * of its own unconfirmed; the calling process consumes and acks them, and checks count and order by producer. One program
 * is made of load.c, load_check.c and one adapter, which knows a system's client library and nothing of measuring:
 *   bench_load_SYSTEM --address A [--mode M] [--queue Q] [--size BYTES] [--producers N] [--window N] [--events N]
 *                     [--seconds S] [--rate N] [--only publish|consume]
 *     ->  {"events":N,"seconds":S,"events_per_second":R,"confirm_us":{"p50":…,"p99":…,"p99.9":…},"end_to_end_us":{…}}
 * --events: of all producers together; --seconds: publish for so long instead. --rate: events a second of all together, each
 * timed from when it was meant to be sent; as fast as the window goes without. --only publish leaves the events where they
 * are; --only consume takes EVENTS of them. Ends with status 1 and a sentence unless everything published was confirmed
 * and consumed, once and in each producer's order. */
#ifndef SLUICE_BENCH_LOAD_H
#define SLUICE_BENCH_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct load; /* one process of the load: a producer or the consumer */

struct load_options {
    const char *address, *mode, *queue; /* as given; the adapter knows what they mean */
    size_t size;                        /* of each event's data */
    unsigned long producers, window, events, rate;
    double seconds;
    bool publish, consume;
};

/* ------------------------------------------------------------------ what an adapter does */

struct adapter; /* a connection */

/* Connects. The consumer's connection declares the queue, too: no producer begins before that, also where nothing is
 * consumed. NULL, after load_failed. */
struct adapter *adapter_open(struct load *l, const struct load_options *o, bool consumer);
/* Asks for the queue's events, from its first one. */
bool adapter_consume(struct adapter *a);
/* Publishes o->size bytes, or keeps them for the next turn; never waits for an answer. `tag` comes back with
 * load_confirmed. */
bool adapter_publish(struct adapter *a, uint64_t tag, const void *data);
/* Sends what was kept, and takes what came, until something came or the time `until`. With a thread of the library that does
 * this by itself: load_sleep. */
bool adapter_turn(struct adapter *a, int64_t until);
/* Every ack has reached the system when this returns. NULL is allowed. */
void adapter_close(struct adapter *a);

/* ------------------------------------------------------------------ what it tells */

/* From adapter_turn, or from one thread of the library. May call adapter_publish. */
void load_confirmed(struct load *l, uint64_t tag);
/* The adapter acks. */
void load_delivered(struct load *l, const void *data, size_t size);
/* The run is over, and this is why. Keeps the first. Returns false. */
bool load_failed(struct load *l, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ------------------------------------------------------------------ what helps it */

/* Nanoseconds of CLOCK_MONOTONIC. */
int64_t load_now(void);
/* Until that time, but at most two milliseconds. Returns true. */
bool load_sleep(int64_t until);
/* Waits until fd can be read, or also written when asked. Returns which it can be (POLLIN, POLLOUT, POLLHUP …); 0: the time
 * has come. */
int load_poll(int fd, bool write, int64_t until);
/* A tcp ("HOST:PORT") or unix ("/PATH") connection without delay, nonblocking; -1 with errno. */
int load_connect(const char *address);
/* HOST:PORT cut in two; the host is cut to 63 bytes. */
int load_port(const char *address, char host[64]);

/* Bytes to be sent, or come and not yet read. */
struct load_buffer {
    char *data;
    size_t begin, end, room;
};
/* Room for `size` bytes at data + end; the caller adds to end. */
char *load_reserve(struct load_buffer *b, size_t size);
void load_append(struct load_buffer *b, const void *data, size_t size);
/* Sends as much as goes; false when the connection is gone. */
bool load_send(int fd, struct load_buffer *b);
/* Receives as much as came, `*came` bytes; false when the connection is gone. */
bool load_receive(int fd, struct load_buffer *b, size_t *came);

#endif

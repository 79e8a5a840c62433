/* The simulator: the real core and the real client protocol in one simulated world, driven by one seed.
 *
 *   world.c   time, randomness, the network and its faults, stepping
 *   actors.c  what the clients' programs do
 *   checks.c  what must hold
 *   main.c    seeds, replay, mutations */
#ifndef SLUICE_SIM_H
#define SLUICE_SIM_H

#include "broker/core/state.h"
#include "clients/c/client.h"

#include "base/mutation.h"

#define SIM_CLIENTS 4u
#define SIM_QUEUES  2u

/* One message on its way. */
struct parcel {
    int64_t arrives;
    struct frame *frame; /* on data pipes */
    struct buf bytes;    /* on control pipes */
    struct parcel *next;
};

/* A connection in one direction: first in, first out, until something happens to it. */
struct pipe {
    struct parcel *head, *tail;
    bool open; /* somebody still sends into it */
    bool deaf; /* half open: everything sent is lost */
    int64_t stalled_until;
    int64_t last; /* arrival of the newest parcel: none overtakes it */
    struct pipe *next;
};

/* An event as its publisher and its consumers saw it. */
struct fact {
    uint64_t id;
    unsigned queue;
    uint64_t producer; /* which client instance */
    uint64_t order;    /* of its publish, per producer and queue */
    uint64_t batch;
    uint32_t batch_index;
    unsigned outcomes;
    enum reason reason;
    uint64_t sequence; /* confirmed or delivered as; 0: not yet */
    unsigned handed_over;
    bool acked;
};

struct held { /* an event an application is working on */
    struct fact *fact;
    unsigned queue;
    uint32_t epoch;
    uint64_t delivery;
    char receipt[200];
    int64_t until;
};

struct publish { /* a call in flight: the cookie */
    struct actor *actor;
    size_t first; /* index of its first fact */
    uint32_t count;
};

struct asked { /* an ack whose answer is awaited */
    uint64_t delivery, request;
    unsigned queue;
    uint32_t epoch;
    struct fact *fact;
};

struct actor {
    struct sim *sim;
    unsigned index;
    uint64_t instance;
    struct client *client; /* NULL while dead */
    int64_t next_action, reborn;
    struct pipe *to_broker, *from_broker; /* all lanes of data, newest first */
    struct pipe control_out, control_in;
    bool consuming[SIM_QUEUES];
    uint64_t credit_most[SIM_QUEUES];
    uint64_t orders[SIM_QUEUES];
    struct held held[64];
    size_t held_count;
    struct asked *asked;
    size_t asked_count, asked_capacity;
};

struct lane {
    uint32_t number;
    unsigned actor;
    struct pipe *pipe;
};

struct sim {
    uint64_t seed, random;
    int64_t now, calm_at, end_at;
    bool calm; /* faults are over: everything must drain */
    bool trace, failed;
    char failure[400];
    struct core *core;
    struct store *store;
    struct actor actors[SIM_CLIENTS];
    struct lane lanes[4096];
    size_t lane_count;
    struct fact **facts;
    size_t fact_count, fact_capacity;
    struct publish **publishes;
    size_t publish_count;
    uint64_t instances, batches, purged;
    uint64_t last_order[64][SIM_QUEUES]; /* by instance: newest first delivery */
    uint32_t last_epoch[SIM_QUEUES];
    uint64_t steps, handed_over;
    bool purges, lowers; /* does anybody purge, lower credit */
};

/* world.c */
uint64_t sim_random(struct sim *s, uint64_t below);
bool sim_chance(struct sim *s, unsigned percent);
struct now sim_now(const struct sim *s);
void sim_fail(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_trace(const struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool sim_run(uint64_t seed, bool trace, struct sim *out); /* true: everything held. Release with sim_free */
void sim_free(struct sim *s);
void sim_birth(struct actor *a);
void sim_death(struct actor *a);
/* The clients' effects; ctx is their actor. */
void world_control_open(void *ctx);
void world_control_send(void *ctx, struct span message);
void world_ingress_open(void *ctx, const char *endpoint);
void world_ingress_send(void *ctx, struct frame *frame);

/* actors.c */
extern const struct client_handler actor_handler;
void actor_act(struct actor *a);
void actor_lost(struct actor *a); /* forget what its program held */
const char *sim_queue_name(unsigned queue);

/* checks.c */
struct fact *check_published(struct sim *s, struct actor *a, unsigned queue, uint64_t batch, uint32_t index);
void check_outcome(struct sim *s, struct fact *f, const struct client_outcome *o, uint32_t offset);
struct fact *check_handed_over(struct sim *s, const struct client_delivery *d, unsigned queue);
void check_settled(struct sim *s, struct fact *f, enum settle_result result);
void check_step(struct sim *s);
void check_end(struct sim *s);

#endif

/* The simulator: the real core and the real client protocol in one simulated world, driven by one seed.
 *
 *   world.c        time, randomness, steps, and the end of all faults
 *   net.c          connections and what happens to them; carries out the effects of clients and broker
 *   broker.c       the broker: its configuration, starts, stops and crashes
 *   storing.c      its disk and its log: slow, full, broken; checks what a start finds
 *   disk.c         the simulated disk (disk_files.c: as the log sees it)
 *   clients.c      the clients' processes: start, freeze, death
 *   publishing.c   what their programs do: publish,
 *   consuming.c      consume and settle,
 *   operating.c      operate on queues,
 *   keeping.c        keep subscriptions,
 *   anything.c       make any call, in worlds where anything goes
 *   keys.c         which events have which key; checks each key's order
 *   timing.c       draws delays and expiries, and checks them
 *   facts.c        checks from outside: what publishers were told and consumers were given
 *   remembering.c  checks what the broker knows of failures
 *   checks.c       checks inside the broker after each step, and at the end
 *   books.c        checks the queues' ledgers at the end
 *   main.c         seeds, replay, mutations */
#ifndef SLUICE_SIM_H
#define SLUICE_SIM_H

#include "broker/core/state.h"
#include "broker/store/ranges.h"
#include "clients/core/client.h"

#include "base/mutation.h"
#include "tests/sim/disk.h"

#define SIM_CLIENTS  5u
#define SIM_QUEUES   3u /* at most: sim.queues */
#define SIM_RECEIPTS 32u
#define SIM_KEYS     5u /* key 0: none */
#define SIM_TOPIC    "all"
#define SIM_STARTS   16u
#define SIM_RUNS     24u /* runs of the broker; more than starts, as a failing disk ends some */
#define MS           INT64_C(1000000)

/* ------------------------------------------------------------------ the network */

/* A message in transit. */
struct parcel {
    int64_t arrives;
    struct frame *frame; /* on data pipes */
    struct buf bytes;    /* on control pipes */
    struct parcel *next;
};

/* One direction of a connection: first in, first out, until a fault happens to it. */
struct pipe {
    struct parcel *head, *tail;
    bool deaf; /* half open: everything sent is lost */
    int64_t stalled_until;
    int64_t last; /* arrival of the newest parcel: none overtakes it */
    struct pipe *next;
};

struct lane {
    uint32_t number;
    unsigned client;
    struct pipe *pipe; /* NULL: what is sent is lost */
};

/* ------------------------------------------------------------------ observations */

/* One lifetime of a queue: from its declaration or a start of the broker to its deletion or the broker's end. */
struct life {
    uint64_t incarnation;
    uint32_t queue_id;
    uint64_t newest_epoch; /* the newest epoch under which an event was handed over */
    uint64_t acks;         /* confirmed ones */
    /* By way (queue, topic), producer and key: the newest event that was delivered for the first time. */
    uint64_t newest_first[2][64][SIM_KEYS];
    uint64_t newest_fence[SIM_KEYS]; /* by key: the newest fencing token under which an event was handed over */
};

/* An event, as its publisher and its consumers saw it. */
struct fact {
    uint64_t id;
    unsigned queue;    /* where it is, as far as is known */
    unsigned origin;   /* where it was published; differs from `queue` once it was delivered as a dead letter */
    uint64_t producer; /* the client instance */
    uint64_t order;    /* its number per producer and queue (or topic) */
    unsigned key;      /* 0: none, or its queue does not use keys */
    uint32_t batch_index;
    bool by_topic;          /* it was published to the topic, … */
    unsigned way;           /* … which sends it to the first queue and these others: a bit for each */
    struct fact *sibling;   /* the same event in another queue, a ring; NULL: none */
    struct fact *twin;      /* the first event of the same source and id; NULL: this is the first */
    bool duplicate;         /* it was confirmed as a duplicate */
    uint64_t kept, kept_by; /* of a first one: as which sequence it or a twin was accepted, in which run; 0: none */
    bool sent;              /* it was on the wire, under this producer id and `number` */
    struct token sent_as;
    uint64_t sent_in; /* in which of its publisher's sessions it was sent last, counted from 1 */
    uint64_t number;
    unsigned outcomes;
    enum reason reason;
    uint64_t sequence; /* as it was confirmed or delivered; 0: not yet */
    uint64_t incarnation;
    int64_t published, deadline; /* `deadline`: until when the publisher waits */
    bool delayed;
    int64_t not_before_ms, expires_ms; /* wall clock; 0: none, or not known */
    uint32_t flight_attempt;           /* of the newest delivery that the broker began … */
    uint64_t flight_run;               /* … and in which run of the broker */
    unsigned handed_over;
    struct life *life; /* of the newest delivery handed over, as the next five */
    uint64_t epoch;
    uint32_t attempt;
    uint64_t delivery;
    bool released;       /* it was released: it does not count */
    bool release_asked;  /* its release was requested, so that it may not count */
    bool acked;          /* its ack was confirmed, … */
    uint64_t acked_by;   /* … by this run of the broker */
    bool ack_asked;      /* somebody acked it; the broker may have heard */
    bool dropped;        /* its consumer dropped it, and it was dead then, or held back for lack of room, … */
    uint64_t dropped_by; /* … in this run of the broker; 0: not */
};

/* A delivery, as its receipt identifies it. */
struct receipt_seen {
    char text[200];
    struct fact *fact;
    unsigned queue;
    struct life *life;
    uint64_t epoch;
    uint64_t delivery;
    uint64_t acked_at; /* life->acks when its ack by receipt was confirmed; 0: it was not */
};

/* ------------------------------------------------------------------ clients */

struct held { /* an event that a program is working on */
    struct receipt_seen seen;
    unsigned queue;
    int64_t until;
};

struct publish { /* a publish in flight; the client's cookie */
    struct actor *actor;
    size_t first; /* index of its first fact. To a topic: `count` facts of the first queue, then those of the others */
    uint32_t count;
    bool topic;
};

struct asked { /* a settlement whose answer is awaited */
    struct receipt_seen seen;
    uint64_t request; /* 0: by number */
    unsigned queue;
    enum settle_kind kind;
    const struct life *newer; /* of a newer delivery of the event, handed over before the request; NULL: none */
};

struct actor {
    struct sim *sim;
    unsigned index;
    uint64_t instance;
    struct client *client; /* NULL while dead */
    struct token producer; /* as of its newest attach */
    int64_t next_action, reborn, frozen_until;
    int64_t disturbed;                    /* when a fault last kept it from the broker */
    struct pipe *to_broker, *from_broker; /* newest first */
    struct pipe control_out, control_in;
    bool consuming[SIM_QUEUES];
    uint64_t orders[SIM_QUEUES + 1]; /* the numbers of its newest events; the last element: to the topic */
    struct held held[64];
    size_t held_count;
    struct asked *asked;
    size_t asked_count, asked_capacity;
};

/* ------------------------------------------------------------------ the world */

/* What happens in this seed's world besides ordinary faults. Kept in one place, because the checks depend on it. */
struct scenario {
    bool purges, deletes, restarts; /* events may vanish for these reasons */
    bool lowers;                    /* programs lower their credit */
    bool tight;                     /* the broker's budget runs out */
    bool repeats;                   /* programs publish events of the same source and id again */
    bool delays;                    /* events are delayed, and expire */
    bool dies;                      /* events that fail often die; else they are redelivered for ever */
    bool redrives;                  /* … and dead events are redriven or purged */
    bool topics;       /* programs also publish to a topic that is bound to three queues, two with a filter */
    bool dead_letters; /* the second queue is the first one's dead-letter queue */
    bool expiries;     /* expired events die (dead_letter_expired) */
    /* Queues come and go with whatever settings, and programs make every call there is. Then nothing can be predicted
     * from outside, and only what holds within the broker is checked (sim_wrong). */
    bool anything;
    bool drops;                              /* the first queue has drop_oldest, with dead_letter_dropped */
    bool long_leases;                        /* no lease ends while its events are in transit */
    bool disk;                               /* the broker has one, and some queues are on it; it is … */
    bool slow_disk, full_disk, failing_disk; /* … for a while */
    bool cramped;                            /* … always as small as a log can work with */
    bool repairs;                            /* … and its log goes through a repair before some of the starts */
    bool in_step; /* messages arrive, and leases end, at whole beats, so that they meet in one turn */
    bool pinched; /* most of the first queue, on disk, is stalled, and there is hardly memory to spill it */
};

enum broker_end {
    END_NONE,
    END_KILLED,  /* the process */
    END_CRASHED, /* the machine */
    END_FAILED,  /* by itself: the disk failed */
    END_STOPPED, /* in order */
};

/* A subscription that a program put into the broker. */
#define SIM_KEPT 64u
struct kept {
    uint64_t broker; /* the run of the broker when it was put */
    bool put_answered, end_asked;
};

struct sim {
    uint64_t seed, random;
    int64_t now, calm_at, end_at, wall_offset_ms;
    int64_t wall_most_ms;       /* the latest time that the wall clock ever showed */
    int64_t not_before_most_ms; /* the latest not-before time of any event */
    bool calm;                  /* no more faults: everything must drain */
    bool trace, failed;
    char failure[400];
    struct scenario scenario;
    unsigned queues; /* number of queues */
    uint64_t steps, handed_over;
    uint64_t carried;  /* groups that the log carried, as no segment had room; of earlier runs */
    uint64_t restless; /* successive steps after which the broker wanted the next one at once */

    struct core_config config;
    struct core *core;
    struct store *store;
    uint8_t receipt_keys[SIM_RUNS][16]; /* by incarnation */
    uint64_t capacity[SIM_QUEUES], lease_ms[SIM_QUEUES];
    uint64_t ttl_ms[SIM_QUEUES], delay_ms[SIM_QUEUES];
    uint64_t backoff_ms[SIM_QUEUES], dead_capacity[SIM_QUEUES], tries[SIM_QUEUES];
    uint64_t partitions[SIM_QUEUES];
    bool ordered[SIM_QUEUES];  /* by key */
    bool stubborn[SIM_QUEUES]; /* events of one of its keys fail nearly always, with a long delay */
    /* Since when a consumer lacks events behind others that are stalled (0: none does), and how far the queue had been
     * looked at then. */
    int64_t still_since[SIM_QUEUES];
    uint64_t still_at[SIM_QUEUES];
    uint64_t over[SIM_QUEUES];        /* events above the capacity, because settled ones came back at a start */
    int64_t roomy_since[SIM_QUEUES];  /* since when it has room and yet a publisher waits; 0: not so */
    int64_t topic_roomy_since;        /* the same for the topic and all its queues */
    int64_t doomed_since[SIM_QUEUES]; /* since when a queue in memory has doomed events and room for them; 0: not so */
    int64_t restarted;                /* when the broker was last restarted */
    enum broker_end end;              /* how it ends in this step */
    int64_t stops_at;                 /* during an orderly stop: when its farewell ends; 0: no stop */
    bool clean[SIM_RUNS];             /* by incarnation: it ended with an orderly stop */

    struct disk *disk; /* NULL: the broker has none */
    struct files *files;
    struct store *log;
    struct log_config log_config;
    bool on_disk[SIM_QUEUES];
    int64_t disk_due; /* the next operation's time */
    int64_t disk_stalled_until, disk_full_until;
    int64_t disk_disturbed; /* when a fault last kept the broker from its disk */

    int64_t cleared_at;    /* when the second queue's dead were last purged, … */
    struct ranges cleared; /* … and all that ever were purged */

    struct kept kept[SIM_KEPT];
    size_t kept_count;

    struct actor actors[SIM_CLIENTS];
    uint64_t instances;
    struct lane lanes[256];
    size_t lane_count;

    struct fact **facts;
    size_t fact_count, fact_capacity;
    struct publish **publishes;
    size_t publish_count, publish_capacity;
    struct life *lives[2048];
    size_t life_count;
    struct receipt_seen receipts[SIM_RECEIPTS]; /* some of those seen: other programs try them, late and twice */
};

/* world.c */
uint64_t sim_random(struct sim *s, uint64_t below);
bool sim_chance(struct sim *s, unsigned percent);
struct now sim_now(const struct sim *s);
void sim_fail(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same, except in a world where anything goes. */
void sim_wrong(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_trace(const struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool sim_run(uint64_t seed, bool trace, struct sim *out); /* true: all checks passed. Release with sim_free */
void sim_free(struct sim *s);
const char *sim_queue_name(unsigned queue);
unsigned sim_queue_index(const char *name);

/* net.c */
#define SIM_BEAT_MS 100
int64_t pipe_due(const struct pipe *p);
/* The next message that has arrived; NULL: none. parcel_free it. */
struct parcel *pipe_take(struct sim *s, struct pipe *p);
void parcel_free(struct parcel *p);
void pipe_empty(struct pipe *p);
void pipes_free(struct pipe **list);
int64_t pipes_due(const struct pipe *list);
void net_fault(struct sim *s, struct actor *a); /* a random fault of one of its connections */
void net_heal(struct actor *a);
bool net_disturbed(const struct sim *s, const struct actor *a);
void net_death(struct sim *s, struct actor *a); /* its process died: its sockets are gone */
void net_broker_death(struct sim *s);
/* Carries out the core's effects; only some of them if the broker crashes in this step. */
void net_perform(struct sim *s);
/* The clients' effects; ctx is their actor. */
void net_control_open(void *ctx);
void net_control_send(void *ctx, struct span message);
void net_ingress_open(void *ctx, const char *endpoint);
void net_ingress_send(void *ctx, struct frame *frame);

/* broker.c */
void broker_draw(struct sim *s); /* draws its configuration */
void broker_start(struct sim *s);
void broker_settings(struct sim *s, unsigned queue, struct queue_settings *out);
void broker_step(struct sim *s);
void broker_free(struct sim *s);

/* storing.c */
void storing_draw(struct sim *s);
void storing_fault(struct sim *s); /* a random fault of the disk */
void storing_heal(struct sim *s);
bool storing_disturbed(const struct sim *s);
bool storing_carries(const struct sim *s); /* the log carried groups in this run */
/* The number of groups carried since the broker's start, as the log counts them. */
uint64_t storing_carried(const struct sim *s);
void storing_step(struct sim *s); /* the disk executes the operations that are due */
void storing_wake(struct sim *s); /* the log may have submitted something */
int64_t storing_due(const struct sim *s);
int64_t storing_log_due(const struct sim *s); /* of the log alone */
bool storing_flush(struct sim *s);            /* true: the log has completions for the core already */
/* Opens the log; false: it did not open. *hopeless: although there was no fault. */
bool storing_open(struct sim *s, bool *hopeless);
/* The broker is gone; with `machine` so is the machine, and what was not synced may be lost. */
void storing_cut_off(struct sim *s, bool machine);
void storing_close(struct sim *s);
void storing_free(struct sim *s);
void storing_check_start(struct sim *s);                     /* checks what a start found */
uint64_t storing_dead_unseen(struct sim *s, unsigned queue); /* number of dead events that were never handed over */
bool storing_is_dead(struct sim *s, const struct fact *f);
/* A restart found that it has to die, and there was no room for it yet. */
bool storing_is_doomed_by_failure(struct sim *s, const struct fact *f);
/* Is the event in its queue, so that its ack, if there was one, was undone by a crash? */
bool storing_has_returned(struct sim *s, const struct fact *f);

/* clients.c */
void client_birth(struct actor *a);
void client_death(struct actor *a);
void client_freeze(struct actor *a);
void client_step(struct actor *a);
int64_t client_next(const struct actor *a);

/* publishing.c, consuming.c, operating.c: `*_lost` forgets what the program held when its process died. */
void publishing_act(struct actor *a);
/* Whether its producer has sent another event there under that number, and under the same producer id. */
bool publishing_number_is_taken(const struct sim *s, const struct actor *a, const struct fact *f, uint64_t number);
void publishing_outcome(void *ctx, void *cookie, uint32_t index, uint32_t count, const struct client_outcome *o);
void consuming_act(struct actor *a);
void consuming_settle_due(struct actor *a);
void consuming_lost(struct actor *a);
void consuming_turn(void *ctx, const char *queue, enum turn_state state, uint64_t epoch, bool contended,
                    enum reason reason);
void consuming_delivery(void *ctx, const struct client_delivery *d);
void consuming_idle(void *ctx, const char *queue, uint64_t generation);
void consuming_settled(void *ctx, const char *queue, uint64_t epoch, uint64_t first, uint64_t count,
                       enum settle_result result);
void consuming_receipt_settled(void *ctx, uint64_t request, enum settle_result result);
/* keeping.c: subscriptions */
void keeping_act(struct actor *a);
/* False: the call was not about one. */
bool keeping_replied(struct sim *s, const void *cookie, const struct reply *reply);
void keeping_check(struct sim *s);
/* remembering.c: what is known of failures */
void remembering_check(struct sim *s);
void operating_act(struct actor *a);
void operating_set_right(struct actor *a); /* in the calm: undoes pauses, closes and deletions */
/* In the calm: the operator now and then purges the dead events that fill a cramped disk. */
void operating_clear_dead(struct sim *s);
void operating_replied(void *ctx, void *cookie, const struct reply *reply);

/* anything.c */
void anything_draw(struct sim *s);
void anything_settings(struct sim *s, unsigned queue, struct queue_settings *out);
void anything_act(struct actor *a);
void anything_turn(struct sim *s); /* what else happens to the broker beside calls */
void anything_check_step(struct sim *s);
void anything_check_end(struct sim *s); /* nothing is left behind once everything drained */

/* keys.c */
#define SIM_EVENT_HEAD 40u      /* the most bytes of an event before its padding */
void keys_pinch(struct sim *s); /* makes the worlds of some seeds `pinched` */
void keys_draw(struct sim *s);  /* which queues have partitions, and which are ordered by key */
/* Writes the head of an event: its id, its key, and its way through the topic. Returns the size. */
size_t keys_put_event(const struct sim *s, const struct fact *f, uint8_t out[SIM_EVENT_HEAD]);
unsigned keys_of(const struct sim *s, unsigned queue, uint64_t id);
/* Checks a first delivery: it is in its producer's order, as far as its queue promises that. */
void keys_check_order(struct sim *s, const struct fact *f, struct life *life);
/* Checks any delivery: it is to the newest owner of the key, and no earlier event of the key is unsettled. */
void keys_check_delivery(struct sim *s, const struct fact *f, const struct client_delivery *d, struct life *life);
/* Checks the first delivery of an event in this run of the broker, when it begins: no event of its key that was
 * accepted before it is ready, and in a queue ordered by key none is in flight. */
void keys_check_began(struct sim *s, struct queue *q, uint64_t sequence, const struct item *item);
/* Checks that the partitions are shared evenly. */
void keys_check_shares(struct sim *s, const struct queue *q);
/* After each step: stalled events do not hold up others. */
void keys_check_progress(struct sim *s, struct queue *q);
/* The delay of the nack that the event gets now; 0: it is treated as others are. */
uint64_t keys_fails_for(struct sim *s, const struct fact *f);

/* facts.c */
bool fact_is_dead_letter(const struct fact *f);
struct fact *fact_published(struct sim *s, struct actor *a, unsigned queue, uint32_t batch_index);
/* `other` is the same event as `one`, which was sent to the topic. */
void fact_join(const struct sim *s, struct fact *one, struct fact *other);
void fact_sent(struct sim *s, struct actor *a, struct span event, uint64_t number);
void fact_outcome(struct sim *s, struct actor *a, struct fact *f, const struct client_outcome *o, uint32_t offset);
/* Checks and records a delivery; sets *seen. NULL: the delivery is to be ignored. */
struct fact *fact_handed_over(struct sim *s, struct actor *a, const struct client_delivery *d,
                              struct receipt_seen *seen);
void fact_settled(struct sim *s, const struct actor *a, struct asked *w, enum settle_result result);
/* The result of a successful settlement of that kind. */
enum settle_result asked_for(enum settle_kind kind);
bool fact_is_void(const struct receipt_seen *r); /* a newer delivery of the event was handed over */
void facts_free(struct sim *s);

/* timing.c */
void timing_draw(struct sim *s); /* draws the queues' settings */
/* Draws the event's terms; none: only its queue's apply. */
void timing_terms(struct sim *s, struct fact *f, bool none, struct client_terms *out);
void timing_check(struct sim *s);       /* after each step */
void timing_become_calm(struct sim *s); /* sets the wall clock so that nothing waits for long */
bool timing_may_have_expired(const struct sim *s, const struct fact *f);
bool timing_may_be_gone(const struct sim *s, const struct fact *f); /* expired, and not kept as a dead event */

/* books.c */
/* Number of events that the queue says it accepted, but no publisher was told of and no consumer was given. */
uint64_t books_never_seen(const struct sim *s, unsigned queue);
/* Number of events that moved to the dead-letter queue, as the first queue's ledger has it. */
uint64_t books_dead_letters_sent(const struct sim *s);
void books_check(struct sim *s); /* at the end */

/* checks.c */
void check_step(struct sim *s);
void check_end(struct sim *s);

#endif

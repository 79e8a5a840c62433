/* The simulator: the real core and the real client protocol in one simulated world, driven by one seed.
 *
 *   world.c       time, randomness, stepping, the end of faults
 *   net.c         pipes and what happens to them; the effects of clients and of the broker
 *   broker.c      the broker's life: its configuration, its start, its end and its next start
 *   storing.c     its disk and its log: slow, full, broken; what a start must find
 *   clients.c     the clients' processes: birth, stand-still, death
 *   publishing.c  what their programs do: publish,
 *   consuming.c     consume and settle,
 *   operating.c     operate on queues
 *   anything.c      call anything, in worlds where anything goes
 *   keys.c        which events have which key, and what must hold of each key
 *   timing.c      delays and expiries: drawn, and what must hold of them
 *   facts.c       what must hold, told from outside: by what publishers were told and consumers were given
 *   checks.c      what must hold inside the broker after each step, and at the end
 *   books.c       what the queues' books must say at the end
 *   main.c        seeds, replay, mutations */
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
#define SIM_KEYS     5u /* the first stands for none */
#define SIM_TOPIC    "all"
#define SIM_STARTS   16u
#define SIM_RUNS     24u /* a disk that fails may end some more */
#define MS           INT64_C(1000000)

/* ------------------------------------------------------------------ the network */

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
    bool deaf; /* half open: everything sent is lost */
    int64_t stalled_until;
    int64_t last; /* arrival of the newest parcel: none overtakes it */
    struct pipe *next;
};

struct lane {
    uint32_t number;
    unsigned client;
    struct pipe *pipe; /* NULL: it leads nowhere */
};

/* ------------------------------------------------------------------ what was seen */

/* One life of a queue: from its declaration or the broker's start to its deletion or the broker's end. */
struct life {
    uint64_t incarnation;
    uint32_t queue_id;
    uint64_t newest_epoch; /* an event was handed over under it */
    uint64_t acks;         /* confirmed */
    uint64_t
        newest_first[2][64]
                    [SIM_KEYS]; /* by way (a topic's?), producer and key: its newest event among first deliveries */
    uint64_t newest_fence[SIM_KEYS]; /* an event of that key was handed over under it */
};

/* An event as its publisher and its consumers saw it. */
struct fact {
    uint64_t id;
    unsigned queue;    /* where it is, as far as is known: … */
    unsigned origin;   /* … not where it was published, once it came as a dead letter */
    uint64_t producer; /* which client instance */
    uint64_t order;    /* of its publish, per producer and queue */
    unsigned key;      /* 0: it has none, or its queue does not look at keys */
    uint32_t batch_index;
    bool by_topic;          /* it went to the topic, … */
    unsigned way;           /* … which sends it to these queues, besides the first: bit by bit */
    struct fact *sibling;   /* the same event in another queue, in a ring; NULL: there is none */
    struct fact *twin;      /* the first event of the same source and id; NULL: there was none before it */
    bool duplicate;         /* it was confirmed as one */
    uint64_t kept, kept_by; /* of a first one: the sequence it, or a twin, was accepted as, and by which run; 0: none */
    bool sent;              /* it was on the wire, under this producer id and number */
    struct token sent_as;
    uint64_t sent_in; /* the newest of its publisher's sessions in which it was: how many had begun */
    uint64_t number;
    unsigned outcomes;
    enum reason reason;
    uint64_t sequence; /* confirmed or delivered as; 0: not yet */
    uint64_t incarnation;
    int64_t published, deadline; /* before the deadline the publisher waits */
    bool delayed;
    int64_t not_before_ms, expires_ms; /* wall clock; 0: none, or not known */
    uint32_t flight_attempt;           /* of the newest delivery that was seen to begin … */
    uint64_t flight_run;               /* … in that run of the broker */
    unsigned handed_over;
    struct life *life; /* of the newest delivery handed over: … */
    uint64_t epoch;
    uint32_t attempt;
    uint64_t delivery;
    bool released;       /* … and it went back uncounted, … */
    bool release_asked;  /* … or may have */
    bool acked;          /* its ack was confirmed … */
    uint64_t acked_by;   /* … by this run of the broker */
    bool ack_asked;      /* somebody acked it; the broker may have heard */
    bool dropped;        /* by its consumer, and seen dead or waiting for room among the dead … */
    uint64_t dropped_by; /* … in this run of the broker */
};

/* A delivery as its receipt tells it. */
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

struct held { /* an event a program is working on */
    struct receipt_seen seen;
    unsigned queue;
    int64_t until;
};

struct publish { /* a call in flight: the cookie */
    struct actor *actor;
    size_t first; /* index of its first fact; to a topic: behind `count` of the first queue come those of the others */
    uint32_t count;
    bool topic;
};

struct asked { /* a settlement whose answer is awaited */
    struct receipt_seen seen;
    uint64_t request; /* 0: by number */
    unsigned queue;
    enum settle_kind kind;
    const struct life *newer; /* of a newer delivery of the event that had been handed over before; NULL: none */
};

struct actor {
    struct sim *sim;
    unsigned index;
    uint64_t instance;
    struct client *client; /* NULL while dead */
    struct token producer; /* as its newest attach says */
    int64_t next_action, reborn, frozen_until;
    int64_t disturbed;                    /* when something last stood between it and the broker */
    struct pipe *to_broker, *from_broker; /* newest first */
    struct pipe control_out, control_in;
    bool consuming[SIM_QUEUES];
    uint64_t orders[SIM_QUEUES + 1]; /* the last: of what it publishes to the topic */
    struct held held[64];
    size_t held_count;
    struct asked *asked;
    size_t asked_count, asked_capacity;
};

/* ------------------------------------------------------------------ the world */

/* What this seed's world does besides ordinary faults. Said once, so that the checks know. */
struct mood {
    bool purges, deletes, restarts; /* events may vanish for a reason */
    bool lowers;                    /* programs lower their credit */
    bool tight;                     /* the broker's budget runs out */
    bool repeats;                   /* programs publish events of the same source and id again */
    bool delays;                    /* events are delayed, and expire */
    bool dies;                      /* events that fail often are dead; else they come again */
    bool redrives;                  /* … and what is dead is redriven, or purged */
    bool topics;                    /* programs publish to a topic over three queues, too, two of them with a filter */
    bool letters;                   /* the first queue's dead go to the second one */
    bool expiries;                  /* what expires goes where the dead go */
    bool
        anything; /* queues come and go with whatever settings, and programs make every call there is: what is told from outside
                      is no use then, and what holds within the broker is checked alone (sim_wrong) */
    bool drops;       /* the first queue drops its oldest when it is full, to where the dead go */
    bool long_leases; /* no lease ends while its events are on their way */
    bool disk;        /* the broker has one, and some queues are on it; it may be … */
    bool slow_disk, full_disk, failing_disk; /* … for a while */
    bool cramped;                            /* … and has the least that a log can do with, for good */
    bool repairs;                            /* … and its log is written anew by a repair before some of the starts */
    bool in_step; /* what is sent arrives at whole beats, as leases end: they meet in one turn */
    bool pinched; /* most of the first queue, on it, stands still, and there is hardly memory to spill that */
};

enum broker_end {
    END_NONE,
    END_KILLED,  /* the process */
    END_CRASHED, /* the machine */
    END_FAILED,  /* by itself: the disk failed */
    END_STOPPED, /* in order */
};

/* A subscription that somebody had the broker keep. */
#define SIM_KEPT 64u
struct kept {
    uint64_t broker; /* the run that was there when it was asked for */
    bool put_answered, end_asked;
};

struct sim {
    uint64_t seed, random;
    int64_t now, calm_at, end_at, wall_offset_ms;
    int64_t wall_most_ms;       /* the latest that the wall clock ever said */
    int64_t not_before_most_ms; /* the latest time that an event waits for */
    bool calm;                  /* faults are over: everything must drain */
    bool trace, failed;
    char failure[400];
    struct mood mood;
    unsigned queues; /* how many there are */
    uint64_t steps, handed_over;
    uint64_t carried;  /* groups that the log found no place for */
    uint64_t restless; /* steps in a row after which the broker wanted the next one at once */

    struct core_config config;
    struct core *core;
    struct store *store;
    uint8_t receipt_keys[SIM_RUNS][16]; /* by incarnation */
    uint64_t capacity[SIM_QUEUES], lease_ms[SIM_QUEUES];
    uint64_t ttl_ms[SIM_QUEUES], delay_ms[SIM_QUEUES];
    uint64_t backoff_ms[SIM_QUEUES], dead_capacity[SIM_QUEUES], tries[SIM_QUEUES];
    uint64_t partitions[SIM_QUEUES];
    bool ordered[SIM_QUEUES];         /* by key */
    bool stubborn[SIM_QUEUES];        /* one of its keys fails nearly always, and for long */
    int64_t still_since[SIM_QUEUES];  /* somebody lacks what is behind others that stand still, … */
    uint64_t still_at[SIM_QUEUES];    /* … and nobody looked beyond this */
    uint64_t over[SIM_QUEUES];        /* events beyond the capacity, because settled ones came back at a start */
    int64_t roomy_since[SIM_QUEUES];  /* a queue on disk has room and yet somebody waits; 0: no */
    int64_t topic_roomy_since;        /* the same of the topic and all its queues */
    int64_t doomed_since[SIM_QUEUES]; /* a queue in memory has room for its dead and yet keeps what expired; 0: no */
    int64_t restarted;                /* when the broker last came up again */
    enum broker_end end;              /* it ends in this step */
    int64_t stops_at;                 /* an orderly stop is under way: its farewell ends then; 0: none */
    bool clean[SIM_RUNS];             /* by incarnation: it ended in order */

    struct disk *disk; /* NULL: the broker has none */
    struct files *files;
    struct store *log;
    struct log_config log_config;
    bool on_disk[SIM_QUEUES];
    int64_t disk_due; /* the next operation's time */
    int64_t disk_stalled_until, disk_full_until;
    int64_t disk_disturbed; /* when something last stood between the broker and its disk */

    int64_t cleared_at;    /* when the second queue's dead were purged last … */
    struct ranges cleared; /* … and all that ever were */

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
    struct receipt_seen receipts[SIM_RECEIPTS]; /* some of those seen: others try them, late and twice */
};

/* world.c */
uint64_t sim_random(struct sim *s, uint64_t below);
bool sim_chance(struct sim *s, unsigned percent);
struct now sim_now(const struct sim *s);
void sim_fail(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same where the world is as its mood says; not where anything goes. */
void sim_wrong(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_trace(const struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool sim_run(uint64_t seed, bool trace, struct sim *out); /* true: everything held. Release with sim_free */
void sim_free(struct sim *s);
const char *sim_queue_name(unsigned queue);
unsigned sim_queue_index(const char *name);

/* net.c */
#define SIM_BEAT_MS 100
int64_t pipe_due(const struct pipe *p);
struct parcel *pipe_take(struct sim *s, struct pipe *p); /* what has arrived; NULL: nothing. parcel_free it */
void parcel_free(struct parcel *p);
void pipe_empty(struct pipe *p);
void pipes_free(struct pipe **list);
int64_t pipes_due(const struct pipe *list);
void net_fault(struct sim *s, struct actor *a); /* something happens to one of its connections */
void net_heal(struct actor *a);
bool net_disturbed(const struct sim *s, const struct actor *a);
void net_death(struct sim *s, struct actor *a); /* its sockets are gone */
void net_broker_death(struct sim *s);
void net_perform(struct sim *s); /* the core's effects; when the broker crashes now, some of them */
/* The clients' effects; ctx is their actor. */
void net_control_open(void *ctx);
void net_control_send(void *ctx, struct span message);
void net_ingress_open(void *ctx, const char *endpoint);
void net_ingress_send(void *ctx, struct frame *frame);

/* broker.c */
void broker_draw(struct sim *s); /* its configuration */
void broker_start(struct sim *s);
void broker_settings(struct sim *s, unsigned queue, struct queue_settings *out);
void broker_step(struct sim *s);
void broker_free(struct sim *s);

/* storing.c */
void storing_draw(struct sim *s);
void storing_fault(struct sim *s); /* something happens to the disk */
void storing_heal(struct sim *s);
bool storing_disturbed(const struct sim *s);
bool storing_carries(const struct sim *s);     /* in this run the log had something that is in no segment */
uint64_t storing_carried(const struct sim *s); /* how many groups were since the broker's start, as the log says */
void storing_step(struct sim *s);              /* the disk executes what is due */
void storing_wake(struct sim *s);              /* the log may have submitted something */
int64_t storing_due(const struct sim *s);
int64_t storing_log_due(const struct sim *s);     /* the log alone */
bool storing_flush(struct sim *s);                /* true: the log has something for the core already */
bool storing_open(struct sim *s, bool *hopeless); /* the core's log; false: it did not open */
void storing_cut_off(struct sim *s,
                     bool machine); /* the broker is gone; with `machine` what was not synced may be lost */
void storing_close(struct sim *s);
void storing_free(struct sim *s);
void storing_check_start(struct sim *s);                     /* what a start must find */
uint64_t storing_dead_unseen(struct sim *s, unsigned queue); /* dead events that nobody was ever given */
bool storing_is_dead(struct sim *s, const struct fact *f);
/* A restart found that it is to be dead, and there is no room for that yet. */
bool storing_is_doomed_by_failure(struct sim *s, const struct fact *f);
/* Was the event's ack undone by a crash? */
bool storing_has_returned(struct sim *s, const struct fact *f);

/* clients.c */
void client_birth(struct actor *a);
void client_death(struct actor *a);
void client_freeze(struct actor *a);
void client_step(struct actor *a);
int64_t client_next(const struct actor *a);

/* publishing.c, consuming.c, operating.c: `*_lost` forget what the program of a dead process held. */
void publishing_act(struct actor *a);
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
void operating_set_right(struct actor *a); /* in the calm nothing stays paused, closed or deleted */
/* In the calm whoever runs the broker has the dead go that fill a cramped disk, now and then. */
void operating_clear_dead(struct sim *s);
void operating_replied(void *ctx, void *cookie, const struct reply *reply);

/* anything.c */
void anything_draw(struct sim *s);
void anything_settings(struct sim *s, unsigned queue, struct queue_settings *out);
void anything_act(struct actor *a);
void anything_turn(struct sim *s); /* what befalls the broker beside calls */
void anything_check_step(struct sim *s);
void anything_check_end(struct sim *s); /* nothing is left of what drained */

/* keys.c */
#define SIM_EVENT_HEAD 40u      /* at most what an event has before its padding */
void keys_pinch(struct sim *s); /* the mood of some seeds */
void keys_draw(struct sim *s);  /* which queues have partitions, and which are ordered by key */
/* Writes the head of an event: its id, its key, and which way the topic sends it. Returns its size. */
size_t keys_put_event(const struct sim *s, const struct fact *f, uint8_t out[SIM_EVENT_HEAD]);
unsigned keys_of(const struct sim *s, unsigned queue, uint64_t id);
/* A first delivery: in the order of its producer, as far as its queue promises one. */
void keys_check_order(struct sim *s, const struct fact *f, struct life *life);
/* Any delivery: by the newest who has the key, and while no earlier event of it is unsettled. */
void keys_check_delivery(struct sim *s, const struct fact *f, const struct client_delivery *d, struct life *life);
/* A delivery begins, the first of its event in this run of the broker: of its key nothing that was accepted before is ready, and
 * where the queue says so nothing is in flight. */
void keys_check_began(struct sim *s, struct queue *q, uint64_t sequence, const struct item *item);
void keys_check_shares(struct sim *s, const struct queue *q);
/* After each step: what stands still holds up nobody else. */
void keys_check_progress(struct sim *s, struct queue *q);
/* How long the event fails now; 0: as others do. */
uint64_t keys_fails_for(struct sim *s, const struct fact *f);

/* facts.c */
bool fact_is_letter(const struct fact *f);
struct fact *fact_published(struct sim *s, struct actor *a, unsigned queue, uint32_t batch_index);
/* `other` is the same event as `one`, which was sent to the topic. */
void fact_join(const struct sim *s, struct fact *one, struct fact *other);
void fact_sent(struct sim *s, struct actor *a, struct span event, uint64_t number);
void fact_outcome(struct sim *s, struct actor *a, struct fact *f, const struct client_outcome *o, uint32_t offset);
/* NULL when the delivery is wrong in itself; *seen is what its receipt says. */
struct fact *fact_handed_over(struct sim *s, struct actor *a, const struct client_delivery *d,
                              struct receipt_seen *seen);
void fact_settled(struct sim *s, const struct actor *a, struct asked *w, enum settle_result result);
/* The answer that a settlement of that kind has when it settled. */
enum settle_result asked_for(enum settle_kind kind);
bool fact_is_void(const struct receipt_seen *r); /* a newer delivery of its event was handed over */
void facts_free(struct sim *s);

/* timing.c */
void timing_draw(struct sim *s);                                                       /* of the queues */
void timing_terms(struct sim *s, struct fact *f, bool none, struct client_terms *out); /* none: the queue's only */
void timing_check(struct sim *s);                                                      /* after each step */
void timing_become_calm(struct sim *s);                                                /* whatever waits is due */
bool timing_may_have_expired(const struct sim *s, const struct fact *f);
bool timing_may_be_gone(const struct sim *s, const struct fact *f); /* for that, and is not kept */

/* books.c */
/* Events that the queue says it accepted, and nobody was told of or given. */
uint64_t books_never_seen(const struct sim *s, unsigned queue);
/* What the first queue's books say died to where its dead go. */
uint64_t books_letters_sent(const struct sim *s);
void books_check(struct sim *s); /* at the end */

/* checks.c */
void check_step(struct sim *s);
void check_end(struct sim *s);

#endif

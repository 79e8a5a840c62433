/* What sidecar.c (the loop), jobs.c (requests and their answers) and state.c (health, metrics) share. */
#ifndef SLUICE_SIDECAR_PRIV_H
#define SLUICE_SIDECAR_PRIV_H

#include "base/heap_trim.h"
#include "base/log.h"
#include "sidecar/http/server.h"
#include "sidecar/link/uplink.h"
#include "sidecar/metrics.h"
#include "sidecar/push/push.h"
#include "sidecar/sidecar.h"

/* A request on its way; lives in the exchange's arena. */
struct job {
    struct sidecar *sidecar;
    struct exchange *exchange;
    struct arena *arena;
    struct api_command command;
    mono_t started;
    bool attached;       /* when its call was made: the broker may have got it */
    bool waiting;        /* for the broker or for the drain's end */
    struct buf receipts; /* of a take's events, each with its NUL: they go back when the answer cannot be written */
    struct job *next_draining;
    bool changing;         /* a subscription: what the broker has is known, and the change is on its way */
    struct stream *stream; /* NULL: it is none */
    /* of /metrics, while the broker's part is collected */
    struct buf text;
    struct queue_collection *queues;
    struct topic_collection *topics;
};

/* What is known of the subscriptions that the broker keeps for this application. */
struct kept {
    bool known, attached;
    uint64_t revision;
    mono_t next; /* when it is asked again; MONO_NEVER: it is being asked */
};

struct sidecar {
    const struct sidecar_options *options;
    struct api_config api;
    struct http_server *http;
    struct uplink *uplink;
    struct push *push;
    struct metrics *metrics;
    struct queue_metrics *queue_metrics;
    struct job *draining;
    struct job poll; /* asks the broker which subscriptions there are */
    struct kept kept;
    struct stream *streams;
    uint64_t streamed_events;
    mono_t drain_end;
    bool drain_ended; /* all was settled, or its limit passed */
    mono_t started;
    struct heap_trim heap;
    struct now now;
    bool busy; /* the uplink has something to do that it was not asked for this turn: another turn follows at once */
    uint64_t random_counter;
    uint8_t random_key[32];
    int epoll_fd, control_fd, inbox_fd;
};

extern const struct http_handler jobs_http;
extern const struct uplink_handler jobs_uplink;
/* Answers with that response, which passes to the callee, and counts it. */
void job_answer(struct job *j, struct api_response *response);
/* The same with an answer that goes on. */
void job_stream(struct job *j, struct api_response *head);
/* May the broker have got its call? It was there when that was made, or came since: calls are held while it is away. */
bool job_may_have_reached(const struct job *j);
/* What it is refused for: where that is `unavailable`, the answer will say why no broker is reached. */
void job_explain_refusal(struct job *j, enum reason reason);
/* Refuses what only the broker knows, when nobody was reached, before or since: calls are held while away (client_call). */
void job_refuse_away(struct job *j, struct api_response *r);
/* How long those are held, which may be about to end: a person is waiting. */
#define AWAY_TIMEOUT_MS 2000

/* drain.c: takes and pushes end, acks and publishing go on, until all is settled or drain_limit is over */
void drain_begin(struct sidecar *s);
/* A job that is answered at its end, and begins it; one that does not wait any more. */
void drain_join(struct job *j);
void drain_leave(struct sidecar *s, const struct job *j);
/* Answers one that has left with what there is. */
void drain_give_up(struct job *j);
/* Once a loop turn. */
void drain_tick(struct sidecar *s);
mono_t drain_due(const struct sidecar *s);
/* A line in the log: that, and what is still waited for, if anything is. */
void drain_log(const struct sidecar *s, enum log_level level, const char *what);

/* subscriptions.c: calls about these */
void subscriptions_answer(struct job *j);
void subscriptions_replied(struct job *j, const struct reply *reply);
/* Once a loop turn: keeps what is run here as the broker has it. */
void subscriptions_tick(struct sidecar *s);
mono_t subscriptions_due(const struct sidecar *s);

/* streams.c */
void stream_open(struct job *j);
/* More of its text, as http_handler.fill says. */
int64_t stream_fill(struct job *j, uint8_t *to, size_t room);
/* Its connection has ended; `sent`: whole, by us. */
void stream_closed(struct job *j, bool sent);
/* Ends it, and tells its client why. False: it was not answered yet. */
bool stream_end(struct job *j, enum reason reason);
/* Answers one that has not begun, and does not. */
void stream_refuse(struct job *j, enum reason reason);
/* Once a loop turn. */
void streams_tick(struct sidecar *s);
mono_t streams_due(const struct sidecar *s);
/* Ends them all. */
void streams_drain(struct sidecar *s);
size_t streams_count(const struct sidecar *s);
void streams_write_metrics(const struct sidecar *s, struct buf *out);

/* state.c */
void state_answer(struct job *j);
/* A control reply of a job of state.c's (metrics). */
void state_replied(struct job *j, const struct reply *reply);

#endif

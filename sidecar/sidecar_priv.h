/* Shared by sidecar.c (the event loop), jobs.c (requests and their answers), drain.c, state.c (health, metrics),
 * streams.c and subscriptions.c. Private to sidecar/. */
#ifndef SLUICE_SIDECAR_PRIV_H
#define SLUICE_SIDECAR_PRIV_H

#include "base/heap_trim.h"
#include "base/io_thread.h"
#include "base/log.h"
#include "base/one_thread.h"
#include "sidecar/http/server.h"
#include "sidecar/link/uplink.h"
#include "sidecar/metrics.h"
#include "sidecar/push/push.h"
#include "sidecar/sidecar.h"

/* A request that is being answered; lives in the exchange's arena. */
struct job {
    struct sidecar *sidecar;
    struct exchange *exchange;
    struct arena *arena;
    struct api_command command;
    mono_t started;
    bool attached;       /* there was a session when its call was made, so the broker may have received it */
    bool waiting;        /* for the broker, or for the end of the drain */
    struct buf receipts; /* of a take's events, each terminated by NUL: released if the answer cannot be written */
    struct job *next_draining;
    bool changing;         /* a subscription: the present one is known, and the change has been sent */
    struct stream *stream; /* NULL: not a stream */
    /* for /metrics, while the broker's part is collected */
    struct buf text;
    struct queue_collection *queues;
    struct topic_collection *topics;
};

/* The broker stores the application's subscriptions: what this sidecar knows of them. */
struct kept {
    bool known, attached;
    uint64_t revision; /* of the list, as last received */
    mono_t next;       /* when to ask again; MONO_NEVER: asking now */
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
    struct job poll; /* asks the broker for the subscriptions */
    struct kept kept;
    struct stream *streams;
    uint64_t streamed_events;
    mono_t drain_end;
    bool drain_ended; /* all events were settled, or drain_limit is over */
    mono_t started;
    struct heap_trim heap;
    struct now now;
    bool busy; /* something came up after the uplink ran in this turn: run the next turn at once */
    uint64_t random_counter;
    uint8_t random_key[32];
    struct io_guest guest; /* its fds, in the order of sidecar.c, are what the sidecar waits for … */
    int epoll_fd;          /* … and this waits for them on a thread of its own */
    bool stop;             /* stop_fd is readable */
    struct one_thread threads;
    int io_thread;
};

extern const struct http_handler jobs_http;
extern const struct uplink_handler jobs_uplink;
/* Answers the job, and counts the request in the metrics. The response's body passes to the callee. */
void job_answer(struct job *j, struct api_response *response);
/* Likewise, with a stream. */
void job_stream(struct job *j, struct api_response *head);
/* May the broker have received the job's call? True if there was a session when the call was made or there is one now:
 * while there is none, calls are held (client_call). */
bool job_may_have_reached(const struct job *j);
/* Call before the job is refused for `reason`: if that is REASON_unavailable, the answer will say why there is no
 * session. */
void job_explain_refusal(struct job *j, enum reason reason);
/* Renders the refusal of a call for which job_may_have_reached is false. */
void job_refuse_away(struct job *j, struct api_response *r);
/* How long a call is held while there is no session: it may come up at any moment, but a person may be waiting for the
 * answer. */
#define AWAY_TIMEOUT_MS 2000

/* drain.c: takes and pushes end; acks and publishes go on, until all events are settled or drain_limit is over */
void drain_begin(struct sidecar *s);
/* Begins a drain, if none is running, and answers the job when it ends. */
void drain_join(struct job *j);
/* The job no longer waits for the end of the drain. */
void drain_leave(struct sidecar *s, const struct job *j);
/* Answers a job that has left with the present state. */
void drain_give_up(struct job *j);
/* Once a loop turn. */
void drain_tick(struct sidecar *s);
mono_t drain_due(const struct sidecar *s);
/* Logs `what`, with the number of events that are still unsettled or undecided, if there are any. */
void drain_log(const struct sidecar *s, enum log_level level, const char *what);

/* subscriptions.c: requests about subscriptions, and their replies from the broker */
void subscriptions_answer(struct job *j);
void subscriptions_replied(struct job *j, const struct reply *reply);
/* Once a loop turn: polls the broker, so that this sidecar runs what the broker stores. */
void subscriptions_tick(struct sidecar *s);
mono_t subscriptions_due(const struct sidecar *s);

/* streams.c */
void stream_open(struct job *j);
/* The handler's `fill` for streams. */
int64_t stream_fill(struct job *j, uint8_t *to, size_t room);
/* The connection has ended; `sent`: the whole stream was written, and this side ended it. */
void stream_closed(struct job *j, bool sent);
/* Ends the stream and tells the client why. False if it has not begun. */
bool stream_end(struct job *j, enum reason reason);
/* Answers a stream that will not begin. */
void stream_refuse(struct job *j, enum reason reason);
/* Once a loop turn. */
void streams_tick(struct sidecar *s);
mono_t streams_due(const struct sidecar *s);
/* Ends all streams. */
void streams_drain(struct sidecar *s);
size_t streams_count(const struct sidecar *s);
void streams_write_metrics(const struct sidecar *s, struct buf *out);

/* state.c */
void state_answer(struct job *j);
/* The broker's reply to a call that state.c made (for /metrics). */
void state_replied(struct job *j, const struct reply *reply);

#endif

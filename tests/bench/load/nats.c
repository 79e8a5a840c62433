/* NATS, through libnats, whose threads call back. mode: core, which confirms nothing and loses what it cannot deliver;
 * or memory or file, a JetStream stream with that storage, work-queue retention and explicit acks. Its publish acks are
 * the confirms. */
#include "tests/bench/load/load.h"

#include <inttypes.h>
#include <nats/nats.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ACK_PENDING 8192
#define WAIT_MS         5000

struct adapter {
    struct load *load;
    const struct load_options *o;
    natsConnection *nats;
    jsCtx *js;
    natsSubscription *sub; /* for the events, or for the answers to a producer */
    char inbox[64];        /* "_INBOX.X."; a tag is added */
    bool core, consumer;
    uint64_t published, confirmed; /* mode core */
};

static bool fine(struct adapter *a, natsStatus status, const char *what)
{
    return status == NATS_OK || load_failed(a->load, "nats: %s: %s", what, natsStatus_GetText(status));
}

/* ------------------------------------------------------------------ publishing */

/* The subject of an answer ends in the tag. It contains a sequence if the stream accepted the event, otherwise an
 * error. */
static void on_answer(natsConnection *nats, natsSubscription *sub, natsMsg *msg, void *context)
{
    struct adapter *a = context;
    (void)nats, (void)sub;
    if (strstr(natsMsg_GetData(msg), "\"error\"") || natsMsg_IsNoResponders(msg))
        load_failed(a->load, "nats: not published: %s", natsMsg_GetData(msg));
    else
        load_confirmed(a->load, strtoull(natsMsg_GetSubject(msg) + strlen(a->inbox), NULL, 10));
    natsMsg_Destroy(msg);
}

static bool listen_for_answers(struct adapter *a)
{
    char all[sizeof a->inbox + 1];
    natsInbox *inbox = NULL;
    if (!fine(a, natsInbox_Create(&inbox), "inbox"))
        return false;
    snprintf(a->inbox, sizeof a->inbox, "%s.", inbox);
    snprintf(all, sizeof all, "%s*", a->inbox);
    natsInbox_Destroy(inbox);
    return fine(a, natsConnection_Subscribe(&a->sub, a->nats, all, on_answer, a), "subscribe");
}

bool adapter_publish(struct adapter *a, uint64_t tag, const void *data)
{
    char reply[sizeof a->inbox + 24];
    a->published = tag + 1;
    if (a->core)
        return natsConnection_Publish(a->nats, a->o->queue, data, (int)a->o->size) == NATS_OK;
    snprintf(reply, sizeof reply, "%s%" PRIu64, a->inbox, tag);
    return natsConnection_PublishRequest(a->nats, a->o->queue, reply, data, (int)a->o->size) == NATS_OK;
}

/* In mode core nobody confirms. With a window of one, an event counts once the server has seen it; otherwise once it is
 * sent. */
static bool confirm_core(struct adapter *a, int64_t until)
{
    if (a->confirmed == a->published)
        return load_sleep(until);
    if (a->o->window == 1 && natsConnection_FlushTimeout(a->nats, WAIT_MS) != NATS_OK)
        return false;
    for (uint64_t count = a->published - a->confirmed; count > 0; count--)
        load_confirmed(a->load, a->confirmed++);
    return true;
}

/* ------------------------------------------------------------------ consuming */

static void on_event(natsConnection *nats, natsSubscription *sub, natsMsg *msg, void *context)
{
    struct adapter *a = context;
    (void)nats, (void)sub;
    load_delivered(a->load, natsMsg_GetData(msg), (size_t)natsMsg_GetDataLength(msg));
    if (!a->core)
        natsMsg_Ack(msg, NULL);
    natsMsg_Destroy(msg);
}

static bool declare(struct adapter *a)
{
    jsStreamConfig config;
    const char *subjects[] = { a->o->queue };
    jsStreamConfig_Init(&config);
    config.Name = a->o->queue;
    config.Subjects = subjects;
    config.SubjectsLen = 1;
    config.Retention = js_WorkQueuePolicy;
    config.Storage = strcmp(a->o->mode, "file") == 0 ? js_FileStorage : js_MemoryStorage;
    natsStatus status = js_AddStream(NULL, a->js, &config, NULL, NULL);
    jsStreamInfo *info = NULL; /* a stream left by the previous run is fine */
    if (status != NATS_OK)
        status = js_GetStreamInfo(&info, a->js, a->o->queue, NULL, NULL);
    jsStreamInfo_Destroy(info);
    return fine(a, status, "declaring the stream");
}

bool adapter_consume(struct adapter *a)
{
    jsSubOptions options;
    if (a->core) {
        natsStatus s = natsConnection_Subscribe(&a->sub, a->nats, a->o->queue, on_event, a);
        return fine(a, s ? s : natsSubscription_SetPendingLimits(a->sub, -1, -1), "subscribe") &&
               fine(a, natsConnection_FlushTimeout(a->nats, WAIT_MS), "subscribe");
    }
    jsSubOptions_Init(&options);
    options.ManualAck = true;
    options.Config.Durable = "bench";
    options.Config.AckPolicy = js_AckExplicit;
    options.Config.MaxAckPending = MAX_ACK_PENDING;
    return fine(a, js_Subscribe(&a->sub, a->js, a->o->queue, on_event, a, NULL, &options, NULL), "subscribe");
}

/* ------------------------------------------------------------------ connecting and closing */

struct adapter *adapter_open(struct load *l, const struct load_options *o, bool consumer)
{
    char url[96];
    natsOptions *options = NULL;
    struct adapter *a = calloc(1, sizeof *a);
    *a = (struct adapter){ .load = l, .o = o, .consumer = consumer, .core = strcmp(o->mode, "core") == 0 };
    snprintf(url, sizeof url, "nats://%s", o->address);
    /* Published events are sent within a millisecond, or at once if the load waits for each event or has a rate. */
    bool open = fine(a, natsOptions_Create(&options), "options") && fine(a, natsOptions_SetURL(options, url), "url") &&
                fine(a, natsOptions_SetSendAsap(options, o->window == 1 || o->rate), "options") &&
                fine(a, natsConnection_Connect(&a->nats, options), "connect") &&
                fine(a, natsConnection_JetStream(&a->js, a->nats, NULL), "jetstream");
    natsOptions_Destroy(options);
    if (open && (a->core || (consumer ? declare(a) : listen_for_answers(a))))
        return a;
    adapter_close(a);
    return NULL;
}

bool adapter_turn(struct adapter *a, int64_t until)
{
    return a->core && !a->consumer ? confirm_core(a, until) : load_sleep(until);
}

void adapter_close(struct adapter *a)
{
    if (!a)
        return;
    if (a->nats)
        natsConnection_FlushTimeout(a->nats, WAIT_MS); /* the server reads the acks before it answers this */
    natsSubscription_Destroy(a->sub);
    jsCtx_Destroy(a->js);
    natsConnection_Destroy(a->nats);
    free(a);
}

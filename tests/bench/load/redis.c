/* Redis Streams, through hiredis: XADD, XREADGROUP with a group, XACK. Acked entries are trimmed (XTRIM), because XACK
 * alone leaves them in the stream for ever. Everything is pipelined. How durable a confirm is depends on the server's
 * settings. */
#include "tests/bench/load/load.h"

#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define GROUP      "bench"
#define BATCH      512
#define TRIM_EVERY 4096

struct adapter {
    struct load *load;
    const struct load_options *o;
    redisContext *redis;
    bool consumer;
    uint64_t confirmed;
    unsigned long sent, answered; /* XACKs and XTRIMs */
    unsigned long untrimmed;      /* events acked since the last XTRIM */
};

struct adapter *adapter_open(struct load *l, const struct load_options *o, bool consumer)
{
    char host[64];
    struct adapter *a = calloc(1, sizeof *a);
    int port = load_port(o->address, host);
    *a = (struct adapter){ .load = l, .o = o, .consumer = consumer, .redis = redisConnect(host, port) };
    if (!a->redis || a->redis->err) {
        load_failed(l, "redis: %s", a->redis ? a->redis->errstr : "no memory");
        free(a);
        return NULL;
    }
    if (consumer) /* a group that exists is fine */
        freeReplyObject(redisCommand(a->redis, "XGROUP CREATE %s %s 0 MKSTREAM", o->queue, GROUP));
    a->redis->flags &= ~REDIS_BLOCK;
    fcntl(a->redis->fd, F_SETFL, O_NONBLOCK);
    return a;
}

static void append(struct adapter *a, int count, const char **words, const size_t *sizes)
{
    redisAppendCommandArgv(a->redis, count, words, sizes);
}

bool adapter_publish(struct adapter *a, uint64_t tag, const void *data)
{
    const char *words[] = { "XADD", a->o->queue, "*", "d", data };
    const size_t sizes[] = { 4, strlen(a->o->queue), 1, 1, a->o->size };
    (void)tag;
    append(a, 5, words, sizes);
    return true;
}

static void ask(struct adapter *a)
{
    redisAppendCommand(a->redis, "XREADGROUP GROUP %s c COUNT %d BLOCK 0 STREAMS %s >", GROUP, BATCH, a->o->queue);
}

bool adapter_consume(struct adapter *a)
{
    ask(a);
    return true;
}

/* Delivers and acks the entries of one XREADGROUP. Each of `entries` is [id, [name, value]]. */
static void take(struct adapter *a, const redisReply *entries)
{
    const char *words[BATCH + 3] = { "XACK", a->o->queue, GROUP };
    size_t sizes[BATCH + 3] = { 4, strlen(a->o->queue), strlen(GROUP) }, count = 3;
    for (size_t i = 0; i < entries->elements && count < BATCH + 3; i++, count++) {
        const redisReply *id = entries->element[i]->element[0], *value = entries->element[i]->element[1]->element[1];
        load_delivered(a->load, value->str, (size_t)value->len);
        words[count] = id->str;
        sizes[count] = (size_t)id->len;
    }
    append(a, (int)count, words, sizes);
    a->sent++;
    a->untrimmed += entries->elements;
    if (a->untrimmed >= TRIM_EVERY) {
        redisAppendCommand(a->redis, "XTRIM %s MINID ~ %s", a->o->queue, words[count - 1]);
        a->sent++;
        a->untrimmed = 0;
    }
}

/* An answer to XADD is a string, to XACK and XTRIM a number, to XREADGROUP an array. */
static bool answer(struct adapter *a, const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_ERROR)
        return load_failed(a->load, "redis: %s", reply->str);
    if (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS) {
        load_confirmed(a->load, a->confirmed++);
    } else if (reply->type == REDIS_REPLY_ARRAY) {
        take(a, reply->element[0]->element[1]);
        ask(a);
    } else {
        a->answered++;
    }
    return true;
}

/* Writes as much as possible. *left says whether something is left. */
static bool flush(struct adapter *a, bool *left)
{
    int done = 0;
    bool fine = redisBufferWrite(a->redis, &done) == REDIS_OK;
    *left = !done;
    return fine;
}

bool adapter_turn(struct adapter *a, int64_t until)
{
    bool left;
    void *reply;
    if (!flush(a, &left))
        return false;
    if (!(load_poll(a->redis->fd, left, until) & POLLIN))
        return true;
    if (redisBufferRead(a->redis) != REDIS_OK)
        return false;
    while (redisGetReplyFromReader(a->redis, &reply) == REDIS_OK && reply) {
        bool fine = answer(a, reply);
        freeReplyObject(reply);
        if (!fine)
            return false;
    }
    return flush(a, &left);
}

void adapter_close(struct adapter *a)
{
    if (!a)
        return;
    int64_t until = load_now() + 5000000000;
    while (a->consumer && a->answered < a->sent && load_now() < until && adapter_turn(a, until))
        continue;
    redisFree(a->redis);
    free(a);
}

/* What peers say: attaching, and one frame after the other. */
#include "tests/broker/core/driver.h"

#include "base/xalloc.h"

#include <stdio.h>
#include <stdlib.h>

/* ------------------------------------------------------------------ attaching */

struct peer *peer_new(struct driver *d, const char *name)
{
    assert_true(d->peer_count < PEERS_MAX);
    struct peer *p = xcalloc(1, sizeof *p);
    p->driver = d;
    p->index = d->peer_count;
    p->producer = (struct token){ 100 + p->index, 1 };
    snprintf(p->name, sizeof p->name, "%s", name);
    snprintf(p->identity, sizeof p->identity, "ip:10.0.0.%u", p->index + 1);
    snprintf(p->inbox, sizeof p->inbox, "tcp://*:%u", 7001 + p->index);
    snprintf(p->endpoint, sizeof p->endpoint, "tcp://10.0.0.%u:%u", p->index + 1, 7001 + p->index);
    d->peers[d->peer_count++] = p;
    return p;
}

void request_attach(struct peer *p)
{
    struct driver *d = p->driver;
    struct request r = { .id = { 88, ++d->next_request }, .call = CALL_ATTACH, .queue = "" };
    r.u.attach.version = r.u.attach.least_version = PROTOCOL_VERSION;
    r.u.attach.name = p->name;
    r.u.attach.token = p->token;
    r.u.attach.received = p->received;
    r.u.attach.producer = p->producer;
    r.u.attach.producer_epoch = p->producer_epoch;
    r.u.attach.inbox = p->inbox;
    struct buf bytes = { 0 };
    struct route route = { .id = { (uint8_t)p->index }, .size = 1 };
    request_pack(&r, &bytes);
    core_control(d->core, buf_span(&bytes), &route, p->identity, d->now);
    buf_free(&bytes);
    turn(d);
}

/* Puts the header in front of `out` and hands the frame to the core. */
static void send(struct peer *p, uint64_t sequence)
{
    struct buf frame = { 0 };
    struct frame_header h = {
        .token = p->token,
        .epoch = p->epoch,
        .sequence = sequence,
        .received = p->received,
        .stamp = (uint32_t)(p->driver->now.mono.ns / MONO_MS),
    };
    frame_header_write(buf_reserve(&frame, FRAME_HEADER_SIZE), &h);
    frame.size = FRAME_HEADER_SIZE;
    buf_add(&frame, p->out.data, p->out.size);
    buf_clear(&p->out);
    core_frame(p->driver->core, buf_span(&frame), p->identity, p->driver->now);
    buf_free(&frame);
}

void echo(struct peer *p)
{
    frame_add_hello(&p->out, span_of(p->hello_id, sizeof p->hello_id), (struct span){ 0 });
    send(p, 0);
    turn(p->driver);
}

void attach(struct peer *p)
{
    request_attach(p);
    echo(p);
    assert_non_null(strstr(heard(p), "attached"));
    assert_true(is_attached(p));
}

struct peer *attached(struct driver *d, const char *name)
{
    struct peer *p = peer_new(d, name);
    attach(p);
    return p;
}

bool is_attached(const struct peer *p)
{
    const struct session *s = session_find(p->driver->core, p->token);
    return s && s->link.open;
}

/* ------------------------------------------------------------------ frames */

void push_only(struct peer *p)
{
    send(p, ++p->sent);
}

void push(struct peer *p)
{
    push_only(p);
    turn(p->driver);
}

void heartbeat(struct peer *p)
{
    struct buf kept = p->out;
    p->out = (struct buf){ 0 };
    send(p, p->sent + 1);
    p->out = kept;
}

struct known_queue *known(struct peer *p, const char *queue)
{
    for (unsigned i = 0; i < QUEUES_MAX; i++) {
        struct known_queue *k = &p->queues[i];
        if (k->name[0] == '\0') {
            snprintf(k->name, sizeof k->name, "%s", queue);
            k->next_publish = 1;
        }
        if (strcmp(k->name, queue) == 0)
            return k;
    }
    fail_msg("a peer knows at most %u queues", QUEUES_MAX);
    return NULL;
}

/* ------------------------------------------------------------------ publishing */

/* Behind '@': 16 bytes that stand for the id. */
static struct span hash_of(const char *word, size_t *size, uint8_t out[EVENT_HASH_SIZE])
{
    const char *at = memchr(word, '@', *size);
    if (!at)
        return (struct span){ 0 };
    size_t id = *size - (size_t)(at + 1 - word);
    assert_true(id > 0 && id <= EVENT_HASH_SIZE);
    memset(out, 0, EVENT_HASH_SIZE);
    memcpy(out, at + 1, id);
    *size = (size_t)(at - word);
    return span_of(out, EVENT_HASH_SIZE);
}

/* "id#key": a CloudEvent of that id and partitionkey; "id#": one without a key. */
static struct span cloud_event_of(const char *word, size_t size, const char *hash, struct buf *out)
{
    struct attribute key = { span_str("partitionkey"), ATTRIBUTE_STRING,
                             span_of(hash + 1, size - (size_t)(hash + 1 - word)) };
    struct event e = {
        span_of(word, (size_t)(hash - word)), span_str("/s"), span_str("t"), &key, key.text.size > 0, DATA_NONE, { 0 }
    };
    buf_clear(out);
    event_encode(&e, out);
    return buf_span(out);
}

/* Takes "~50", "^50" and "!50" off the word's end. */
static void take_terms(const struct peer *p, const char *word, size_t *size, struct entry *e)
{
    size_t text = *size;
    for (size_t i = 0; i < *size; i++) {
        if (!strchr("~^!", word[i]))
            continue;
        text = i < text ? i : text;
        int64_t ms = strtoll(word + i + 1, NULL, 10);
        e->delay_ms = word[i] == '~' ? (uint64_t)ms : e->delay_ms;
        e->not_before_ms = word[i] == '^' ? p->driver->now.wall.ms + ms : e->not_before_ms;
        e->expires_ms = word[i] == '!' ? p->driver->now.wall.ms + ms : e->expires_ms;
    }
    *size = text;
}

/* "text" or "text:SIZE", padded with dots. */
static struct span event_of(const char *word, size_t size, struct buf *out)
{
    const char *hash = memchr(word, '#', size);
    if (hash)
        return cloud_event_of(word, size, hash, out);
    const char *colon = memchr(word, ':', size);
    size_t text = colon ? (size_t)(colon - word) : size, total = text;
    if (colon)
        total = strtoul(colon + 1, NULL, 10);
    assert_true(total >= text);
    buf_clear(out);
    memset(buf_reserve(out, total + 1), '.', total);
    memcpy(out->data, word, text);
    out->size = total;
    return buf_span(out);
}

void add_publish(struct peer *p, const char *queue, uint64_t first, uint32_t wait_ms, const char *words)
{
    struct buf bytes = { 0 };
    struct open_body open = frame_begin_publish(&p->out, span_str(queue), first, wait_ms);
    uint64_t next = first;
    for (size_t size; (size = strcspn(words, " ")) > 0; words += size, words += strspn(words, " ")) {
        struct entry e = { .wait_ms = wait_ms, .continued = *words == '+' };
        uint8_t hash[EVENT_HASH_SIZE];
        size_t word = size - e.continued;
        take_terms(p, words + e.continued, &word, &e);
        e.dedup = hash_of(words + e.continued, &word, hash);
        e.event = event_of(words + e.continued, word, &bytes);
        frame_add_entry(&p->out, &e, wait_ms);
        next++;
    }
    frame_end(&p->out, open);
    buf_free(&bytes);
    if (known(p, queue)->next_publish < next)
        known(p, queue)->next_publish = next;
}

void publish_from(struct peer *p, const char *queue, uint64_t first, uint32_t wait_ms, const char *words)
{
    add_publish(p, queue, first, wait_ms, words);
    push(p);
}

void publish(struct peer *p, const char *queue, uint32_t wait_ms, const char *words)
{
    publish_from(p, queue, known(p, queue)->next_publish, wait_ms, words);
}

void give_up(struct peer *p, const char *queue, uint64_t first, uint64_t count)
{
    struct known_queue *k = known(p, queue);
    frame_add_skip(&p->out, span_str(queue), first, count);
    push(p);
    if (k->next_publish < first + count)
        k->next_publish = first + count;
}

void seen(struct peer *p, const char *queue, uint64_t through)
{
    frame_add_seen(&p->out, span_str(queue), through);
    push(p);
}

/* ------------------------------------------------------------------ consuming */

void consume(struct peer *p, const char *queue)
{
    struct known_queue *k = known(p, queue);
    k->generation = 0;
    frame_add_consume(&p->out, span_str(queue), ++k->consumption);
    push(p);
}

void leave(struct peer *p, const char *queue)
{
    frame_add_leave(&p->out, span_str(queue));
    push(p);
}

void bye(struct peer *p)
{
    frame_add_bye(&p->out);
    push(p);
}

void credit(struct peer *p, const char *queue, uint64_t limit)
{
    frame_add_credit(&p->out, span_str(queue), ++known(p, queue)->generation, limit);
    push(p);
}

void settle(struct peer *p, const char *queue, enum settle_kind kind, uint64_t first, uint64_t count, uint64_t ms)
{
    struct open_body open = frame_begin_ack(&p->out, span_str(queue), known(p, queue)->consumer_epoch);
    frame_add_settle(&p->out, &(struct settle){ .kind = kind, .first = first, .count = count, .ms = ms });
    frame_end(&p->out, open);
    push(p);
}

void ack(struct peer *p, const char *queue, uint64_t first, uint64_t count)
{
    settle(p, queue, SETTLE_ACK, first, count, 0);
}

void settle_by(struct peer *p, uint64_t request, enum settle_kind kind, const char *receipt, uint64_t ms)
{
    frame_add_receipt_ack(&p->out, &(struct receipt_ack){ request, ms, kind, span_str(receipt), 0, { 0 } });
    push(p);
}

struct peer *mixed(struct driver *d)
{
    struct peer *p = attached(d, "p");
    declare(d, "orders", "");
    publish(p, "orders", 0, "one two three four five six");
    consume(p, "orders");
    credit(p, "orders", 4);
    ack(p, "orders", 4, 1);
    settle(p, "orders", SETTLE_NACK, 3, 1, 5000);
    heard(p);
    return p;
}

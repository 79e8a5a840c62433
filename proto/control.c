/* Control messages by protobuf-c's generated code, which only proto/control*.c uses: requests here, replies in
 * control_reply.c. Unpacking allocates from the caller's capped arena, which bounds what a small hostile message can
 * expand to. */
#include "proto/control_priv.h"

#include "base/utf8.h"

#include <stdlib.h>

static void *arena_take(void *arena, size_t size)
{
    return arena_alloc(arena, size);
}

static void arena_leave(void *arena, void *p)
{
    (void)arena; /* the arena is freed as a whole */
    (void)p;
}

ProtobufCAllocator control_allocator(struct arena *arena)
{
    return (ProtobufCAllocator){ arena_take, arena_leave, arena };
}

void control_token_write(struct token t, uint8_t out[16])
{
    wire_store64(out, t.high);
    wire_store64(out + 8, t.low);
}

bool control_token_read(const ProtobufCBinaryData *bytes, struct token *out)
{
    *out = (struct token){ 0 };
    if (bytes->len == 0)
        return true;
    if (bytes->len != 16)
        return false;
    *out = (struct token){ wire_load64(bytes->data), wire_load64(bytes->data + 8) };
    return true;
}

static bool is_text(struct span s)
{
    return utf8_valid(s) && (s.size == 0 || !memchr(s.data, 0, s.size));
}

bool control_texts_valid(const ProtobufCMessageDescriptor *type, struct span bytes)
{
    struct wire_reader r = wire_open(bytes);
    while (!wire_done(&r)) {
        struct wire_field f;
        if (!wire_next(&r, &f))
            return false;
        const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(type, f.tag);
        if (!field || f.type != WIRE_BYTES)
            continue;
        if (field->type == PROTOBUF_C_TYPE_STRING && !is_text(f.bytes))
            return false;
        if (field->type == PROTOBUF_C_TYPE_MESSAGE && !control_texts_valid(field->descriptor, f.bytes))
            return false;
    }
    return true;
}

char *control_borrow(const char *text)
{
    return text ? (char *)(uintptr_t)text : (char *)(uintptr_t) "";
}

void control_pack(const ProtobufCMessage *m, struct buf *out)
{
    size_t size = protobuf_c_message_get_packed_size(m);
    protobuf_c_message_pack(m, buf_reserve(out, size));
    out->size += size;
}

/* ------------------------------------------------------------------ packing */

static void pack_attach(const struct request *r, Sluice__V1__Request *m, struct buf *out)
{
    Sluice__V1__Attach a = SLUICE__V1__ATTACH__INIT;
    uint8_t producer[16];
    control_token_write(r->u.attach.producer, producer);
    a.version = r->u.attach.version;
    a.least_version = r->u.attach.least_version;
    a.features = r->u.attach.features;
    a.name = control_borrow(r->u.attach.name);
    a.token_high = r->u.attach.token.high;
    a.token_low = r->u.attach.token.low;
    a.received = r->u.attach.received;
    a.producer = (ProtobufCBinaryData){ sizeof producer, producer };
    a.inbox = control_borrow(r->u.attach.inbox);
    a.producer_epoch = r->u.attach.producer_epoch;
    a.n_destinations = r->u.attach.destination_count;
    a.destinations = (char **)(uintptr_t)r->u.attach.destinations;
    m->call_case = SLUICE__V1__REQUEST__CALL_ATTACH;
    m->attach = &a;
    control_pack(&m->base, out);
}

static void pack_declare(const struct request *r, Sluice__V1__Request *m, struct buf *out)
{
    Sluice__V1__Declare d = SLUICE__V1__DECLARE__INIT;
    Sluice__V1__QueueSettings settings;
    control_settings_write(&r->u.declare.settings, &settings);
    d.queue = control_borrow(r->queue);
    d.settings = &settings;
    d.only_create = r->u.declare.only_create;
    m->call_case = SLUICE__V1__REQUEST__CALL_DECLARE;
    m->declare = &d;
    control_pack(&m->base, out);
}

static void pack_list(const struct request *r, Sluice__V1__Request *m, struct buf *out)
{
    Sluice__V1__List l = SLUICE__V1__LIST__INIT;
    l.prefix = control_borrow(r->u.list.prefix);
    l.after = control_borrow(r->u.list.after);
    l.limit = r->u.list.limit;
    m->call_case = SLUICE__V1__REQUEST__CALL_LIST;
    m->list = &l;
    control_pack(&m->base, out);
}

static void pack_delete(const struct request *r, Sluice__V1__Request *m, struct buf *out)
{
    Sluice__V1__Delete d = SLUICE__V1__DELETE__INIT;
    d.queue = control_borrow(r->queue);
    d.force = r->u.delete_.force;
    m->call_case = SLUICE__V1__REQUEST__CALL_DELETE_QUEUE;
    m->delete_queue = &d;
    control_pack(&m->base, out);
}

static void pack_peek(const struct request *r, Sluice__V1__Request *m, struct buf *out)
{
    Sluice__V1__Peek p = SLUICE__V1__PEEK__INIT;
    p.queue = control_borrow(r->queue);
    p.state = r->u.peek.state;
    p.from = r->u.peek.from;
    p.max = r->u.peek.max;
    p.max_bytes = r->u.peek.max_bytes;
    m->call_case = SLUICE__V1__REQUEST__CALL_PEEK;
    m->peek = &p;
    control_pack(&m->base, out);
}

static void pack_purge(const struct request *r, Sluice__V1__Request *m, struct buf *out)
{
    Sluice__V1__Purge p = SLUICE__V1__PURGE__INIT;
    p.queue = control_borrow(r->queue);
    p.state = r->u.purge.dead ? STATE_DEAD : 0;
    m->call_case = SLUICE__V1__REQUEST__CALL_PURGE;
    m->purge = &p;
    control_pack(&m->base, out);
}

static void pack_redrive(const struct request *r, Sluice__V1__Request *m, struct buf *out)
{
    Sluice__V1__Redrive d = SLUICE__V1__REDRIVE__INIT;
    d.queue = control_borrow(r->queue);
    d.sequences = (uint64_t *)(uintptr_t)r->u.redrive.sequences;
    d.n_sequences = r->u.redrive.count;
    d.to = control_borrow(r->u.redrive.to);
    d.dry_run = r->u.redrive.dry_run;
    d.filter = (ProtobufCBinaryData){ r->u.redrive.filter.size, (uint8_t *)(uintptr_t)r->u.redrive.filter.data };
    d.reason = r->u.redrive.reason;
    d.rate = r->u.redrive.rate;
    d.stop = r->u.redrive.stop;
    m->call_case = SLUICE__V1__REQUEST__CALL_REDRIVE;
    m->redrive = &d;
    control_pack(&m->base, out);
}

static void pack_cancel(const struct request *r, Sluice__V1__Request *m, struct buf *out)
{
    Sluice__V1__Cancel x = SLUICE__V1__CANCEL__INIT;
    x.queue = control_borrow(r->queue);
    x.sequence = r->u.cancel.sequence;
    m->call_case = SLUICE__V1__REQUEST__CALL_CANCEL;
    m->cancel = &x;
    control_pack(&m->base, out);
}

/* The calls with only a queue's name. */
static const struct {
    enum call call;
    Sluice__V1__Request__CallCase member;
} named_calls[] = {
    { CALL_DESCRIBE, SLUICE__V1__REQUEST__CALL_DESCRIBE }, { CALL_PAUSE, SLUICE__V1__REQUEST__CALL_PAUSE },
    { CALL_RESUME, SLUICE__V1__REQUEST__CALL_RESUME },     { CALL_CLOSE, SLUICE__V1__REQUEST__CALL_CLOSE },
    { CALL_OPEN, SLUICE__V1__REQUEST__CALL_OPEN },
};
#define NAMED_CALLS (sizeof named_calls / sizeof *named_calls)

static void pack_named(const struct request *r, Sluice__V1__Request *m, struct buf *out)
{
    Sluice__V1__Named n = SLUICE__V1__NAMED__INIT;
    n.queue = control_borrow(r->queue);
    for (size_t i = 0; i < NAMED_CALLS; i++) {
        if (named_calls[i].call == r->call)
            m->call_case = named_calls[i].member;
    }
    m->describe = &n; /* the members of the oneof share memory */
    control_pack(&m->base, out);
}

void request_pack(const struct request *r, struct buf *out)
{
    Sluice__V1__Request m = SLUICE__V1__REQUEST__INIT;
    Sluice__V1__Ping ping = SLUICE__V1__PING__INIT;
    Sluice__V1__BrokerCall broker = SLUICE__V1__BROKER_CALL__INIT;
    uint8_t id[16];
    control_token_write(r->id, id);
    m.id = (ProtobufCBinaryData){ sizeof id, id };
    switch (r->call) {
    case CALL_ATTACH: pack_attach(r, &m, out); return;
    case CALL_DECLARE: pack_declare(r, &m, out); return;
    case CALL_LIST: pack_list(r, &m, out); return;
    case CALL_DELETE: pack_delete(r, &m, out); return;
    case CALL_PEEK: pack_peek(r, &m, out); return;
    case CALL_PURGE: pack_purge(r, &m, out); return;
    case CALL_REDRIVE: pack_redrive(r, &m, out); return;
    case CALL_EXPLAIN: control_explain_pack_request(r, &m, out); return;
    case CALL_PUT_TOPIC:
    case CALL_DESCRIBE_TOPIC:
    case CALL_LIST_TOPICS:
    case CALL_DELETE_TOPIC:
    case CALL_BIND:
    case CALL_UNBIND: control_topic_pack_request(r, &m, out); return;
    case CALL_PUT_SUBSCRIPTION:
    case CALL_DELETE_SUBSCRIPTION:
    case CALL_SUBSCRIPTIONS: control_pack_subscription(r, &m, out); return;
    case CALL_CANCEL: pack_cancel(r, &m, out); return;
    case CALL_PING:
        m.call_case = SLUICE__V1__REQUEST__CALL_PING;
        m.ping = &ping;
        break;
    case CALL_BROKER:
        m.call_case = SLUICE__V1__REQUEST__CALL_BROKER;
        m.broker = &broker;
        break;
    case CALL_NONE: break;
    default: pack_named(r, &m, out); return;
    }
    control_pack(&m.base, out);
}

/* ------------------------------------------------------------------ unpacking */

static bool read_attach(const Sluice__V1__Attach *a, struct request *out)
{
    out->call = CALL_ATTACH;
    out->u.attach.version = a->version;
    out->u.attach.least_version = a->least_version;
    out->u.attach.features = a->features;
    out->u.attach.name = a->name;
    out->u.attach.token = (struct token){ a->token_high, a->token_low };
    out->u.attach.received = a->received;
    out->u.attach.producer_epoch = a->producer_epoch;
    out->u.attach.inbox = a->inbox;
    out->u.attach.destinations = (const char *const *)a->destinations;
    out->u.attach.destination_count = a->n_destinations;
    return a->n_destinations <= ATTACH_DESTINATIONS_MAX && control_token_read(&a->producer, &out->u.attach.producer);
}

static void read_named(const Sluice__V1__Request *m, struct request *out)
{
    for (size_t i = 0; i < NAMED_CALLS; i++) {
        if (named_calls[i].member != m->call_case)
            continue;
        out->call = named_calls[i].call;
        out->queue = m->describe->queue;
    }
}

static bool read_redrive(const Sluice__V1__Redrive *m, struct request *out)
{
    out->call = CALL_REDRIVE;
    out->queue = m->queue;
    out->u.redrive.sequences = m->sequences;
    out->u.redrive.count = m->n_sequences;
    out->u.redrive.to = m->to;
    out->u.redrive.dry_run = m->dry_run != 0;
    out->u.redrive.filter = span_of(m->filter.data, m->filter.len);
    out->u.redrive.reason = m->reason;
    out->u.redrive.rate = m->rate;
    out->u.redrive.stop = m->stop != 0;
    return m->n_sequences <= REDRIVE_SEQUENCES_MAX && m->reason <= DEAD_LAST && m->rate <= REDRIVE_RATE_MAX;
}

static bool read_call(const Sluice__V1__Request *m, struct request *out)
{
    switch (m->call_case) {
    case SLUICE__V1__REQUEST__CALL_ATTACH: return read_attach(m->attach, out);
    case SLUICE__V1__REQUEST__CALL_PING: out->call = CALL_PING; return true;
    case SLUICE__V1__REQUEST__CALL_BROKER: out->call = CALL_BROKER; return true;
    case SLUICE__V1__REQUEST__CALL_DECLARE:
        out->call = CALL_DECLARE;
        out->queue = m->declare->queue;
        out->u.declare.only_create = m->declare->only_create != 0;
        control_settings_read(m->declare->settings, &out->u.declare.settings);
        return true;
    case SLUICE__V1__REQUEST__CALL_LIST:
        out->call = CALL_LIST;
        out->u.list.prefix = m->list->prefix;
        out->u.list.after = m->list->after;
        out->u.list.limit = m->list->limit;
        return true;
    case SLUICE__V1__REQUEST__CALL_DELETE_QUEUE:
        out->call = CALL_DELETE;
        out->queue = m->delete_queue->queue;
        out->u.delete_.force = m->delete_queue->force != 0;
        return true;
    case SLUICE__V1__REQUEST__CALL_PEEK:
        out->call = CALL_PEEK;
        out->queue = m->peek->queue;
        out->u.peek.state = m->peek->state <= STATE_DEAD ? (enum event_state)m->peek->state : STATE_READY;
        out->u.peek.from = m->peek->from;
        out->u.peek.max = m->peek->max;
        out->u.peek.max_bytes = m->peek->max_bytes;
        return m->peek->state <= STATE_DEAD;
    case SLUICE__V1__REQUEST__CALL_PURGE:
        out->call = CALL_PURGE;
        out->queue = m->purge->queue;
        out->u.purge.dead = m->purge->state == STATE_DEAD;
        return m->purge->state == 0 || m->purge->state == STATE_DEAD;
    case SLUICE__V1__REQUEST__CALL_EXPLAIN:
        out->call = CALL_EXPLAIN;
        out->queue = m->explain->queue;
        out->u.explain.sequence = m->explain->sequence;
        return true;
    case SLUICE__V1__REQUEST__CALL_CANCEL:
        out->call = CALL_CANCEL;
        out->queue = m->cancel->queue;
        out->u.cancel.sequence = m->cancel->sequence;
        return true;
    case SLUICE__V1__REQUEST__CALL_REDRIVE: return read_redrive(m->redrive, out);
    case SLUICE__V1__REQUEST__CALL_PUT_SUBSCRIPTION:
    case SLUICE__V1__REQUEST__CALL_DELETE_SUBSCRIPTION:
    case SLUICE__V1__REQUEST__CALL_SUBSCRIPTIONS: return control_read_subscription(m, out);
    default:
        if (!control_topic_read_request(m, out))
            read_named(m, out);
        return true;
    }
}

bool request_unpack(struct span bytes, struct arena *arena, struct request *out)
{
    ProtobufCAllocator allocator = control_allocator(arena);
    *out = (struct request){ .queue = "", .topic = "" };
    if (!control_texts_valid(&sluice__v1__request__descriptor, bytes))
        return false;
    Sluice__V1__Request *m = sluice__v1__request__unpack(&allocator, bytes.size, bytes.data);
    return m && control_token_read(&m->id, &out->id) && read_call(m, out);
}

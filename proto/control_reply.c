/* Packs and unpacks replies: dispatches by kind, and handles the small ones itself. */
#include "proto/control_priv.h"

/* ------------------------------------------------------------------ packing */

static void pack_broker(const struct reply *r, Sluice__V1__Reply *m, struct buf *out)
{
    Sluice__V1__BrokerInfo b = SLUICE__V1__BROKER_INFO__INIT;
    Sluice__V1__Ledger ledger;
    const struct broker_info *i = &r->u.broker;
    control_ledger_write(&i->ledger, &ledger);
    b.version = control_borrow(i->version);
    b.uptime_ms = i->uptime_ms;
    b.incarnation = i->incarnation;
    b.sessions = i->sessions;
    b.queues = i->queues;
    b.memory_used = i->memory_used;
    b.memory_budget = i->memory_budget;
    b.ledger = &ledger;
    b.frames_in = i->frames_in;
    b.frames_out = i->frames_out;
    b.resent = i->resent;
    b.rejected = i->rejected;
    b.rejected_bytes = i->rejected_bytes;
    b.ingress_rebinds = i->rebinds;
    b.denied = i->denied;
    b.sessions_ended = i->sessions_ended;
    b.disk_used = i->disk_used;
    b.disk_budget = i->disk_budget;
    b.disk_written = i->disk_written;
    b.disk_syncs = i->disk_syncs;
    b.disk_carried_groups = i->disk_carried_groups;
    b.disk_full = i->disk_full;
    b.cpu_ns = i->usage.cpu_ns;
    b.resident_bytes = i->usage.resident_bytes;
    b.open_fds = i->usage.open_fds;
    b.max_fds = i->usage.max_fds;
    m->result_case = SLUICE__V1__REPLY__RESULT_BROKER;
    m->broker = &b;
    control_pack(&m->base, out);
}

static void pack_small(const struct reply *r, Sluice__V1__Reply *m, struct buf *out)
{
    Sluice__V1__Pong pong = SLUICE__V1__PONG__INIT;
    Sluice__V1__Purged purged = SLUICE__V1__PURGED__INIT;
    Sluice__V1__Redriven redriven = SLUICE__V1__REDRIVEN__INIT;
    Sluice__V1__Cancelled cancelled = SLUICE__V1__CANCELLED__INIT;
    if (r->result == RESULT_PONG) {
        pong.version = control_borrow(r->u.pong.version);
        pong.uptime_ms = r->u.pong.uptime_ms;
        m->result_case = SLUICE__V1__REPLY__RESULT_PONG;
        m->pong = &pong;
    } else if (r->result == RESULT_PURGED) {
        purged.purged = r->u.purged.purged;
        m->result_case = SLUICE__V1__REPLY__RESULT_PURGED;
        m->purged = &purged;
    } else if (r->result == RESULT_REDRIVEN) {
        redriven.redriven = r->u.redriven.redriven;
        redriven.left = r->u.redriven.left;
        redriven.running = r->u.redriven.running;
        m->result_case = SLUICE__V1__REPLY__RESULT_REDRIVEN;
        m->redriven = &redriven;
    } else if (r->result == RESULT_CANCELLED) {
        m->result_case = SLUICE__V1__REPLY__RESULT_CANCELLED;
        m->cancelled = &cancelled;
    }
    control_pack(&m->base, out);
}

void reply_pack(const struct reply *r, struct buf *out)
{
    Sluice__V1__Reply m = SLUICE__V1__REPLY__INIT;
    uint8_t id[16];
    control_token_write(r->id, id);
    m.id = (ProtobufCBinaryData){ sizeof id, id };
    m.reason = r->reason;
    m.detail = control_borrow(r->detail);
    switch (r->result) {
    case RESULT_ATTACHED: control_pack_attached(r, &m, out); break;
    case RESULT_QUEUE: control_pack_queue(r, &m, out); break;
    case RESULT_LIST: control_pack_queues(r, &m, out); break;
    case RESULT_PEEKED: control_pack_peeked(r, &m, out); break;
    case RESULT_BROKER: pack_broker(r, &m, out); break;
    case RESULT_EXPLAINED: control_explain_pack_reply(r, &m, out); break;
    case RESULT_TOPIC:
    case RESULT_TOPICS: control_topic_pack_reply(r, &m, out); break;
    case RESULT_SUBSCRIPTIONS: control_pack_subscriptions(r, &m, out); break;
    default: pack_small(r, &m, out);
    }
}

/* ------------------------------------------------------------------ unpacking */

static void read_broker(const Sluice__V1__BrokerInfo *m, struct reply *out)
{
    out->result = RESULT_BROKER;
    out->u.broker = (struct broker_info){
        .version = m->version,
        .uptime_ms = m->uptime_ms,
        .incarnation = m->incarnation,
        .sessions = m->sessions,
        .queues = m->queues,
        .memory_used = m->memory_used,
        .memory_budget = m->memory_budget,
        .frames_in = m->frames_in,
        .frames_out = m->frames_out,
        .resent = m->resent,
        .rejected = m->rejected,
        .rejected_bytes = m->rejected_bytes,
        .rebinds = m->ingress_rebinds,
        .denied = m->denied,
        .sessions_ended = m->sessions_ended,
        .disk_used = m->disk_used,
        .disk_budget = m->disk_budget,
        .disk_written = m->disk_written,
        .disk_syncs = m->disk_syncs,
        .disk_carried_groups = m->disk_carried_groups,
        .disk_full = m->disk_full,
        .usage = { m->cpu_ns, m->resident_bytes, m->open_fds, m->max_fds },
    };
    control_ledger_read(m->ledger, &out->u.broker.ledger);
}

static bool read_result(const Sluice__V1__Reply *m, struct arena *arena, struct reply *out)
{
    switch (m->result_case) {
    case SLUICE__V1__REPLY__RESULT_ATTACHED: return control_read_attached(m->attached, arena, out);
    case SLUICE__V1__REPLY__RESULT_PONG:
        out->result = RESULT_PONG;
        out->u.pong.version = m->pong->version;
        out->u.pong.uptime_ms = m->pong->uptime_ms;
        return true;
    case SLUICE__V1__REPLY__RESULT_QUEUE: return control_read_queue(m->queue, arena, out);
    case SLUICE__V1__REPLY__RESULT_LIST: return control_read_queues(m->list, arena, out);
    case SLUICE__V1__REPLY__RESULT_PEEKED: return control_read_peeked(m->peeked, arena, out);
    case SLUICE__V1__REPLY__RESULT_PURGED:
        out->result = RESULT_PURGED;
        out->u.purged.purged = m->purged->purged;
        return true;
    case SLUICE__V1__REPLY__RESULT_CANCELLED: out->result = RESULT_CANCELLED; return true;
    case SLUICE__V1__REPLY__RESULT_REDRIVEN:
        out->result = RESULT_REDRIVEN;
        out->u.redriven.redriven = m->redriven->redriven;
        out->u.redriven.left = m->redriven->left;
        out->u.redriven.running = m->redriven->running != 0;
        return true;
    case SLUICE__V1__REPLY__RESULT_SUBSCRIPTIONS: return control_read_subscriptions(m->subscriptions, arena, out);
    case SLUICE__V1__REPLY__RESULT_BROKER: read_broker(m->broker, out); return true;
    case SLUICE__V1__REPLY__RESULT_EXPLAINED: return control_explain_read_reply(m, out);
    case SLUICE__V1__REPLY__RESULT_TOPIC:
    case SLUICE__V1__REPLY__RESULT_TOPICS: return control_topic_read_reply(m, arena, out);
    default: return true;
    }
}

bool reply_unpack(struct span bytes, struct arena *arena, struct reply *out)
{
    ProtobufCAllocator allocator = control_allocator(arena);
    *out = (struct reply){ .detail = "" };
    if (!control_texts_valid(&sluice__v1__reply__descriptor, bytes))
        return false;
    Sluice__V1__Reply *m = sluice__v1__reply__unpack(&allocator, bytes.size, bytes.data);
    if (!m || !control_token_read(&m->id, &out->id))
        return false;
    out->reason = (enum reason)m->reason;
    out->detail = m->detail;
    return read_result(m, arena, out);
}

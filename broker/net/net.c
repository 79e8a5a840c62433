/* Waits for the sockets, and carries out the core's effects. */
#include "base/clock.h"
#include "broker/net/net_state.h"

#include <limits.h>
#include <poll.h>
#include <zmq.h>

const char *net_control_endpoint(const struct net *n)
{
    return n->control_endpoint;
}

const char *net_ingress_endpoint(const struct net *n)
{
    return n->ingress_endpoint;
}

void net_fds(const struct net *n, int fds[NET_FDS])
{
    fds[0] = n->control_fd;
    fds[1] = n->ingress_fd;
    fds[2] = n->zap_fd;
}

void net_readable(struct net *n, unsigned fds)
{
    n->control_more |= fds & 1;
    n->ingress_more |= fds >> 1 & 1;
    n->zap_more |= fds >> 2 & 1;
}

mono_t net_due(const struct net *n, mono_t now)
{
    if (n->control_more || n->ingress_more || n->zap_more)
        return now;
    return n->ingress ? MONO_NEVER : mono_add_ms(now, REBIND_TRY_MS);
}

struct traffic net_traffic(const struct net *n)
{
    return n->traffic;
}

bool net_wait(struct net *n, mono_t until, int stop_fd, int disk_fd)
{
    struct pollfd polled[NET_FDS + 2];
    int fds[NET_FDS + 2] = { [NET_FDS] = stop_fd, disk_fd };
    unsigned readable = 0;
    mono_t now = clock_now().mono;
    net_fds(n, fds);
    for (unsigned i = 0; i < NET_FDS + 2; i++) /* poll ignores negative descriptors */
        polled[i] = (struct pollfd){ .fd = fds[i], .events = POLLIN };
    int64_t ms = mono_wait_ms(mono_min(until, net_due(n, now)), now);
    if (poll(polled, NET_FDS + 2, ms > INT_MAX ? INT_MAX : (int)ms) <= 0)
        return false;
    for (unsigned i = 0; i < NET_FDS; i++)
        readable |= polled[i].revents ? 1u << i : 0;
    net_readable(n, readable);
    return polled[NET_FDS].revents != 0;
}

static void reply(struct net *n, const struct effect *e)
{
    n->control_more = true;
    replies_send(n->replies, n->control, &e->route, buf_span(&e->bytes));
}

static void open_lane(struct net *n, struct core *core, const struct effect *e, struct now now)
{
    const char *why = "";
    if (!lanes_open(n->lanes, e->lane, e->endpoint, e->peer, &why))
        core_lane_failed(core, e->lane, REASON_inbox_unreachable, why, now);
}

void net_perform(struct net *n, struct core *core, struct now now)
{
    size_t count, done = 0;
    struct effect *effects = core_effects(core, &count);
    while (done < count) {
        struct effect e = effects[done];
        effects[done++].frame = NULL; /* its share passes to us */
        switch (e.kind) {
        case EFFECT_SEND:
            traffic_add(&n->traffic, e.frame->size);
            lanes_send(n->lanes, e.lane, e.frame);
            break;
        case EFFECT_LANE_OPEN:
            open_lane(n, core, &e, now);
            effects = core_effects(core, &count); /* core_lane_failed may have added effects */
            break;
        case EFFECT_LANE_CLOSE: lanes_close(n->lanes, e.lane); break;
        case EFFECT_INGRESS_REBIND: net_rebind_begin(n, now.mono); break;
        case EFFECT_REPLY: reply(n, &e); break;
        case EFFECT_LOG: log_text(e.level, "core", e.queue, e.session, e.message, e.text); break;
        }
    }
    core_effects_clear(core);
}

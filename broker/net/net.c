/* Waits for the sockets, and carries out the core's effects. */
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

bool net_wait(struct net *n, int64_t timeout_ms, int stop_fd, int disk_fd)
{
    struct pollfd fds[] = {
        /* poll ignores negative descriptors */
        { .fd = n->control_fd, .events = POLLIN }, { .fd = n->ingress_fd, .events = POLLIN },
        { .fd = n->zap_fd, .events = POLLIN },     { .fd = stop_fd, .events = POLLIN },
        { .fd = disk_fd, .events = POLLIN },
    };
    if (n->control_more || n->ingress_more || n->zap_more)
        timeout_ms = 0;
    else if (!n->ingress && (timeout_ms < 0 || timeout_ms > REBIND_TRY_MS))
        timeout_ms = REBIND_TRY_MS;
    if (poll(fds, sizeof fds / sizeof *fds, timeout_ms > INT_MAX ? INT_MAX : (int)timeout_ms) <= 0)
        return false;
    n->control_more |= fds[0].revents != 0;
    n->ingress_more |= fds[1].revents != 0;
    n->zap_more |= fds[2].revents != 0;
    return fds[3].revents != 0;
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
        case EFFECT_SEND: lanes_send(n->lanes, e.lane, e.frame); break;
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

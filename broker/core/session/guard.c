/* Guards against misbehaving peers. Every message that is rejected before it reaches a session is weighed in bytes,
 * over a window of ten seconds, against two thresholds:
 *
 *   garbage of one origin    what no client of this protocol ever sends. The origin is denied for a while, and its
 *                            sessions end. A key is one principal and is always denied. An address or a uid may be
 *                            shared by a whole node, so it is denied only while nobody is attached from there.
 *   everything, all origins  the ingress is bound again, to get rid of what libzmq holds of a flooder: libzmq cannot
 *                            drop one peer of a shared PULL. Every other client sends again, as after any loss.
 *
 * Frames that are only late (of an older epoch, or of a session that is gone) are not garbage: a restarted broker
 * gets megabytes of them from correct clients. The time between rebinds grows while a flood lasts, so that a flooder
 * who cannot be told apart slows others down but does not stop them. */
#include "broker/core/state.h"

#include "base/xalloc.h"

#include <stdio.h>
#include <stdlib.h>

#define WINDOW_MS         10000
#define DENIED_MS         30000
#define MESSAGE_COST      64u /* bytes that libzmq holds for even the smallest message */
#define IDLE_ORIGINS_MOST 1024u
#define REBIND_LEAST_MS   1000
#define REBIND_MOST_MS    4000
#define QUIET_MS          60000
#define PENDING_MOST      256u

static bool is_shared(const struct origin *o)
{
    return strncmp(o->name, "key:", 4) != 0;
}

static bool is_trusted(const char *peer)
{
    return strcmp(peer, "inproc") == 0;
}

static bool is_idle(const struct core *c, const struct origin *o)
{
    return o->sessions == 0 && o->denied_until.ns <= c->now.mono.ns &&
           (o->garbage == 0 || mono_since_ms(c->now.mono, o->since) >= WINDOW_MS);
}

static void forget(struct core *c, struct origin *o)
{
    HASH_DEL(c->origins, o);
    free(o);
}

/* Forgets idle origins if there are too many. At most once a second, so that a peer that changes its address with
 * every frame does not cause a walk over all origins with each. False: there are still too many. */
static bool make_room(struct core *c)
{
    if (HASH_COUNT(c->origins) < IDLE_ORIGINS_MOST + c->config.max_sessions)
        return true;
    if (mono_since_ms(c->now.mono, c->origins_swept) < 1000)
        return false;
    c->origins_swept = c->now.mono;
    struct origin *o, *next;
    HASH_ITER (hh, c->origins, o, next) {
        if (is_idle(c, o))
            forget(c, o);
    }
    return HASH_COUNT(c->origins) < IDLE_ORIGINS_MOST + c->config.max_sessions;
}

static struct origin *find(const struct core *c, const char *peer)
{
    struct origin *o = NULL;
    HASH_FIND_STR(c->origins, peer, o);
    return o;
}

static struct origin *find_or_add(struct core *c, const char *peer)
{
    struct origin *o = find(c, peer);
    if (o || !make_room(c))
        return o;
    o = xcalloc(1, sizeof *o);
    snprintf(o->name, sizeof o->name, "%s", peer);
    HASH_ADD_STR(c->origins, name, o);
    return o;
}

/* ------------------------------------------------------------------ sessions of an origin */

bool guard_admit_attach(struct core *c, struct session *s)
{
    uint32_t share = c->config.max_sessions / 8;
    uint32_t most = share < 8 ? 8 : share > PENDING_MOST ? PENDING_MOST : share;
    struct origin *o = find_or_add(c, s->peer);
    if (!o || (o->pending >= most && !is_trusted(s->peer)))
        return false;
    o->sessions++;
    o->pending++;
    s->origin = o;
    return true;
}

void guard_attached(struct session *s)
{
    if (s->proven)
        return;
    s->proven = true;
    s->origin->pending--;
}

void guard_ended(struct core *c, struct session *s)
{
    struct origin *o = s->origin;
    o->sessions--;
    if (!s->proven)
        o->pending--;
    if (is_idle(c, o))
        forget(c, o);
}

/* ------------------------------------------------------------------ denial */

static void end_sessions(struct core *c, const struct origin *o)
{
    struct session *s, *next;
    HASH_ITER (hh, c->sessions, s, next) {
        if (s->origin == o)
            session_end(c, s, "its key sends garbage", false);
    }
}

static void deny(struct core *c, struct origin *o)
{
    if (is_shared(o) && o->sessions > o->pending)
        return;
    o->denied_until = mono_add_ms(c->now.mono, DENIED_MS);
    c->denied++;
    core_log(c, LOG_WARN, NULL, NULL, "%s sent %llu bytes of garbage within %d s and is denied for %d s", o->name,
             (unsigned long long)o->garbage, WINDOW_MS / 1000, DENIED_MS / 1000);
    o->garbage = 0;
    end_sessions(c, o);
}

static void weigh_garbage(struct core *c, const char *peer, uint64_t cost)
{
    struct origin *o = find_or_add(c, peer);
    if (!o)
        return;
    if (o->garbage == 0 || mono_since_ms(c->now.mono, o->since) >= WINDOW_MS) {
        o->since = c->now.mono;
        o->garbage = 0;
    }
    o->garbage += cost;
    if (o->garbage >= c->config.flood_bytes && o->denied_until.ns <= c->now.mono.ns)
        deny(c, o);
}

bool core_admits(struct core *c, const char *peer, struct now now)
{
    const struct origin *o = find(c, peer);
    return !o || o->denied_until.ns <= now.mono.ns;
}

void core_revoke(struct core *c, bool (*allowed)(void *, const char *), void *ctx, struct now now)
{
    c->now = now;
    struct session *s, *next;
    HASH_ITER (hh, c->sessions, s, next) {
        if (!allowed(ctx, s->peer))
            session_end(c, s, "its key is no longer admitted", false);
    }
}

/* ------------------------------------------------------------------ the ingress */

static void rebind(struct core *c)
{
    struct flood *f = &c->flood;
    f->pause_ms = f->pause_ms == 0 ? REBIND_LEAST_MS : f->pause_ms * 2;
    if (f->pause_ms > REBIND_MOST_MS)
        f->pause_ms = REBIND_MOST_MS;
    f->rebound = c->now.mono;
    c->rebinds++;
    core_effect(c, EFFECT_INGRESS_REBIND);
    core_log(c, LOG_WARN, NULL, NULL,
             "%llu bytes of frames were refused within %d s: the ingress is bound again, and every client sends again",
             (unsigned long long)f->bytes, WINDOW_MS / 1000);
    f->bytes = 0;
}

static void weigh_ingress(struct core *c, uint64_t cost)
{
    struct flood *f = &c->flood;
    if (f->bytes == 0 || mono_since_ms(c->now.mono, f->since) >= WINDOW_MS) {
        f->since = c->now.mono;
        f->bytes = 0;
    }
    f->bytes += cost;
    if (f->pause_ms && mono_since_ms(c->now.mono, f->rebound) >= QUIET_MS)
        f->pause_ms = 0;
    if (f->bytes >= c->config.flood_bytes &&
        (f->pause_ms == 0 || mono_since_ms(c->now.mono, f->rebound) >= f->pause_ms))
        rebind(c);
}

void guard_rejected(struct core *c, const char *peer, size_t size, enum rejection kind)
{
    uint64_t cost = size + MESSAGE_COST;
    c->rejected++;
    c->rejected_bytes += size;
    if (is_trusted(peer))
        return;
    if (kind != REJECTED_LATE)
        weigh_garbage(c, peer, cost);
    if (kind != REJECTED_CONTROL)
        weigh_ingress(c, cost);
}

void guard_free(struct core *c)
{
    struct origin *o, *next;
    HASH_ITER (hh, c->origins, o, next)
        forget(c, o);
}

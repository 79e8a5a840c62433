/* Opens, closes and reads a client's sockets. Decides nothing: bytes go to the client, and its effects are carried out
 * (binding_effects.c).
 *
 * Every PULL has RCVHWM 0 and is drained (at its high-water mark libzmq can abort the process); the client's windows
 * bound what is in flight. No call blocks: what cannot be sent at once is lost, and the session protocol sends it
 * again. */
#include "clients/net/binding_priv.h"

#include "base/clock.h"
#include "base/xalloc.h"
#include "clients/net/admit.h"
#include "clients/net/inbox.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

#define HANDSHAKE_MS 2000
/* Messages, and roughly bytes, taken from each socket per turn. That many bytes hold thousands of events, each
 * passed to the program; heartbeats, acks and credit must be sent in between, or a slow program would lose its
 * session. */
#define RECEIVE_BUDGET 256
#define RECEIVE_BYTES  (512u << 10)
/* How long close waits for a Bye to be sent; an attached broker takes it at once. */
#define BYE_LINGER_MS 250

/* ------------------------------------------------------------------ sockets */

static void set_int(void *socket, int option, int value)
{
    zmq_setsockopt(socket, option, &value, sizeof value);
}

/* The inbox is a CURVE server that admits the broker only; the other sockets are clients of the broker. */
static void set_keys(struct binding *b, void *socket, int type)
{
    if (type == ZMQ_PULL) {
        curve_serve(socket, &b->own_keys);
        zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, ADMIT_DOMAIN, sizeof ADMIT_DOMAIN - 1);
    } else {
        curve_join(socket, &b->own_keys, b->broker_key);
    }
}

void *binding_socket(struct binding *b, int type)
{
    void *s = zmq_socket(b->zmq, type);
    int64_t most = type == ZMQ_DEALER ? CLIENT_REPLY_MAX : FRAME_MAX_SIZE;
    if (!s)
        return NULL;
    set_int(s, ZMQ_LINGER, 0);
    set_int(s, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
    set_int(s, ZMQ_RECONNECT_IVL, 50);
    set_int(s, ZMQ_RECONNECT_IVL_MAX, 1000);
    set_int(s, ZMQ_TCP_KEEPALIVE, 1);
    set_int(s, ZMQ_IPV6, strchr(b->broker, '[') != NULL);
    zmq_setsockopt(s, ZMQ_MAXMSGSIZE, &most, sizeof most);
    if (type == ZMQ_PULL)
        set_int(s, ZMQ_RCVHWM, 0);
    if (type == ZMQ_PUSH)
        set_int(s, ZMQ_SNDHWM, 0);
    if (b->has_keys)
        set_keys(b, s, type);
    return s;
}

static int fd_of(void *socket)
{
    int fd = -1;
    size_t size = sizeof fd;
    zmq_getsockopt(socket, ZMQ_FD, &fd, &size);
    return fd;
}

/* ------------------------------------------------------------------ open and close */

static bool open_control(struct binding *b, struct error *e)
{
    if (!(b->control = binding_socket(b, ZMQ_DEALER)))
        return error_set(e, "cannot open a socket: %s", zmq_strerror(errno));
    if (zmq_connect(b->control, b->broker) != 0)
        return error_set(e, "'%s' is not a broker's address (%s); write tcp://HOST:PORT or ipc:///PATH", b->broker,
                         zmq_strerror(errno));
    b->connected = true;
    return true;
}

static bool read_keys(struct binding *b, const struct client_config *config, struct error *e)
{
    if (!config->secret_key_file != !config->broker_key_file)
        return error_set(e, "keys go together: this client's secret key and the broker's public key");
    if (!config->secret_key_file || !address_is(b->broker, "tcp://"))
        return true; /* over ipc the kernel identifies the peer */
    b->has_keys = curve_read_secret(config->secret_key_file, &b->own_keys, e) &&
                  curve_read_public(config->broker_key_file, b->broker_key, e) &&
                  (b->admit = admit_open(b->zmq, b->broker_key, e));
    return b->has_keys;
}

/* libzmq does not report a refused handshake: all a client sees is that no answer comes. */
static void explain_silence(const struct binding *b, char *out, size_t size)
{
    if (b->has_keys)
        snprintf(out, size,
                 "; is it up at this name and port, does it use keys, is the key in broker_key_file (%s) its public "
                 "one, and is this client's (%s) among its curve.clients?",
                 b->broker_key, b->own_keys.public);
    else
        snprintf(out, size, "%s",
                 address_is(b->broker, "tcp://")
                     ? "; is it up, are its name and port these, and if it asks for keys, is a secret key set here?"
                     : "");
}

static bool open_inbox(struct binding *b, const char *wanted, struct error *e)
{
    char *endpoint = wanted ? xstrdup(wanted) : inbox_default(b->broker);
    if (!wanted && address_is(b->broker, "ipc://")) /* nobody else removes the inboxes of crashed clients */
        ipc_lock_sweep(b->broker + strlen("ipc://"));
    if (!(b->inbox = binding_socket(b, ZMQ_PULL)))
        error_set(e, "cannot open a socket: %s", zmq_strerror(errno));
    else
        b->inbox_bound = inbox_bind(b->inbox, endpoint, &b->lock, e);
    free(endpoint);
    return b->inbox_bound != NULL;
}

struct binding *binding_open(void *zmq_context, const char *broker, const struct client_config *config,
                             const struct client_handler *handler, void *ctx, struct error *e)
{
    struct binding *b = xcalloc(1, sizeof *b);
    b->zmq = zmq_context;
    b->broker = xstrdup(broker);
    b->own = binding_effects;
    b->user = *handler;
    b->ctx = ctx;
    if (!read_keys(b, config, e) || !open_control(b, e) || !open_inbox(b, config->inbox, e)) {
        binding_close(b);
        return NULL;
    }
    struct client_config told = *config;
    char *told_as = inbox_advertised(b->inbox_bound);
    char no_answer[320];
    explain_silence(b, no_answer, sizeof no_answer);
    told.inbox = told_as;
    b->control_fd = fd_of(b->control);
    b->inbox_fd = fd_of(b->inbox);
    b->control_more = b->inbox_more = true;
    told.no_answer = no_answer;
    b->client = client_new(&told, &b->own, b, clock_now());
    free(told_as);
    return b;
}

void binding_close(struct binding *b)
{
    if (!b)
        return;
    if (b->ingress && b->client && client_is_attached(b->client))
        set_int(b->ingress, ZMQ_LINGER, BYE_LINGER_MS);
    if (b->client)
        client_free(b->client);
    void *sockets[] = { b->control, b->inbox, b->ingress };
    for (size_t i = 0; i < 3; i++) {
        if (sockets[i])
            zmq_close(sockets[i]);
    }
    admit_close(b->admit);
    ipc_lock_release(&b->lock);
    free(b->inbox_bound);
    free(b->broker);
    free(b);
}

/* ------------------------------------------------------------------ the loop's part */

struct client *binding_client(struct binding *b)
{
    return b->client;
}

void binding_fds(const struct binding *b, int *control_fd, int *inbox_fd)
{
    *control_fd = b->control_fd;
    *inbox_fd = b->inbox_fd;
}

/* In nanoseconds: a linger that ends up to a millisecond late would miss the others' common end. */
static int poll_until(struct pollfd *fds, nfds_t count, mono_t until)
{
    int64_t ns = until.ns - clock_now().mono.ns;
    struct timespec left = { .tv_sec = ns > 0 ? ns / 1000000000 : 0, .tv_nsec = ns > 0 ? ns % 1000000000 : 0 };
    return ppoll(fds, count, until.ns == MONO_NEVER.ns ? NULL : &left, NULL);
}

bool binding_wait(struct binding *b, int other_fd, mono_t until)
{
    struct pollfd fds[] = {
        { .fd = b->control_fd, .events = POLLIN },
        { .fd = b->inbox_fd, .events = POLLIN },
        { .fd = other_fd, .events = POLLIN }, /* poll ignores a negative one */
    };
    if (poll_until(fds, 3, until) <= 0)
        memset(fds, 0, sizeof fds);
    binding_polled(b, fds[0].revents != 0, fds[1].revents != 0);
    return fds[2].revents != 0;
}

void binding_polled(struct binding *b, bool control, bool inbox)
{
    b->looked = true;
    b->control_more |= control;
    b->inbox_more |= inbox;
}

typedef void input_fn(struct client *c, struct span bytes, struct now now);

/* False when the socket is empty. */
static bool receive(struct binding *b, void *socket, input_fn *input, struct now now)
{
    size_t bytes = 0;
    for (int i = 0; i < RECEIVE_BUDGET && bytes < RECEIVE_BYTES; i++) {
        zmq_msg_t m;
        zmq_msg_init(&m);
        if (zmq_msg_recv(&m, socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&m);
            return false;
        }
        bytes += zmq_msg_size(&m);
        traffic_add(&b->traffic, zmq_msg_size(&m));
        input(b->client, span_of(zmq_msg_data(&m), zmq_msg_size(&m)), now);
        zmq_msg_close(&m);
    }
    return true;
}

void binding_receive(struct binding *b, struct now now)
{
    if (!b->looked)
        binding_wait(b, -1, (mono_t){ 0 });
    b->looked = false;
    /* Control first: the attach reply must be known before the frames of the session it opens. */
    if (b->control_more)
        b->control_more = receive(b, b->control, client_control_in, now);
    if (b->inbox_more)
        b->inbox_more = receive(b, b->inbox, client_frame_in, now);
}

bool binding_send(struct binding *b, struct now now)
{
    client_flush(b->client, now); /* before deadlines are checked, so that a publish with wait_ms 0 is sent */
    client_tick(b->client, now);
    client_flush(b->client, now);
    return b->control_more || b->inbox_more;
}

bool binding_run(struct binding *b, struct now now)
{
    binding_receive(b, now);
    return binding_send(b, now);
}

mono_t binding_due(const struct binding *b)
{
    return client_due(b->client);
}

struct traffic binding_traffic(const struct binding *b)
{
    return b->traffic;
}

const char *binding_inbox(const struct binding *b)
{
    return b->inbox_bound;
}

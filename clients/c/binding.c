/* A client's sockets. Nothing here decides anything: bytes go to the client and its effects are carried out.
 *
 * Every PULL has RCVHWM 0 and is drained (at its high-water mark libzmq can abort the process); the client's windows bound
 * what is in flight. Nothing waits: what cannot be sent at once is lost, and the session protocol sends it again. */
#include "clients/c/binding.h"

#include "base/clock.h"
#include "base/xalloc.h"
#include "clients/c/admit.h"
#include "clients/c/inbox.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

#define HANDSHAKE_MS 2000
/* Messages, and about so many bytes, taken from each socket in one turn. Thousands of events lie in so many bytes, each handed to
 * the program: heartbeats, acks and credit go in between, or a session would be lost over what is worked at. */
#define RECEIVE_BUDGET 256
#define RECEIVE_BYTES  (512u << 10)
/* From here on libzmq sends out of our own buffer; what is smaller it would copy all the same. */
#define ZERO_COPY_SIZE 8192u
/* A Bye that was said gets this long to leave; an attached broker takes it at once. */
#define BYE_LINGER_MS 250

struct binding {
    void *zmq; /* the context, borrowed */
    char *broker;
    void *control, *inbox, *ingress;
    /* A ZMQ_FD says once that something came, and whoever reads or sends on the socket takes the word away: so a socket
     * is read until it is empty, and again after it was sent on. In between it is left alone: each look at an idle one
     * would cost system calls. */
    int control_fd, inbox_fd;
    bool control_more, inbox_more;
    bool looked;          /* both were asked since the last binding_receive */
    bool connected;       /* the DEALER was connected once */
    char *inbox_bound;    /* as zmq shows it */
    struct ipc_lock lock; /* of an ipc inbox */
    bool has_keys;        /* CURVE */
    struct curve_keys own_keys;
    char broker_key[CURVE_KEY_SIZE];
    struct admit *admit;
    struct client *client;
    struct client_handler own;
    struct client_handler user;
    void *ctx;
};

/* ------------------------------------------------------------------ sockets */

static void set_int(void *socket, int option, int value)
{
    zmq_setsockopt(socket, option, &value, sizeof value);
}

/* The inbox is the server, for the broker only; towards the broker this side is the client. */
static void set_keys(struct binding *b, void *socket, int type)
{
    if (type == ZMQ_PULL) {
        curve_serve(socket, &b->own_keys);
        zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, ADMIT_DOMAIN, sizeof ADMIT_DOMAIN - 1);
    } else {
        curve_join(socket, &b->own_keys, b->broker_key);
    }
}

static void *open_socket(struct binding *b, int type)
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

/* ------------------------------------------------------------------ effects */

/* The same socket throughout, so that its descriptor stays the owner's to poll. Disconnecting drops what waits in it. */
static void control_open(void *ctx)
{
    struct binding *b = ctx;
    if (b->connected)
        zmq_disconnect(b->control, b->broker);
    b->connected = zmq_connect(b->control, b->broker) == 0;
    b->control_more = true;
}

static void control_send(void *ctx, struct span message)
{
    struct binding *b = ctx;
    zmq_send(b->control, message.data, message.size, ZMQ_DONTWAIT); /* lost: repeated under the same id */
    b->control_more = true;
}

/* tcp://[*]:PORT: the host is the control endpoint's. */
static char *ingress_endpoint(const char *broker, const char *endpoint)
{
    if (!address_is(endpoint, "tcp://*:") || !address_is(broker, "tcp://"))
        return xstrdup(endpoint);
    int host = (int)(strrchr(broker, ':') - broker);
    char *full = xmalloc(strlen(broker) + strlen(endpoint));
    sprintf(full, "%.*s%s", host, broker, strrchr(endpoint, ':'));
    return full;
}

static void ingress_open(void *ctx, const char *endpoint)
{
    struct binding *b = ctx;
    char *full = ingress_endpoint(b->broker, endpoint);
    if (b->ingress)
        zmq_close(b->ingress);
    b->ingress = open_socket(b, ZMQ_PUSH);
    if (b->ingress && zmq_connect(b->ingress, full) != 0) {
        zmq_close(b->ingress); /* the attach times out and says so */
        b->ingress = NULL;
    }
    free(full);
}

/* Runs in libzmq's I/O thread: the frame's count is atomic. */
static void let_go(void *data, void *frame)
{
    (void)data;
    frame_drop(frame);
}

static void ingress_send(void *ctx, struct frame *f)
{
    struct binding *b = ctx;
    zmq_msg_t m;
    if (!b->ingress) {
        frame_drop(f);
        return;
    }
    if (f->size >= ZERO_COPY_SIZE) {
        zmq_msg_init_data(&m, f->data, f->size, let_go, f);
    } else {
        zmq_msg_init_size(&m, f->size);
        memcpy(zmq_msg_data(&m), f->data, f->size);
        frame_drop(f);
    }
    if (zmq_msg_send(&m, b->ingress, ZMQ_DONTWAIT) < 0)
        zmq_msg_close(&m);
}

/* ------------------------------------------------------------------ events, handed through */

static void attached(void *ctx, bool resumed)
{
    struct binding *b = ctx;
    if (b->user.attached)
        b->user.attached(b->ctx, resumed);
}

static void away(void *ctx, const char *why)
{
    struct binding *b = ctx;
    if (b->user.away)
        b->user.away(b->ctx, why);
}

static void outcome(void *ctx, void *cookie, uint32_t index, uint32_t count, const struct client_outcome *o)
{
    struct binding *b = ctx;
    if (b->user.outcome)
        b->user.outcome(b->ctx, cookie, index, count, o);
}

static void turn(void *ctx, const char *queue, enum turn_state state, uint64_t consumer_epoch, bool contended,
                 enum reason reason)
{
    struct binding *b = ctx;
    if (b->user.turn)
        b->user.turn(b->ctx, queue, state, consumer_epoch, contended, reason);
}

static void delivery(void *ctx, const struct client_delivery *d)
{
    struct binding *b = ctx;
    if (b->user.delivery)
        b->user.delivery(b->ctx, d);
}

static void idle(void *ctx, const char *queue, uint64_t generation)
{
    struct binding *b = ctx;
    if (b->user.idle)
        b->user.idle(b->ctx, queue, generation);
}

static void settled(void *ctx, const char *queue, uint64_t consumer_epoch, uint64_t first, uint64_t count,
                    enum settle_result result)
{
    struct binding *b = ctx;
    if (b->user.settled)
        b->user.settled(b->ctx, queue, consumer_epoch, first, count, result);
}

static void receipt_settled(void *ctx, uint64_t request, enum settle_result result)
{
    struct binding *b = ctx;
    if (b->user.receipt_settled)
        b->user.receipt_settled(b->ctx, request, result);
}

static void replied(void *ctx, void *cookie, const struct reply *reply)
{
    struct binding *b = ctx;
    if (b->user.replied)
        b->user.replied(b->ctx, cookie, reply);
}

static const struct client_handler effects = {
    .control_open = control_open,
    .control_send = control_send,
    .ingress_open = ingress_open,
    .ingress_send = ingress_send,
    .attached = attached,
    .away = away,
    .outcome = outcome,
    .turn = turn,
    .delivery = delivery,
    .idle = idle,
    .settled = settled,
    .receipt_settled = receipt_settled,
    .replied = replied,
};

/* ------------------------------------------------------------------ open and close */

static bool open_control(struct binding *b, struct error *e)
{
    if (!(b->control = open_socket(b, ZMQ_DEALER)))
        return error_set(e, "cannot open a socket: %s", zmq_strerror(errno));
    if (zmq_connect(b->control, b->broker) != 0)
        return error_set(e, "'%s' is no address of a broker (%s); it looks like tcp://HOST:PORT or ipc:///PATH",
                         b->broker, zmq_strerror(errno));
    b->connected = true;
    return true;
}

static bool read_keys(struct binding *b, const struct client_config *config, struct error *e)
{
    if (!config->secret_key_file != !config->broker_key_file)
        return error_set(e, "keys go together: this client's secret key and the broker's public key");
    if (!config->secret_key_file || !address_is(b->broker, "tcp://"))
        return true; /* over ipc the kernel says who is who */
    b->has_keys = curve_read_secret(config->secret_key_file, &b->own_keys, e) &&
                  curve_read_public(config->broker_key_file, b->broker_key, e) &&
                  (b->admit = admit_open(b->zmq, b->broker_key, e));
    return b->has_keys;
}

/* libzmq says nothing of a handshake that was refused: all there is to see is that no answer comes. */
static void explain_silence(const struct binding *b, char *out, size_t size)
{
    if (b->has_keys)
        snprintf(
            out, size,
            "; is it up, does it use keys, is the key in broker_key_file (%s) its public one, and is this client's "
            "(%s) among its curve.clients?",
            b->broker_key, b->own_keys.public);
    else
        snprintf(out, size, "%s",
                 address_is(b->broker, "tcp://") ? "; is it up, and if it asks for keys, is a secret key set here?"
                                                 : "");
}

static bool open_inbox(struct binding *b, const char *wanted, struct error *e)
{
    char *endpoint = wanted ? xstrdup(wanted) : inbox_make_up(b->broker);
    if (!wanted && address_is(b->broker, "ipc://")) /* a client that crashed left its inbox, and nobody else comes by */
        ipc_lock_sweep(b->broker + strlen("ipc://"));
    if (!(b->inbox = open_socket(b, ZMQ_PULL)))
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
    b->own = effects;
    b->user = *handler;
    b->ctx = ctx;
    if (!read_keys(b, config, e) || !open_control(b, e) || !open_inbox(b, config->inbox, e)) {
        binding_close(b);
        return NULL;
    }
    struct client_config told = *config;
    char *told_as = inbox_told(b->inbox_bound);
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

/* To the nanosecond: a linger that ended up to a millisecond late would not end together with the others'. */
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
        { .fd = other_fd, .events = POLLIN }, /* a negative one is passed over */
    };
    if (poll_until(fds, 3, until) <= 0)
        memset(fds, 0, sizeof fds);
    binding_heard(b, fds[0].revents != 0, fds[1].revents != 0);
    return fds[2].revents != 0;
}

void binding_heard(struct binding *b, bool control, bool inbox)
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
    client_flush(b->client, now); /* before deadlines are judged: a publish that tries once is really tried */
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

const char *binding_inbox(const struct binding *b)
{
    return b->inbox_bound;
}

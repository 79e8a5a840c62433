/* The broker's real sockets on free ports: receiving, sending, and binding the ingress again. */
#include "broker/net/net.h"
#include "proto/control.h"

#include "base/clock.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>

#include <cmocka.h>

#define PATIENCE_MS 10000

struct fixture {
    void *zmq;
    struct store *store;
    struct core *core;
    struct net *net;
};

static struct fixture f;

static int open_with(const char *listen)
{
    struct core_config config;
    struct error e = { "" };
    struct net_options options = { .listen = listen, .max_sessions = 10, .unread_most = 64u << 20 };
    core_config_defaults(&config);
    config.flood_bytes = 1u << 20;
    f.zmq = zmq_ctx_new();
    f.store = store_memory_open();
    f.core = core_new(&config, f.store, clock_now());
    f.net = net_open(f.zmq, &options, &e);
    return f.net ? 0 : -1;
}

static int open_tcp(void **state)
{
    (void)state;
    return open_with("tcp://127.0.0.1:0");
}

static int open_ipc(void **state)
{
    char endpoint[64];
    (void)state;
    snprintf(endpoint, sizeof endpoint, "ipc:///tmp/sluice-net-test.%d", (int)getpid());
    return open_with(endpoint);
}

static int close_all(void **state)
{
    (void)state;
    net_close(f.net);
    core_free(f.core);
    f.store->ops->close(f.store);
    return zmq_ctx_term(f.zmq);
}

static void *connected(void *context, int type, const char *endpoint)
{
    int none = 0;
    void *s = zmq_socket(context, type);
    zmq_setsockopt(s, ZMQ_LINGER, &none, sizeof none);
    assert_int_equal(zmq_connect(s, endpoint), 0);
    return s;
}

static struct broker_info turn(void)
{
    struct broker_info info;
    net_receive(f.net, f.core, clock_now(), 100);
    core_tick(f.core, clock_now());
    core_flush(f.core, clock_now());
    net_perform(f.net, f.core, clock_now());
    net_wait(f.net, mono_add_ms(clock_now().mono, 10), -1, -1);
    core_info(f.core, &info, clock_now());
    return info;
}

/* Runs turns until the counter is reached; false when it never is. */
#define turn_until(condition)                                                                                          \
    do {                                                                                                               \
        mono_t end = mono_add_ms(clock_now().mono, PATIENCE_MS);                                                       \
        struct broker_info info;                                                                                       \
        do {                                                                                                           \
            info = turn();                                                                                             \
            assert_true(mono_before(clock_now().mono, end));                                                           \
        } while (!(condition));                                                                                        \
    } while (0)

/* Sends one request on a connection of its own and returns the reply. */
static struct reply ask(const struct request *r, struct arena *arena)
{
    void *context = zmq_ctx_new(), *dealer = connected(context, ZMQ_DEALER, net_control_endpoint(f.net));
    struct buf bytes = { 0 };
    request_pack(r, &bytes);
    zmq_send(dealer, bytes.data, bytes.size, 0);
    buf_free(&bytes);
    uint8_t reply[512];
    int size;
    mono_t end = mono_add_ms(clock_now().mono, PATIENCE_MS);
    while ((size = zmq_recv(dealer, reply, sizeof reply, ZMQ_DONTWAIT)) < 0 && mono_before(clock_now().mono, end))
        turn();
    struct reply back = { 0 };
    arena_init(arena, 4096);
    assert_true(size > 0 && reply_unpack(span_of(reply, (size_t)size), arena, &back));
    zmq_close(dealer);
    zmq_ctx_term(context);
    return back;
}

static void a_request_is_answered_on_its_own_route(void **state)
{
    (void)state;
    struct arena arena;
    struct request r = { .call = CALL_PING, .queue = "", .id = { 1, 2 } };
    assert_int_equal(ask(&r, &arena).result, RESULT_PONG);
    arena_free(&arena);
}

/* The effects of the refusal must be carried out in the same turn: nothing would bring another one. */
static void an_inbox_that_cannot_be_dialled_is_refused_at_once(void **state)
{
    (void)state;
    char inbox[200];
    struct arena arena;
    struct request r = { .call = CALL_ATTACH, .id = { 1, 2 } };
    snprintf(inbox, sizeof inbox, "ipc:///tmp/%0150d", 0); /* longer than a path of a socket may be */
    r.u.attach.version = r.u.attach.least_version = 1;
    r.u.attach.producer = (struct token){ 3, 4 };
    r.u.attach.inbox = inbox;
    struct reply refused = ask(&r, &arena);
    assert_int_equal(refused.reason, REASON_inbox_unreachable);
    assert_non_null(strstr(refused.detail, "too long"));
    assert_int_equal(turn().sessions, 0);
    arena_free(&arena);
}

/* Sends so much garbage that the ingress is bound again. Returns the socket that sent it. */
static void *flood(void *context)
{
    static uint8_t junk[65536];
    void *push = connected(context, ZMQ_PUSH, net_ingress_endpoint(f.net));
    for (unsigned i = 0; i < 16; i++)
        zmq_send(push, junk, sizeof junk, 0);
    return push;
}

/* Checks that the ingress hears another address, which has sent no garbage. */
static void hear_another(void *context)
{
    uint64_t before = turn().rejected;
    void *other = zmq_socket(context, ZMQ_PUSH);
    int none = 0;
    char from[256];
    snprintf(from, sizeof from, "tcp://127.0.0.2:0;%s", net_ingress_endpoint(f.net) + strlen("tcp://"));
    zmq_setsockopt(other, ZMQ_LINGER, &none, sizeof none);
    assert_int_equal(zmq_connect(other, from), 0);
    /* More than once: what a connection to the closing one brings is lost with it. */
    turn_until((zmq_send(other, "late", 4, ZMQ_DONTWAIT), info.rejected > before));
    zmq_close(other);
}

static void the_ingress_is_bound_again_where_it_was(void **state)
{
    (void)state;
    char endpoint[128];
    strcpy(endpoint, net_ingress_endpoint(f.net));
    void *context = zmq_ctx_new(), *push = flood(context);
    turn_until(info.rebinds == 1 && info.denied == 1); /* nobody shares the address: it is denied, too */
    assert_string_equal(net_ingress_endpoint(f.net), endpoint);
    hear_another(context);
    zmq_close(push);
    zmq_ctx_term(context);
}

/* Tries to bind the ingress again while no descriptor is free, with a clock that is six seconds ahead. Returns what
 * the broker logs. */
static void rebind_without_descriptors(char *said, size_t size)
{
    struct rlimit before;
    struct now later = clock_now();
    int log = memfd_create("stderr", MFD_CLOEXEC), kept = dup(2);
    later.mono = mono_add_ms(later.mono, 6000);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(dup2(log, 2), 2);
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 3, before.rlim_max }); /* which standard input, output and error have */
    net_receive(f.net, f.core, clock_now(), 100);                     /* too early for a word */
    net_receive(f.net, f.core, later, 100);
    net_receive(f.net, f.core, later, 100); /* it has just said so */
    setrlimit(RLIMIT_NOFILE, &before);
    dup2(kept, 2);
    ssize_t got = pread(log, said, size - 1, 0);
    said[got > 0 ? got : 0] = '\0';
    close(kept);
    close(log);
}

static void a_rebind_without_a_free_descriptor_is_logged_and_tried_again(void **state)
{
    (void)state;
    char said[1000];
    void *context = zmq_ctx_new(), *push = flood(context);
    for (struct broker_info info = { 0 }; !info.rebinds;) {
        net_wait(f.net, mono_add_ms(clock_now().mono, 100), -1, -1);
        net_receive(f.net, f.core, clock_now(), 100);
        net_perform(f.net, f.core, clock_now());
        core_info(f.core, &info, clock_now());
    }
    rebind_without_descriptors(said, sizeof said);
    assert_non_null(strstr(said, "cannot bind the ingress"));
    assert_non_null(strstr(said, "Too many open files"));
    assert_null(strchr(strchr(said, '\n') + 1, '\n')); /* once */
    hear_another(context);
    zmq_close(push);
    zmq_ctx_term(context);
}

static void invalid_requests_are_counted(void **state)
{
    (void)state;
    void *context = zmq_ctx_new(), *dealer = connected(context, ZMQ_DEALER, net_control_endpoint(f.net));
    for (unsigned i = 0; i < 3; i++)
        zmq_send(dealer, "part", 4, i < 2 ? ZMQ_SNDMORE : 0);
    turn_until(info.rejected == 3);
    zmq_close(dealer);
    zmq_ctx_term(context);
}

/* libzmq ends the connection before it has read the message, so the broker never sees it; it sees what comes later. */
static void a_message_over_the_limit_is_not_even_read(void **state)
{
    static const struct {
        int type;
        size_t size;
    } cases[] = { { ZMQ_PUSH, FRAME_MAX_SIZE + 1 }, { ZMQ_DEALER, (1u << 20) + 1 } };
    (void)state;
    char *large = calloc(1, FRAME_MAX_SIZE + 1);
    for (size_t i = 0; i < 2; i++) {
        struct broker_info before = turn();
        void *context = zmq_ctx_new();
        const char *endpoint = i ? net_control_endpoint(f.net) : net_ingress_endpoint(f.net);
        void *socket = connected(context, cases[i].type, endpoint);
        zmq_send(socket, large, cases[i].size, 0);
        turn_until((zmq_send(socket, "no frame", 8, ZMQ_DONTWAIT), info.rejected > before.rejected));
        assert_true(turn().rejected_bytes < before.rejected_bytes + cases[i].size);
        zmq_close(socket);
        zmq_ctx_term(context);
    }
    free(large);
}

/* A plain connection that the broker has accepted: the first byte of its greeting came. */
static int bare(const char *endpoint, unsigned *port)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    bool ipc = strncmp(endpoint, "ipc://", 6) == 0;
    socklen_t size = ipc ? sizeof un : sizeof in;
    int fd = socket(ipc ? AF_UNIX : AF_INET, SOCK_STREAM, 0);
    char byte;
    if (ipc)
        strcpy(un.sun_path, endpoint + 6);
    else
        in.sin_port = htons((uint16_t)atoi(strrchr(endpoint, ':') + 1));
    if (connect(fd, ipc ? (struct sockaddr *)(void *)&un : (struct sockaddr *)(void *)&in, size) != 0 ||
        read(fd, &byte, 1) != 1) {
        close(fd);
        return -1;
    }
    if (!ipc && getsockname(fd, (struct sockaddr *)(void *)&in, &size) == 0)
        *port = ntohs(in.sin_port);
    return fd;
}

/* The seconds until the kernel probes the other side of the connection that came from `port` (keepalive); 0: it does
 * not, or another timer of the connection comes first. */
static unsigned alive_in(unsigned port)
{
    char line[256];
    unsigned remote, timer, found = 0;
    unsigned long when;
    FILE *table = fopen("/proc/net/tcp", "r");
    assert_non_null(table);
    while (fgets(line, sizeof line, table)) {
        if (sscanf(line, "%*d: %*x:%*x %*x:%x %*x %*x:%*x %x:%lx", &remote, &timer, &when) == 3 && remote == port &&
            timer == 2)
            found = (unsigned)((when + 99) / 100);
    }
    fclose(table);
    return found;
}

/* Otherwise they would stay for the system's two hours: two connections for each time that a client came back after
 * its network had vanished. */
static void connections_whose_other_side_vanished_are_closed_after_minutes(void **state)
{
    (void)state;
    const char *endpoints[] = { net_control_endpoint(f.net), net_ingress_endpoint(f.net) };
    for (unsigned i = 0; i < 2; i++) {
        unsigned port = 0, seconds;
        mono_t end = mono_add_ms(clock_now().mono, PATIENCE_MS);
        int fd = bare(endpoints[i], &port);
        assert_true(fd >= 0);
        while ((seconds = alive_in(port)) == 0)
            assert_true((turn(), mono_before(clock_now().mono, end)));
        assert_in_range(seconds, 30, 60);
        close(fd);
    }
}

static void an_ingress_over_ipc_is_bound_again_as_well(void **state)
{
    (void)state;
    char said[1000] = "";
    int log = memfd_create("stderr", MFD_CLOEXEC), kept = dup(2), fd;
    void *context = zmq_ctx_new(), *push = flood(context);
    turn_until(info.rebinds == 1);
    assert_int_equal(dup2(log, 2), 2);
    mono_t end = mono_add_ms(clock_now().mono, PATIENCE_MS);
    while (!strstr(said, "is bound again") && mono_before(clock_now().mono, end)) {
        turn();
        assert_true(pread(log, said, sizeof said - 1, 0) >= 0);
    }
    dup2(kept, 2);
    close(kept);
    close(log);
    assert_non_null(strstr(said, "is bound again"));
    fd = bare(net_ingress_endpoint(f.net), NULL);
    assert_true(fd >= 0);
    close(fd);
    zmq_close(push);
    zmq_ctx_term(context);
}

/* At a high-water mark libzmq would leave the rest with the sender, and might abort when the sender dies. */
static void messages_that_are_not_taken_yet_wait_with_the_broker(void **state)
{
    (void)state;
    static uint8_t junk[2000];
    void *context = zmq_ctx_new(), *push = connected(context, ZMQ_PUSH, net_ingress_endpoint(f.net));
    int patience = PATIENCE_MS;
    zmq_setsockopt(push, ZMQ_SNDTIMEO, &patience, sizeof patience);
    zmq_send(push, "hello", 5, 0);
    turn_until(info.rejected == 1);      /* it is admitted */
    for (unsigned i = 0; i < 20000; i++) /* what the system buffers, and the sender's own mark, are a fraction of it */
        assert_int_equal(zmq_send(push, junk, sizeof junk, 0), sizeof junk);
    zmq_close(push);
    zmq_ctx_term(context);
}

static void a_context_has_one_authenticator(void **state)
{
    (void)state;
    struct error e = { "" };
    struct net_options options = { .listen = "tcp://127.0.0.1:0" };
    assert_null(net_open(f.zmq, &options, &e));
    assert_non_null(strstr(e.text, "authenticator"));
}

static void a_broker_that_cannot_listen_says_why(void **state)
{
    (void)state;
    static char taken[128];
    const struct {
        const char *listen, *says;
    } cases[] = {
        { taken, "is in use: another process listens there" },
        { "tcp://no-such-interface:7400", "is not an address, name or interface of this machine" },
        { "tcp://0.0.0.0:7400", "insecure: true" },
    };
    strcpy(taken, net_control_endpoint(f.net));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error e = { "" };
        struct net_options options = { .listen = cases[i].listen, .insecure = i == 1, .unread_most = 64u << 20 };
        void *context = zmq_ctx_new();
        assert_null(net_open(context, &options, &e));
        if (!strstr(e.text, cases[i].says))
            fail_msg("%s: %s", cases[i].listen, e.text);
        zmq_ctx_term(context);
    }
    struct error e = { "" };
    struct net_options beyond = { .listen = "tcp://127.0.0.1:0",
                                  .ingress = "tcp://0.0.0.0:0",
                                  .unread_most = 64u << 20 };
    void *context = zmq_ctx_new();
    assert_null(net_open(context, &beyond, &e)); /* the ingress is as much of a door */
    assert_non_null(strstr(e.text, "insecure: true"));
    zmq_ctx_term(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_request_is_answered_on_its_own_route, open_tcp, close_all),
        cmocka_unit_test_setup_teardown(an_inbox_that_cannot_be_dialled_is_refused_at_once, open_ipc, close_all),
        cmocka_unit_test_setup_teardown(the_ingress_is_bound_again_where_it_was, open_tcp, close_all),
        cmocka_unit_test_setup_teardown(a_rebind_without_a_free_descriptor_is_logged_and_tried_again, open_tcp,
                                        close_all),
        cmocka_unit_test_setup_teardown(an_ingress_over_ipc_is_bound_again_as_well, open_ipc, close_all),
        cmocka_unit_test_setup_teardown(messages_that_are_not_taken_yet_wait_with_the_broker, open_tcp, close_all),
        cmocka_unit_test_setup_teardown(connections_whose_other_side_vanished_are_closed_after_minutes, open_tcp,
                                        close_all),
        cmocka_unit_test_setup_teardown(invalid_requests_are_counted, open_tcp, close_all),
        cmocka_unit_test_setup_teardown(a_message_over_the_limit_is_not_even_read, open_tcp, close_all),
        cmocka_unit_test_setup_teardown(a_broker_that_cannot_listen_says_why, open_tcp, close_all),
        cmocka_unit_test_setup_teardown(a_context_has_one_authenticator, open_tcp, close_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Opening and closing a client's sockets. */
#include "clients/net/binding_priv.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include <cmocka.h>

static void no_away(void *ctx, const char *why)
{
    (void)ctx, (void)why;
}

static const struct client_handler handler = { .away = no_away };

static int open_context(void **state)
{
    *state = zmq_ctx_new();
    return 0;
}

static int close_context(void **state)
{
    return zmq_ctx_term(*state);
}

static struct binding *open_inbox(void **state, const char *broker, const char *inbox, struct error *e)
{
    struct client_config config = { .name = "test", .inbox = inbox };
    return binding_open(*state, broker, &config, &handler, NULL, e);
}

static void a_made_up_tcp_inbox_gets_a_free_port_on_loopback(void **state)
{
    struct error e = { "" };
    struct binding *b = open_inbox(state, "tcp://127.0.0.1:1", NULL, &e);
    assert_non_null(b);
    assert_int_equal(strncmp(binding_inbox(b), "tcp://127.0.0.1:", 16), 0);
    assert_int_not_equal(atoi(binding_inbox(b) + 16), 0);
    int control = -1, inbox = -1;
    binding_fds(b, &control, &inbox);
    assert_true(control >= 0 && inbox >= 0 && control != inbox);
    binding_close(b);
}

/* With a broker on the IPv6 loopback the inbox must not be open to the network either. */
static void an_inbox_beside_a_broker_on_ipv6_loopback_gets_a_free_port_there(void **state)
{
    struct error e = { "" };
    struct binding *b = open_inbox(state, "tcp://[::1]:1", NULL, &e);
    if (!b) {
        assert_non_null(strstr(e.text, "tcp://[::1]:0")); /* this machine has no IPv6 */
        return;
    }
    assert_int_equal(strncmp(binding_inbox(b), "tcp://[::1]:", 12), 0);
    assert_int_not_equal(atoi(binding_inbox(b) + 12), 0);
    binding_close(b);
}

static void a_port_in_use_is_an_error_that_names_it(void **state)
{
    struct error e = { "" };
    struct binding *first = open_inbox(state, "tcp://127.0.0.1:1", "tcp://127.0.0.1:0", &e);
    assert_null(open_inbox(state, "tcp://127.0.0.1:1", binding_inbox(first), &e));
    assert_non_null(strstr(e.text, binding_inbox(first)));
    binding_close(first);
}

static void nonsense_addresses_are_errors(void **state)
{
    struct error e = { "" };
    assert_null(open_inbox(state, "http://nowhere", NULL, &e));
    assert_non_null(strstr(e.text, "http://nowhere"));
    assert_null(open_inbox(state, "tcp://127.0.0.1:1", "smoke://signal", &e));
    assert_non_null(strstr(e.text, "smoke://signal"));
    assert_null(open_inbox(state, "tcp://127.0.0.1:1", "ipc://relative", &e));
    assert_non_null(strstr(e.text, "absolute"));
    char endless[700] = "inproc://";
    memset(endless + strlen(endless), 'x', sizeof endless - 1 - strlen(endless));
    endless[sizeof endless - 1] = '\0';
    assert_null(open_inbox(state, "inproc://broker", endless, &e));
    assert_non_null(strstr(e.text, "cannot use"));
}

static void an_ipc_inbox_is_the_groups_and_goes_at_close(void **state)
{
    char folder[] = "/tmp/sluice-binding-XXXXXX", inbox[128], path[128];
    struct error e = { "" };
    struct stat st;
    assert_non_null(mkdtemp(folder));
    snprintf(inbox, sizeof inbox, "ipc://%s/inbox", folder);
    snprintf(path, sizeof path, "%s/inbox", folder);
    struct binding *b = open_inbox(state, "tcp://127.0.0.1:1", inbox, &e);
    assert_non_null(b);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
    assert_null(open_inbox(state, "tcp://127.0.0.1:1", inbox, &e));
    assert_non_null(strstr(e.text, "in use"));
    assert_int_equal(stat(path, &st), 0); /* the failed bind did not remove it */
    binding_close(b);
    assert_int_not_equal(stat(path, &st), 0);
    b = open_inbox(state, "tcp://127.0.0.1:1", inbox, &e); /* can be bound again at once */
    assert_non_null(b);
    binding_close(b);
    assert_int_equal(rmdir(folder), 0);
}

static void made_up_inproc_names_differ(void **state)
{
    struct error e = { "" };
    struct binding *a = open_inbox(state, "inproc://broker", NULL, &e);
    struct binding *b = open_inbox(state, "inproc://broker", NULL, &e);
    assert_non_null(a);
    assert_non_null(b);
    assert_string_not_equal(binding_inbox(a), binding_inbox(b));
    binding_close(a);
    binding_close(b);
}

/* The events of a frame may take the program long, and too many in a row would leave the session without heartbeats. */
static void many_messages_are_received_in_several_turns(void **state)
{
    struct error e = { "" };
    struct binding *b = open_inbox(state, "inproc://broker", NULL, &e);
    void *lane = zmq_socket(*state, ZMQ_PUSH);
    int none = 0;
    zmq_setsockopt(lane, ZMQ_LINGER, &none, sizeof none);
    assert_int_equal(zmq_connect(lane, binding_inbox(b)), 0);
    uint8_t *frame = calloc(1, 256u << 10);
    for (int i = 0; i < 8; i++)
        assert_true(zmq_send(lane, frame, 256u << 10, ZMQ_DONTWAIT) > 0);
    unsigned turns = 1;
    while (binding_run(b, clock_now()))
        turns++;
    free(frame);
    zmq_close(lane);
    binding_close(b); /* before an assertion fails: a context with open sockets does not end */
    assert_in_range(turns, 4, 5);
}

/* At its high-water mark libzmq would leave the rest with its sender, and might abort when that dies. */
static void unreceived_messages_wait_in_the_binding(void **state)
{
    static uint8_t frame[2000];
    struct error e = { "" };
    struct binding *b = open_inbox(state, "tcp://127.0.0.1:1", NULL, &e);
    void *lane = zmq_socket(*state, ZMQ_PUSH);
    int none = 0, patience = 10000;
    bool fine = true;
    zmq_setsockopt(lane, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(lane, ZMQ_SNDTIMEO, &patience, sizeof patience);
    assert_int_equal(zmq_connect(lane, binding_inbox(b)), 0);
    for (unsigned i = 0; i < 20000 && fine; i++) /* far more than the system's buffers and the lane's mark */
        fine = zmq_send(lane, frame, sizeof frame, 0) > 0;
    zmq_close(lane);
    binding_close(b);
    assert_true(fine);
}

/* What the client sends to a slow broker fits its windows; none of it is lost to a high-water mark of libzmq. */
static void frames_wait_for_a_broker_that_takes_its_time(void **state)
{
    char folder[] = "/tmp/sluice-binding-XXXXXX", ingress[128];
    struct error e = { "" };
    struct binding *b = open_inbox(state, "inproc://broker", NULL, &e);
    void *pull = zmq_socket(*state, ZMQ_PULL);
    int none = 0, patience = 10000;
    unsigned heard = 0, count = 0;
    assert_non_null(mkdtemp(folder));
    snprintf(ingress, sizeof ingress, "ipc://%s/ingress", folder);
    binding_effects.ingress_open(b, ingress);
    binding_effects.ingress_open(
        b, ingress); /* of another session: the first one must be closed, or the context would never end */
    for (unsigned i = 0; i < 4096; i++) {
        struct frame *f = frame_new(i % 2 ? 100 : 10000); /* the larger ones are sent from the frame's own memory */
        memset(f->data, 0, f->size);
        memcpy(f->data, &i, sizeof i);
        binding_effects.ingress_send(b, f);
    }
    zmq_setsockopt(pull, ZMQ_RCVHWM, &none, sizeof none);
    zmq_setsockopt(pull, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(pull, ZMQ_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(zmq_bind(pull, ingress), 0);
    while (count < 4096 && zmq_recv(pull, &heard, sizeof heard, 0) > 0 && heard == count)
        count++;
    zmq_close(pull);
    binding_close(b);
    assert_int_equal(count, 4096);
    assert_int_equal(unlink(ingress + strlen("ipc://")), 0);
    assert_int_equal(rmdir(folder), 0);
}

/* For a producer with 65,536 destinations of long names it has 9 MB. */
static void the_answer_to_an_attach_may_be_large(void **state)
{
    struct error e = { "" };
    void *broker = zmq_socket(*state, ZMQ_ROUTER);
    int none = 0;
    zmq_setsockopt(broker, ZMQ_LINGER, &none, sizeof none);
    assert_int_equal(zmq_bind(broker, "tcp://127.0.0.1:*"), 0);
    char address[128], name[NAME_MAX_SIZE + 1];
    size_t size = sizeof address;
    zmq_getsockopt(broker, ZMQ_LAST_ENDPOINT, address, &size);
    struct binding *b = open_inbox(state, address, NULL, &e);
    assert_non_null(b);
    zmq_msg_t route, request;
    zmq_msg_init(&route);
    zmq_msg_init(&request);
    while (zmq_msg_recv(&route, broker, ZMQ_DONTWAIT) < 0) {
        binding_run(b, clock_now());
        binding_wait(b, -1, mono_add_ms(clock_now().mono, 1));
    }
    zmq_msg_recv(&request, broker, 0);
    struct arena arena;
    struct request asked;
    arena_init(&arena, 1u << 20);
    assert_true(request_unpack(span_of(zmq_msg_data(&request), zmq_msg_size(&request)), &arena, &asked));
    memset(name, 'x', NAME_MAX_SIZE);
    name[NAME_MAX_SIZE] = '\0';
    struct outcomes *all = calloc(65536, sizeof *all);
    for (size_t i = 0; i < 65536; i++)
        all[i] = (struct outcomes){ .destination = name };
    struct reply reply = { .id = asked.id, .detail = "", .result = RESULT_ATTACHED };
    reply.u.attached.token = (struct token){ 1, 1 };
    reply.u.attached.outcomes = all;
    reply.u.attached.outcome_count = 65536;
    struct buf packed = { 0 };
    reply_pack(&reply, &packed);
    size_t size_of_reply = packed.size;
    zmq_msg_send(&route, broker, ZMQ_SNDMORE);
    zmq_send(broker, packed.data, packed.size, 0);
    /* There was no Hello for it: the client's message shows that the reply was read. */
    for (int i = 0; i < 2000 && !strstr(client_attach_error(binding_client(b)), "does not fit"); i++) {
        binding_wait(b, -1, mono_add_ms(clock_now().mono, 1));
        binding_run(b, clock_now());
    }
    bool was_read = strstr(client_attach_error(binding_client(b)), "does not fit") != NULL;
    buf_free(&packed);
    free(all);
    arena_free(&arena);
    zmq_msg_close(&request);
    binding_close(b);
    zmq_close(broker);
    assert_true(size_of_reply > FRAME_MAX_SIZE);
    assert_true(was_read);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_made_up_tcp_inbox_gets_a_free_port_on_loopback, open_context, close_context),
        cmocka_unit_test_setup_teardown(an_inbox_beside_a_broker_on_ipv6_loopback_gets_a_free_port_there, open_context,
                                        close_context),
        cmocka_unit_test_setup_teardown(a_port_in_use_is_an_error_that_names_it, open_context, close_context),
        cmocka_unit_test_setup_teardown(nonsense_addresses_are_errors, open_context, close_context),
        cmocka_unit_test_setup_teardown(an_ipc_inbox_is_the_groups_and_goes_at_close, open_context, close_context),
        cmocka_unit_test_setup_teardown(made_up_inproc_names_differ, open_context, close_context),
        cmocka_unit_test_setup_teardown(many_messages_are_received_in_several_turns, open_context, close_context),
        cmocka_unit_test_setup_teardown(unreceived_messages_wait_in_the_binding, open_context, close_context),
        cmocka_unit_test_setup_teardown(frames_wait_for_a_broker_that_takes_its_time, open_context, close_context),
        cmocka_unit_test_setup_teardown(the_answer_to_an_attach_may_be_large, open_context, close_context),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

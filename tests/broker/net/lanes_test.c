/* Lanes to inboxes over ipc, in a directory of their own. */
#include "broker/net/lanes.h"

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include <zmq.h>

#include <cmocka.h>

#define WINDOW 4096u /* frames that a link leaves unacknowledged */
#define SMALL  100u
#define LARGE  20000u /* goes out of the frame's own memory */

static char folder[64], inbox[100];
static void *context;
static struct lanes *lanes;
static struct curve_keys no_keys;

static int begin(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/sluice-lanes-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(inbox, sizeof inbox, "ipc://%s/inbox", folder);
    context = zmq_ctx_new();
    lanes = lanes_new(context, &no_keys);
    return 0;
}

/* Frees the lanes; hangs if one of them waits for an inbox to take its frames. */
static int end(void **state)
{
    (void)state;
    lanes_free(lanes);
    zmq_ctx_term(context);
    unlink(inbox + strlen("ipc://"));
    return rmdir(folder);
}

static void open_lane(uint32_t number)
{
    const char *why = "";
    assert_true(lanes_open(lanes, number, inbox, "uid:0", &why));
}

/* Pushes a frame with that text, and keeps a share of it. */
static struct frame *send_frame(uint32_t lane, size_t size, unsigned says)
{
    struct frame *f = frame_new(size);
    memset(f->data, 0, f->size);
    memcpy(f->data, &says, sizeof says);
    lanes_send(lanes, lane, frame_hold(f));
    return f;
}

static void *listening(void)
{
    int none = 0, patience = 10000;
    void *pull = zmq_socket(context, ZMQ_PULL);
    zmq_setsockopt(pull, ZMQ_RCVHWM, &none, sizeof none);
    zmq_setsockopt(pull, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(pull, ZMQ_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(zmq_bind(pull, inbox), 0);
    return pull;
}

static void assert_next_says(void *pull, unsigned says)
{
    unsigned heard = 0;
    assert_true(zmq_recv(pull, &heard, sizeof heard, 0) > 0);
    assert_int_equal(heard, says);
}

static void all_of_a_window_waits_for_an_inbox_that_takes_its_time(void **state)
{
    (void)state;
    open_lane(1);
    for (unsigned i = 0; i < WINDOW; i++)
        frame_drop(send_frame(1, SMALL, i));
    void *pull = listening();
    for (unsigned i = 0; i < WINDOW; i++)
        assert_next_says(pull, i);
    zmq_close(pull);
}

static void a_frame_s_share_is_given_back_when_it_was_sent(void **state)
{
    (void)state;
    struct frame *frames[] = { NULL, NULL };
    void *pull = listening();
    open_lane(1);
    for (unsigned i = 0; i < 2; i++) {
        frames[i] = send_frame(1, i ? LARGE : SMALL, i);
        assert_next_says(pull, i);
    }
    zmq_close(pull);
    lanes_close(lanes, 1);
    zmq_ctx_term(context); /* libzmq holds nothing any more */
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(frames[i]->holders, 1);
        frame_drop(frames[i]);
    }
    context = zmq_ctx_new();
}

static void frames_to_no_lane_and_unsent_frames_are_dropped(void **state)
{
    (void)state;
    struct frame *frames[3];
    frames[0] = send_frame(7, SMALL, 0);
    open_lane(1);
    frames[1] = send_frame(1, LARGE, 0);
    lanes_close(lanes, 1);
    frames[2] = send_frame(1, LARGE, 0);
    zmq_ctx_term(context);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(frames[i]->holders, 1);
        frame_drop(frames[i]);
    }
    context = zmq_ctx_new();
}

static void a_lane_is_known_by_its_domain_while_it_is_open(void **state)
{
    (void)state;
    assert_int_equal(lanes_of_domain("sluice.lane.12"), 12);
    assert_int_equal(lanes_of_domain("sluice"), 0);
    assert_int_equal(lanes_of_domain("sluice.lane."), 0);
    open_lane(12);
    assert_string_equal(lanes_peer(lanes, 12), "uid:0");
    assert_null(lanes_peer(lanes, 1));
    lanes_close(lanes, 12);
    assert_null(lanes_peer(lanes, 12));
}

static void an_invalid_endpoint_is_an_error_with_a_reason(void **state)
{
    (void)state;
    const char *why = "";
    assert_false(lanes_open(lanes, 1, "smoke://signal", "uid:0", &why));
    assert_string_equal(why, zmq_strerror(EPROTONOSUPPORT));
    assert_null(lanes_peer(lanes, 1));
}

/* A hand-made inbox with a lane connected to it: does the handshake of a PULL socket. */
static int inbox_by_hand(void)
{
    static const char greeting[64] = "\xff\0\0\0\0\0\0\0\0\x7f\x03\0NULL";
    static const char ready[] = "\x04\x1a\5READY\13Socket-Type\0\0\0\4PULL";
    char address[64], heard[64];
    const char *why = "";
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)(void *)&at, size) | listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)(void *)&at, &size), 0);
    snprintf(address, sizeof address, "tcp://127.0.0.1:%d", ntohs(at.sin_port));
    assert_true(lanes_open(lanes, 1, address, "ip:127.0.0.1", &why));
    int fd = accept(listener, NULL, NULL);
    close(listener);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){ .tv_sec = 10 }, sizeof(struct timeval));
    assert_int_equal(send(fd, greeting, sizeof greeting, 0), sizeof greeting);
    assert_int_equal(send(fd, ready, sizeof ready - 1, 0), sizeof ready - 1);
    assert_int_equal(recv(fd, heard, sizeof heard, MSG_WAITALL), sizeof heard);
    return fd;
}

/* An inbox has nothing to send. libzmq would keep what it sends, because nobody reads from a PUSH. */
static void an_inbox_that_sends_too_much_is_disconnected(void **state)
{
    (void)state;
    static char much[2 + 9 + 2000] = "\2\0\0\0\0\0\0\7\xd0";
    int fd = inbox_by_hand();
    ssize_t got;
    assert_true(send(fd, much, sizeof much, MSG_NOSIGNAL) > 0);
    while ((got = recv(fd, much, sizeof much, 0)) > 0) /* READY */
        continue;
    assert_true(got == 0 || errno == ECONNRESET);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_of_a_window_waits_for_an_inbox_that_takes_its_time, begin, end),
        cmocka_unit_test_setup_teardown(a_frame_s_share_is_given_back_when_it_was_sent, begin, end),
        cmocka_unit_test_setup_teardown(frames_to_no_lane_and_unsent_frames_are_dropped, begin, end),
        cmocka_unit_test_setup_teardown(a_lane_is_known_by_its_domain_while_it_is_open, begin, end),
        cmocka_unit_test_setup_teardown(an_invalid_endpoint_is_an_error_with_a_reason, begin, end),
        cmocka_unit_test_setup_teardown(an_inbox_that_sends_too_much_is_disconnected, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* How much peers may leave unread. Over inproc, so that what was read is released at once. */
#include "broker/net/replies.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include <cmocka.h>

#define MOST  100000u
#define LARGE 30000u /* more than anybody gets in any case */
#define SMALL 1000u
#define PEERS 3u

static struct fixture {
    void *context, *control, *peers[PEERS];
    struct replies *replies;
} f;

static int begin(void **state)
{
    (void)state;
    f.context = zmq_ctx_new();
    f.control = zmq_socket(f.context, ZMQ_ROUTER);
    f.replies = replies_new(MOST);
    if (zmq_bind(f.control, "inproc://control") != 0)
        return -1;
    for (unsigned i = 0; i < PEERS; i++) {
        char id = (char)('a' + i), heard[2];
        f.peers[i] = zmq_socket(f.context, ZMQ_DEALER);
        zmq_setsockopt(f.peers[i], ZMQ_ROUTING_ID, &id, 1);
        zmq_connect(f.peers[i], "inproc://control");
        zmq_send(f.peers[i], "x", 1, 0); /* only who spoke is known */
        for (unsigned part = 0; part < 2; part++)
            zmq_recv(f.control, heard, sizeof heard, 0);
    }
    return 0;
}

static int end(void **state)
{
    (void)state;
    replies_free(f.replies);
    for (unsigned i = 0; i < PEERS; i++)
        zmq_close(f.peers[i]);
    zmq_close(f.control);
    return zmq_ctx_term(f.context);
}

static void answer(unsigned peer, size_t size)
{
    struct route to = { .size = 1, .id = { (uint8_t)('a' + peer) } };
    uint8_t *bytes = calloc(1, size);
    replies_send(f.replies, f.control, &to, span_of(bytes, size));
    free(bytes);
}

/* Reads the replies that wait for that peer. Returns their bytes. */
static size_t read_all(unsigned peer)
{
    static char bytes[LARGE];
    size_t all = 0;
    for (int size; (size = zmq_recv(f.peers[peer], bytes, sizeof bytes, ZMQ_DONTWAIT)) >= 0;)
        all += (size_t)size;
    return all;
}

static void a_peer_with_half_of_all_bytes_unread_gets_no_more(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 5; i++)
        answer(0, LARGE);
    answer(1, LARGE); /* another one does */
    assert_int_equal(read_all(0), 2 * LARGE);
    assert_int_equal(read_all(1), LARGE);
    answer(0, LARGE); /* it has read: from here it counts anew */
    assert_int_equal(read_all(0), LARGE);
}

static void when_all_peers_leave_too_much_unread_only_small_replies_are_sent(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++)
        answer(i / 2, LARGE);
    answer(2, LARGE);
    answer(2, SMALL);
    answer(2, SMALL); /* it has not read the first */
    assert_int_equal(read_all(2), SMALL);
    assert_int_equal(read_all(0), 2 * LARGE);
    answer(2, LARGE);
    assert_int_equal(read_all(2), LARGE);
    assert_int_equal(read_all(1), 2 * LARGE);
}

static void waiting_replies_outlive_their_sender(void **state)
{
    (void)state;
    answer(0, LARGE);
    replies_free(f.replies);
    assert_int_equal(read_all(0), LARGE);
    f.replies = replies_new(MOST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_peer_with_half_of_all_bytes_unread_gets_no_more, begin, end),
        cmocka_unit_test_setup_teardown(when_all_peers_leave_too_much_unread_only_small_replies_are_sent, begin, end),
        cmocka_unit_test_setup_teardown(waiting_replies_outlive_their_sender, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

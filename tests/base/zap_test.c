/* The ZAP handler, with requests sent by hand instead of by libzmq. */
#include "base/zap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include <cmocka.h>

#define PARTS 10u
#define KEY   "0123456789abcdef0123456789abcdef"

static void *context, *handler, *asking;

static int begin(void **state)
{
    struct error e;
    int none = 0;
    (void)state;
    context = zmq_ctx_new();
    handler = zap_open(context, &e);
    asking = zmq_socket(context, ZMQ_REQ);
    zmq_setsockopt(asking, ZMQ_LINGER, &none, sizeof none);
    return handler ? zmq_connect(asking, "inproc://zeromq.zap.01") : -1;
}

static int end(void **state)
{
    (void)state;
    zmq_close(asking);
    zmq_close(handler);
    return zmq_ctx_term(context);
}

/* Sends parts, up to a NULL. */
static void ask(const char *const parts[])
{
    for (unsigned i = 0; parts[i]; i++)
        assert_true(zmq_send(asking, parts[i], strlen(parts[i]), parts[i + 1] ? ZMQ_SNDMORE : 0) >= 0);
}

/* The parts of the answer, each followed by a space. */
static void answer(char *text, size_t size)
{
    int more = 1;
    size_t length = sizeof more;
    for (*text = '\0'; more; zmq_getsockopt(asking, ZMQ_RCVMORE, &more, &length)) {
        char part[100];
        int got = zmq_recv(asking, part, sizeof part - 1, ZMQ_DONTWAIT);
        assert_in_range(got, 0, sizeof part - 1);
        part[got] = '\0';
        assert_true(strlen(text) + strlen(part) + 2 < size);
        strcat(strcat(text, part), " ");
    }
}

static void the_peers_key_and_address_are_reported(void **state)
{
    (void)state;
    struct zap_request r;
    char text[300];
    assert_false(zap_receive(handler, &r));
    ask((const char *[]){ "1.0", "7", "sluice", "10.0.0.7", "me", "CURVE", KEY, NULL });
    assert_true(zap_receive(handler, &r));
    assert_string_equal(r.domain, "sluice");
    assert_string_equal(r.address, "10.0.0.7");
    assert_true(r.has_key);
    assert_memory_equal(r.key, KEY, ZAP_KEY_SIZE);
    zap_answer(handler, &r, "key:abc");
    answer(text, sizeof text);
    assert_string_equal(text, "1.0 7 200 OK key:abc  ");
}

static void a_peer_without_a_key_is_reported_without_one(void **state)
{
    (void)state;
    struct zap_request r;
    char text[300];
    ask((const char *[]){ "1.0", "8", "", "localhost:1:2:3", "", "NULL", NULL });
    assert_true(zap_receive(handler, &r));
    assert_string_equal(r.domain, "");
    assert_false(r.has_key);
    zap_answer(handler, &r, NULL);
    answer(text, sizeof text);
    assert_string_equal(text, "1.0 8 400 denied   ");
}

static void a_malformed_request_is_refused(void **state)
{
    (void)state;
    char full[65], text[300];
    memset(full, 'x', 64);
    full[64] = '\0';
    const char *const cases[][PARTS] = {
        { "2.0", "1", "", "a", "", "NULL" },
        { "1.0", full, "", "a", "", "NULL" }, /* one byte too long for its buffer, with the NUL */
        { "1.0", "1", full, "a", "", "NULL" },
        { "1.0", "1", "", full, "", "NULL" },
        { "1.0", "1", "", "a", "" },
        { "1.0", "1", "", "a", "", "NULL", KEY },
        { "1.0", "1", "", "a", "", "PLAIN", "name", "word" },
        { "1.0", "1", "", "a", "", "CURVE" },
        { "1.0", "1", "", "a", "", "CURVE", "short" },
        { "1.0", "1", "", "a", "", "CURVE", KEY "x" },
        { "1.0", "1", "", "a", "", "CURVE", KEY, "more" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct zap_request r;
        ask(cases[i]);
        assert_false(zap_receive(handler, &r));
        answer(text, sizeof text);
        if (!strstr(text, " 400 denied "))
            fail_msg("case %zu: %s", i, text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_peers_key_and_address_are_reported, begin, end),
        cmocka_unit_test_setup_teardown(a_peer_without_a_key_is_reported_without_one, begin, end),
        cmocka_unit_test_setup_teardown(a_malformed_request_is_refused, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

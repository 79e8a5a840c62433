/* Endpoints and names of peers, as text. */
#include "broker/net/endpoints.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char *ingress_of(const char *control)
{
    static char out[128];
    endpoint_ingress(control, out, sizeof out);
    return out;
}

static const char *advertised(const char *bound)
{
    static char out[128];
    endpoint_advertise(bound, out, sizeof out);
    return out;
}

static const char *named(enum transport transport, const char *address)
{
    static char out[112];
    peer_name(transport, address, out, sizeof out);
    return out;
}

static void the_ingress_is_the_next_port(void **state)
{
    (void)state;
    assert_string_equal(ingress_of("tcp://127.0.0.1:7400"), "tcp://127.0.0.1:7401");
    assert_string_equal(ingress_of("tcp://[::1]:7400"), "tcp://[::1]:7401");
    assert_string_equal(ingress_of("tcp://127.0.0.1:0"), "tcp://127.0.0.1:0");
    assert_string_equal(ingress_of("ipc:///run/b"), "ipc:///run/b.ingress");
    assert_string_equal(ingress_of("inproc://b"), "inproc://b.ingress");
}

static void clients_fill_in_the_host_of_tcp(void **state)
{
    (void)state;
    assert_string_equal(advertised("tcp://0.0.0.0:7401"), "tcp://*:7401");
    assert_string_equal(advertised("tcp://[::1]:7401"), "tcp://*:7401");
    assert_string_equal(advertised("ipc:///run/b.ingress"), "ipc:///run/b.ingress");
}

static void listening_beyond_loopback_needs_insecure(void **state)
{
    (void)state;
    struct error e = { "" };
    assert_true(endpoint_check_listen("tcp://127.0.0.1:7400", false, &e));
    assert_true(endpoint_check_listen("tcp://[::1]:7400", false, &e));
    assert_true(endpoint_check_listen("tcp://localhost:7400", false, &e));
    assert_false(endpoint_check_listen("tcp://0.0.0.0:7400", false, &e));
    assert_non_null(strstr(e.text, "insecure: true"));
    assert_true(endpoint_check_listen("tcp://0.0.0.0:7400", true, &e));
    assert_false(endpoint_check_listen("tcp://127.0.0.1", false, &e));
    assert_non_null(strstr(e.text, "no port"));
    assert_false(endpoint_check_listen("tcp://127.0.0.1:65536", false, &e));
    assert_non_null(strstr(e.text, "at most 65535"));
    assert_false(endpoint_check_listen("ipc://relative", false, &e));
    assert_false(endpoint_check_listen("http://x:1", false, &e));
}

static void peers_have_one_name_each(void **state)
{
    (void)state;
    assert_string_equal(named(TRANSPORT_TCP, "10.0.0.7"), "ip:10.0.0.7");
    assert_string_equal(named(TRANSPORT_TCP, "::ffff:10.0.0.7"), "ip:10.0.0.7");
    assert_string_equal(named(TRANSPORT_TCP, "fd00::7"), "ip:fd00::7");
    assert_string_equal(named(TRANSPORT_IPC, "localhost:1000:100:4711"), "uid:1000");
    assert_string_equal(named(TRANSPORT_IPC, NULL), "ipc");
    assert_string_equal(named(TRANSPORT_INPROC, NULL), "inproc");
    assert_int_equal(peer_transport("localhost:0:0:1"), TRANSPORT_IPC);
    assert_int_equal(peer_transport("127.0.0.1"), TRANSPORT_TCP);
}

static void a_key_stands_before_its_address(void **state)
{
    (void)state;
    static const char key[] = "@.-:+=^!/*?&<>()[]{}@%$#0123456789abcde@"; /* Z85 has '@' and ':' too */
    char peer[112], back[41];
    memset(back, 'x', sizeof back);
    peer_key_name(key, "::ffff:10.0.0.7", peer, sizeof peer);
    assert_string_equal(peer, "key:@.-:+=^!/*?&<>()[]{}@%$#0123456789abcde@@10.0.0.7");
    assert_true(peer_key(peer, back));
    assert_string_equal(back, key);
    assert_false(peer_key("ip:10.0.0.7", back));
    assert_false(peer_key("key:short@10.0.0.7", back));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_ingress_is_the_next_port),
        cmocka_unit_test(clients_fill_in_the_host_of_tcp),
        cmocka_unit_test(listening_beyond_loopback_needs_insecure),
        cmocka_unit_test(peers_have_one_name_each),
        cmocka_unit_test(a_key_stands_before_its_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

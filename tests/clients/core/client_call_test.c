/* Control calls: the pure client against a scripted broker. */
#include "tests/clients/core/script.h"

static void a_call_is_repeated_each_second_under_one_id(void **state)
{
    struct script *s = *state;
    attach(s);
    call(s, 'a', CALL_PURGE, "orders", 10000);
    assert_string_equal(trace(s), "call 1 purge");
    pass(s, 999);
    trace(s);
    pass(s, 1);
    assert_string_equal(trace(s), "call 1 purge");
    reply_to(s, s->calls[0], REASON_ok);
    assert_non_null(strstr(trace(s), "replied a ok"));
    pass(s, 1000);
    assert_string_equal(trace(s), "");
}

static void a_call_is_held_until_a_broker_is_there(void **state)
{
    struct script *s = *state;
    call(s, 'a', CALL_PURGE, "orders", 10000);
    call(s, 'b', CALL_PURGE, "orders", 10000);
    assert_string_equal(trace(s), "");
    until_asked(s);
    hello(s);
    assert_null(strstr(trace(s), "purge"));
    accept_attach(s);
    assert_non_null(strstr(trace(s), "call 1 purge; call 2 purge"));
}

static void a_call_without_a_broker_is_never_sent(void **state)
{
    struct script *s = *state;
    call(s, 'a', CALL_PURGE, "orders", 1500);
    pass(s, 1500);
    assert_non_null(strstr(trace(s), "replied a unavailable"));
    s->asked = false;
    attach(s);
    pass(s, 1000);
    assert_null(strstr(trace(s), "purge"));
}

static void a_call_under_way_leaves_the_socket_with_the_broker(void **state)
{
    struct script *s = *state;
    attach(s);
    call(s, 'a', CALL_PURGE, "orders", 60000);
    trace(s);
    s->silent = true;
    pass(s, 10000);
    assert_false(client_is_attached(s->client));
    const char *seen = trace(s), *away = strstr(seen, "away");
    assert_non_null(away);
    assert_non_null(strstr(seen, "call 1 purge")); /* repeated until the broker is known to be gone */
    assert_null(strstr(away, "purge"));
    assert_non_null(strstr(seen, "control"));
}

static void each_call_has_an_id_of_its_own(void **state)
{
    struct script *s = *state;
    attach(s);
    call(s, 'a', CALL_PURGE, "orders", 10000);
    call(s, 'b', CALL_PURGE, "orders", 10000);
    assert_string_equal(trace(s), "call 1 purge; call 2 purge");
    reply_to(s, s->calls[1], REASON_unknown_queue);
    reply_to(s, s->calls[0], REASON_ok);
    assert_string_equal(trace(s), "replied b unknown_queue; replied a ok");
}

static void a_reply_for_another_id_is_ignored(void **state)
{
    struct script *s = *state;
    attach(s);
    call(s, 'a', CALL_PURGE, "orders", 10000);
    trace(s);
    reply_to(s, (struct token){ 1, 2 }, REASON_ok);
    reply_to(s, (struct token){ 0, 0 }, REASON_invalid);
    assert_string_equal(trace(s), "");
    reply_to(s, s->calls[0], REASON_ok);
    reply_to(s, s->calls[0], REASON_ok); /* the repeated call's answer */
    assert_string_equal(trace(s), "replied a ok");
}

static void garbage_on_the_control_socket_is_ignored(void **state)
{
    struct script *s = *state;
    attach(s);
    call(s, 'a', CALL_PURGE, "orders", 10000);
    trace(s);
    client_control_in(s->client, span_str("\xff\xff not a reply"), s->now);
    client_control_in(s->client, (struct span){ 0 }, s->now);
    assert_string_equal(trace(s), "");
    assert_true(client_is_attached(s->client));
}

static void a_call_without_an_answer_is_unavailable_at_its_time(void **state)
{
    struct script *s = *state;
    attach(s);
    call(s, 'a', CALL_PURGE, "orders", 1500);
    pass(s, 1499);
    assert_string_equal(trace(s), "call 1 purge; call 1 purge");
    pass(s, 1);
    assert_string_equal(trace(s), "replied a unavailable");
    pass(s, 3000);
    reply_to(s, s->calls[0], REASON_ok);
    assert_string_equal(trace(s), "");
}

static void a_forgotten_call_calls_nobody(void **state)
{
    struct script *s = *state;
    attach(s);
    call(s, 'a', CALL_PURGE, "orders", 10000);
    call(s, 'b', CALL_PURGE, "orders", 1000);
    call(s, 'c', CALL_PURGE, "orders", 10000);
    client_call_forget(s->client, script_cookie('a'));
    client_call_forget(s->client, script_cookie('b'));
    trace(s);
    reply_to(s, s->calls[0], REASON_ok);
    pass(s, 2000);
    assert_null(strstr(trace(s), "replied"));
    reply_to(s, s->calls[2], REASON_ok);
    assert_string_equal(trace(s), "replied c ok");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scripted(a_call_is_repeated_each_second_under_one_id),
        scripted(a_call_is_held_until_a_broker_is_there),
        scripted(a_call_without_a_broker_is_never_sent),
        scripted(a_call_under_way_leaves_the_socket_with_the_broker),
        scripted(each_call_has_an_id_of_its_own),
        scripted(a_reply_for_another_id_is_ignored),
        scripted(garbage_on_the_control_socket_is_ignored),
        scripted(a_call_without_an_answer_is_unavailable_at_its_time),
        scripted(a_forgotten_call_calls_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Attaching, resuming, and the ends of sessions. */
#include "tests/broker/core/driver.h"

#include <stdio.h>
#include <string.h>

/* Sends an attach whose request the test wrote itself; returns the reply. */
static const struct reply *attach_as(struct driver *d, struct request *r, const char *identity)
{
    struct buf bytes = { 0 };
    struct route route = { .id = { 255 }, .size = 1 };
    r->call = CALL_ATTACH;
    r->queue = "";
    r->u.attach.name = r->u.attach.name ? r->u.attach.name : "someone";
    if (token_is_zero(r->id))
        r->id = (struct token){ 99, ++d->next_request };
    if (!r->u.attach.version)
        r->u.attach.version = r->u.attach.least_version = PROTOCOL_VERSION;
    request_pack(r, &bytes);
    core_control(d->core, buf_span(&bytes), &route, identity, d->now);
    buf_free(&bytes);
    turn(d);
    return &d->reply;
}

static const char *refused_as(struct driver *d, const char *inbox, const char *identity)
{
    struct request r = { .u.attach = { .inbox = inbox, .producer = { 1, 1 } } };
    unsigned before = d->replies;
    const struct reply *reply = attach_as(d, &r, identity);
    return d->replies == before ? "dialled" : reason_info(reply->reason)->name;
}

static void a_new_session_is_attached_once_it_echoed_hello(void **state)
{
    struct driver *d = *state;
    struct peer *p = peer_new(d, "orders-7f9c/1");
    request_attach(p);
    assert_string_equal(heard(p), "hello tcp://*:7700");
    assert_false(is_attached(p));
    echo(p);
    assert_string_equal(heard(p), "attached");
    assert_true(is_attached(p));
    assert_int_equal(p->epoch, 1);
    assert_int_equal(d->reply.u.attached.window_events, d->config.window_events);
    assert_int_equal(d->reply.u.attached.incarnation, 5);
    assert_int_equal(d->reply.u.attached.max_event, 1 << 20);
    assert_true(logged(d, "orders-7f9c/1: attached from ip:10.0.0.1, inbox tcp://10.0.0.1:7001"));
}

static void a_long_name_is_cut_between_characters(void **state)
{
    static const struct {
        const char *last;
        size_t kept;
    } ends[] = { { "xx", 64 }, { "\u00e4", 63 }, { "x\u00e4", 64 }, { "\U0001f407", 63 }, { "", 63 } };
    struct driver *d = *state;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char name[80], inbox[40];
        snprintf(name, sizeof name, "%063d%s", 0, ends[i].last);
        snprintf(inbox, sizeof inbox, "tcp://*:%zu", 7100 + i);
        driver_restart(d);
        struct request r = { .u.attach = { .inbox = inbox, .producer = { 1, 1 }, .name = name } };
        attach_as(d, &r, "ip:10.0.0.1");
        assert_non_null(d->core->sessions);
        assert_int_equal(strlen(d->core->sessions->name), ends[i].kept);
        assert_memory_equal(d->core->sessions->name, name, ends[i].kept);
    }
}

static void nothing_is_taken_before_the_echo(void **state)
{
    struct driver *d = *state;
    struct peer *p = peer_new(d, "eager");
    declare(d, "orders", "capacity=3");
    request_attach(p);
    publish(p, "orders", 0, "early");
    assert_string_equal(ledger(d, "orders"), "accepted 0 acked 0 purged 0 dropped 0 remaining 0");
    assert_int_equal(broker(d).rejected, 1);
    p->sent = 0;
    echo(p);
    publish_from(p, "orders", 1, 0, "now");
    assert_string_equal(heard(p), "hello tcp://*:7700; attached; confirm orders 1 -> 1");
}

static void an_echo_of_another_request_does_not_open_the_session(void **state)
{
    struct driver *d = *state;
    struct peer *p = peer_new(d, "confused");
    request_attach(p);
    p->hello_id[3] ^= 1;
    echo(p);
    assert_false(is_attached(p));
    p->hello_id[3] ^= 1;
    echo(p);
    assert_true(is_attached(p));
    assert_int_equal(broker(d).rejected, 1);
}

static void an_unreachable_inbox_fails_the_attach_after_2_s_and_names_the_port(void **state)
{
    struct driver *d = *state;
    struct peer *p = peer_new(d, "walled");
    p->unreachable = true;
    request_attach(p);
    pass(d, 1999);
    assert_string_equal(heard(p), "");
    pass(d, 1);
    assert_string_equal(heard(p), "attach refused inbox_unreachable");
    assert_non_null(strstr(d->reply.detail, "tcp://10.0.0.1:7001"));
    assert_int_equal(broker(d).sessions, 0);
}

static void a_lane_that_cannot_be_dialled_fails_the_attach_at_once(void **state)
{
    struct driver *d = *state;
    struct peer *p = peer_new(d, "odd");
    request_attach(p);
    core_lane_failed(d->core, p->lane, REASON_inbox_unreachable, "no such device", d->now);
    turn(d);
    assert_string_equal(heard(p), "hello tcp://*:7700; attach refused inbox_unreachable; lane closed");
    assert_true(logged(d, "cannot dial tcp://10.0.0.1:7001: no such device"));
}

static void a_session_resumes_with_what_was_not_acknowledged(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    struct token token = p->token;
    declare(d, "orders", "capacity=9");
    consume(p, "orders");
    heard(p);
    p->deaf = true;
    publish(p, "orders", 0, "one two");
    credit(p, "orders", 2);
    p->deaf = false;
    request_attach(p);
    assert_string_equal(heard(p), "lane closed; hello tcp://*:7700");
    echo(p);
    assert_string_equal(heard(p),
                        "attached resumed known; confirm orders 1..2 -> 1; deliver orders d1..2 s1..2 a1 one two");
    assert_true(token_equal(p->token, token));
    assert_int_equal(p->epoch, 2);
    ack(p, "orders", 1, 2);
    assert_string_equal(heard(p), "settled orders 1..2 acked");
    assert_int_equal(broker(d).resent, 2);
}

static void deliveries_wait_while_a_session_resumes(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p"), *q = attached(d, "q");
    declare(d, "orders", "capacity=9");
    consume(p, "orders");
    credit(p, "orders", 5);
    heard(p);
    request_attach(p);
    publish(q, "orders", 0, "one");
    assert_string_equal(heard(p), "lane closed; hello tcp://*:7700");
    echo(p);
    assert_string_equal(heard(p), "attached resumed known; deliver orders d1 s1 a1 one");
}

static void a_resume_that_fails_leaves_the_session_until_its_timeout(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    p->unreachable = p->silent = true;
    request_attach(p);
    pass(d, 2000);
    assert_string_equal(heard(p), "lane closed; attach refused inbox_unreachable");
    assert_int_equal(broker(d).sessions, 1);
    p->unreachable = false;
    attach(p);
    assert_int_equal(p->epoch, 3);
    p->unreachable = true;
    request_attach(p);
    pass(d, 10000);
    assert_int_equal(broker(d).sessions, 0);
}

static void a_token_is_no_use_to_another_peer(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p"), *thief = peer_new(d, "thief");
    declare(d, "orders", "capacity=9");
    thief->token = p->token;
    request_attach(thief);
    assert_string_equal(heard(thief), "attach refused unknown_session");
    thief->epoch = p->epoch;
    publish(thief, "orders", 0, "forged");
    assert_int_equal(broker(d).rejected, 1);
    publish(p, "orders", 0, "mine");
    assert_string_equal(heard(p), "confirm orders 1 -> 1");
}

static void nobody_else_can_echo_a_hello(void **state)
{
    struct driver *d = *state;
    struct peer *p = peer_new(d, "p"), *thief = peer_new(d, "thief");
    request_attach(p);
    thief->token = p->token;
    thief->epoch = p->epoch;
    memcpy(thief->hello_id, p->hello_id, sizeof p->hello_id);
    echo(thief);
    assert_false(is_attached(p));
    echo(p);
    assert_true(is_attached(p));
}

static void an_unknown_token_is_answered_unknown_session(void **state)
{
    struct driver *d = *state;
    struct peer *p = peer_new(d, "p");
    p->token = (struct token){ 3, 4 };
    request_attach(p);
    assert_string_equal(heard(p), "attach refused unknown_session");
}

static void versions_must_overlap(void **state)
{
    struct driver *d = *state;
    struct request newer = { .u.attach = { .version = 3, .least_version = 2, .producer = { 1, 1 } } };
    newer.u.attach.inbox = "tcp://*:7001";
    assert_int_equal(attach_as(d, &newer, "ip:10.0.0.1")->reason, REASON_version);
    struct request both = newer;
    both.id = (struct token){ 0 };
    both.u.attach.least_version = 1;
    unsigned before = d->replies;
    attach_as(d, &both, "ip:10.0.0.1");
    assert_int_equal(d->replies, before); /* not answered yet: the inbox was dialled */
}

static void an_inbox_must_fit_the_transport_its_owner_came_by(void **state)
{
    struct driver *d = *state;
    assert_string_equal(refused_as(d, "tcp://*:7001", "ip:10.0.0.1"), "dialled");
    assert_string_equal(refused_as(d, "ipc:///run/a", "uid:1000"), "dialled");
    assert_string_equal(refused_as(d, "inproc://a", "inproc"), "dialled");
    assert_string_equal(refused_as(d, "tcp://10.0.0.9:7001", "ip:10.0.0.1"), "denied");
    assert_string_equal(refused_as(d, "tcp://*:0", "ip:10.0.0.1"), "denied");
    assert_string_equal(refused_as(d, "tcp://*:65536", "ip:10.0.0.1"), "denied");
    assert_string_equal(refused_as(d, "tcp://*:70x", "ip:10.0.0.1"), "denied");
    assert_string_equal(refused_as(d, "ipc:///run/a", "ip:10.0.0.1"), "denied");
    assert_string_equal(refused_as(d, "inproc://a", "uid:1000"), "denied");
    assert_string_equal(refused_as(d, "tcp://*:7001", "uid:1000"), "denied");
    assert_string_equal(refused_as(d, "", "ip:10.0.0.1"), "denied");
    struct request nameless = { .u.attach.inbox = "tcp://*:7001" };
    assert_int_equal(attach_as(d, &nameless, "ip:10.0.0.1")->reason, REASON_invalid);
}

static void an_ipv6_inbox_is_dialled_in_brackets(void **state)
{
    struct driver *d = *state;
    struct peer *p = peer_new(d, "six");
    snprintf(p->identity, sizeof p->identity, "ip:fd00::7");
    snprintf(p->endpoint, sizeof p->endpoint, "tcp://[fd00::7]:7001");
    attach(p);
}

static void a_silent_session_ends_after_the_session_timeout(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "quiet"), *q = attached(d, "lively");
    p->silent = true;
    pass(d, 9999);
    assert_true(is_attached(p));
    pass(d, 1);
    assert_false(is_attached(p));
    assert_true(is_attached(q));
    assert_string_equal(heard(p), "lane closed");
    assert_true(logged(d, "quiet: session ended: it was silent"));
    assert_int_equal(broker(d).sessions_ended, 1);
    request_attach(p);
    assert_string_equal(heard(p), "attach refused unknown_session");
}

static void a_session_that_does_not_read_ends_too(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    p->deaf = true;
    consume(p, "nothing");
    pass(d, 9990);
    assert_true(is_attached(p));
    pass(d, 10);
    assert_false(is_attached(p));
    assert_true(broker(d).resent >= 5); /* it was sent again several times */
}

static void lost_frames_are_sent_again(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    declare(d, "orders", "capacity=9");
    p->deaf = true;
    publish(p, "orders", 0, "one");
    publish(p, "orders", 0, "two");
    p->deaf = false;
    pass(d, 199);
    assert_string_equal(heard(p), "");
    pass(d, 1);
    assert_string_equal(heard(p), "confirm orders 1 -> 1; confirm orders 2 -> 2");
    pass(d, 5000);
    assert_string_equal(heard(p), "");
}

static void a_producer_attached_anew_fences_the_older_session(void **state)
{
    struct driver *d = *state;
    struct peer *old = attached(d, "old"), *new = peer_new(d, "new");
    declare(d, "orders", "capacity=9");
    publish(old, "orders", 0, "one");
    new->producer = old->producer;
    request_attach(new);
    assert_true(is_attached(old)); /* as long as the newer one has not echoed Hello */
    echo(new);
    assert_false(is_attached(old));
    assert_string_equal(heard(new), "hello tcp://*:7700; attached known | orders through 1: 1 -> 1");
    publish_from(new, "orders", 2, 0, "two");
    assert_string_equal(heard(new), "confirm orders 2 -> 2");
}

static void bye_ends_a_session_in_order(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p");
    bye(p);
    assert_false(is_attached(p));
    assert_string_equal(heard(p), "lane closed");
    assert_int_equal(broker(d).sessions_ended, 0); /* neither a timeout nor a violation */
}

static void sessions_are_limited(void **state)
{
    struct driver *d = *state;
    d->config.max_sessions = 2;
    driver_restart(d);
    struct peer *p = attached(d, "a");
    attached(d, "b");
    struct peer *third = peer_new(d, "c");
    request_attach(third);
    assert_string_equal(heard(third), "attach refused busy");
    attach(p); /* resuming does not count as a new session */
    bye(p);
    attach(third);
}

static void a_stopping_broker_says_bye_and_takes_nobody(void **state)
{
    struct driver *d = *state;
    struct peer *p = attached(d, "p"), *late = peer_new(d, "late");
    declare(d, "orders", "capacity=1");
    publish(p, "orders", 1000, "one two");
    core_stop(d->core, d->now);
    turn(d);
    assert_string_equal(heard(p), "confirm orders 1 -> 1; refuse orders 2 draining 1/1; bye");
    publish(p, "orders", 1000, "three");
    assert_string_equal(heard(p), "refuse orders 3 draining 1/1");
    request_attach(late);
    assert_string_equal(heard(late), "attach refused draining");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        driven(a_new_session_is_attached_once_it_echoed_hello),
        driven(a_long_name_is_cut_between_characters),
        driven(nothing_is_taken_before_the_echo),
        driven(an_echo_of_another_request_does_not_open_the_session),
        driven(an_unreachable_inbox_fails_the_attach_after_2_s_and_names_the_port),
        driven(a_lane_that_cannot_be_dialled_fails_the_attach_at_once),
        driven(a_session_resumes_with_what_was_not_acknowledged),
        driven(deliveries_wait_while_a_session_resumes),
        driven(a_resume_that_fails_leaves_the_session_until_its_timeout),
        driven(a_token_is_no_use_to_another_peer),
        driven(nobody_else_can_echo_a_hello),
        driven(an_unknown_token_is_answered_unknown_session),
        driven(versions_must_overlap),
        driven(an_inbox_must_fit_the_transport_its_owner_came_by),
        driven(an_ipv6_inbox_is_dialled_in_brackets),
        driven(a_silent_session_ends_after_the_session_timeout),
        driven(a_session_that_does_not_read_ends_too),
        driven(lost_frames_are_sent_again),
        driven(a_producer_attached_anew_fences_the_older_session),
        driven(bye_ends_a_session_in_order),
        driven(sessions_are_limited),
        driven(a_stopping_broker_says_bye_and_takes_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "sidecar/api/subscription.h"

static bool put(struct subscription_settings *s, const char *key, const char *value, struct error *why)
{
    return subscription_parse(s, span_str(key), span_str(value), why);
}

static void refuses(const char *key, const char *value, const char *says)
{
    struct subscription_settings s = { 0 };
    struct error why = { "" };
    assert_false(put(&s, key, value, &why));
    if (!strstr(why.text, says))
        fail_msg("'%s' is not in '%s'", says, why.text);
}

static void each_key_has_its_range(void **state)
{
    (void)state;
    refuses("queue", "a b", "queue's name");
    refuses("queue", "", "queue's name");
    refuses("url", "", "1 to 2048");
    refuses("url", "http://127.0.0.1/\n", "percent-encoded");
    refuses("url", "http://127.0.0.1/\xc3\xa4", "percent-encoded");
    refuses("concurrency", "0", "between 1 and 1000");
    refuses("concurrency", "1001", "between 1 and 1000");
    refuses("concurrency", "99999999999999999999999", "between 1 and 1000");
    refuses("concurrency", "-1", "whole number");
    refuses("concurrency", "", "between");
    refuses("timeout", "5", "duration");
    refuses("timeout", "99ms", "between 100ms and 12h");
    refuses("timeout", "13h", "between 100ms and 12h");
    refuses("dialect", "Dapr", "cloudevents or dapr");
    refuses("handshake", "yes", "true or false");
    refuses("conccurrency", "1", "did you mean 'concurrency'");
    refuses("whatever-it-is", "1",
            "unknown key 'whatever-it-is'; known here: queue, url, concurrency, timeout, dialect, handshake");
}

static void missing_keys_have_defaults_or_are_required(void **state)
{
    struct subscription_settings s = { 0 };
    struct error why;
    (void)state;
    assert_false(subscription_complete(&s, NULL, &why));
    assert_non_null(strstr(why.text, "'queue' is missing"));
    assert_true(put(&s, "queue", "orders", &why));
    assert_false(subscription_complete(&s, NULL, &why));
    assert_non_null(strstr(why.text, "'url' is missing"));
    assert_true(put(&s, "url", "http://127.0.0.1:8080/events", &why));
    assert_true(subscription_complete(&s, NULL, &why));
    assert_true(s.concurrency == 1 && s.timeout_ms == 25000 && !s.handshake);
    assert_true(put(&s, "handshake", "true", &why) && subscription_complete(&s, NULL, &why));
    assert_true(put(&s, "dialect", "dapr", &why));
    assert_false(subscription_complete(&s, NULL, &why));
    assert_non_null(strstr(why.text, "dapr has none"));
}

static void a_change_keeps_what_it_does_not_name(void **state)
{
    struct subscription_settings s = { 0 }, change = { 0 }, same;
    struct error why;
    (void)state;
    assert_true(put(&s, "queue", "orders", &why) && put(&s, "url", "unix:/a:/b", &why) &&
                put(&s, "concurrency", "7", &why) && put(&s, "handshake", "true", &why));
    same = s;
    assert_true(subscription_put_number(&change, span_str("concurrency"), 9, &why));
    assert_true(subscription_put_bool(&change, span_str("handshake"), false, &why));
    assert_true(s.timeout_ms == 0 && put(&s, "timeout", "7s", &why));
    same.timeout_ms = 7000;
    subscription_merge(&s, &change);
    assert_true(s.concurrency == 9 && !s.handshake && s.timeout_ms == 7000);
    assert_string_equal(s.queue, "orders");
    assert_string_equal(s.url, "unix:/a:/b");
    assert_true(subscription_equal(&s, &s) && !subscription_equal(&s, &same));
}

static void each_key_changes_nothing_but_itself(void **state)
{
    static const char *const first[][2] = { { "queue", "orders" }, { "url", "unix:/a:/b" }, { "concurrency", "7" },
                                            { "timeout", "1s" },   { "handshake", "true" }, { "dialect", "dapr" } };
    static const char *const then[][2] = {
        { "queue", "mails" }, { "url", "unix:/c:/d" },  { "concurrency", "1000" },
        { "timeout", "2s" },  { "handshake", "false" }, { "dialect", "cloudevents" }
    };
    (void)state;
    for (size_t i = 0; i < sizeof then / sizeof *then; i++) {
        struct subscription_settings s = { 0 }, change = { 0 }, wanted = { 0 };
        struct error why;
        for (size_t k = 0; k < sizeof first / sizeof *first; k++) {
            const char *const *of = k == i ? then[k] : first[k];
            assert_true(put(&s, first[k][0], first[k][1], &why) && put(&wanted, of[0], of[1], &why));
        }
        assert_true(put(&change, then[i][0], then[i][1], &why));
        subscription_merge(&s, &change);
        assert_true(subscription_equal(&s, &wanted));
    }
}

static void check_url(const char *url, const struct setting_list *allow, bool fine)
{
    struct subscription_settings s = { 0 };
    struct error why;
    assert_true(put(&s, "queue", "q", &why));
    if (put(&s, "url", url, &why) && subscription_complete(&s, allow, &why) != fine)
        fail_msg("%s: %s", url, fine ? why.text : "was taken");
}

static const char too_long[] =
    "unix:/01234567890123456789012345678901234567890123456789" /* a socket's path has 107 bytes */
    "012345678901234567890123456789012345678901234567890123456";

static void urls_lead_to_loopback_a_socket_or_a_listed_host(void **state)
{
    static char *listed[] = { "app.example", "10.0.0.1:8080", "[::5]:80" };
    static const struct setting_list allow = { listed, 3 };
    static const char *const fine[] = {
        "http://127.0.0.1",         "http://127.0.0.1/",     "http://127.1.2.3:65535/x?y=z",
        "HTTP://localhost:1",       "http://LOCALHOST/",     "http://[::1]:8080/",
        "http://[0:0:0:0:0:0:0:1]", "http://127.0.0.1?x=@y", "unix:/run/app.sock",
        "unix:/run/app.sock:/",     "unix:/a:/b?c=d:e",      "http://app.example:99/",
        "http://APP.example",       "http://10.0.0.1:8080/", "http://[::5]/",
    };
    static const char *const bad[] = {
        "http://",
        "http:///x",
        "http://:80/",
        "http://127.0.0.1:/",
        "http://127.0.0.1:0/",
        "http://127.0.0.1:65536/",
        "http://127.0.0.1:8x/",
        "http://127.0.0.1:000080/",
        "http://127.1/",
        "http://0177.0.0.1/",
        "http://2130706433/",
        "http://0.0.0.0/",
        "http://127.0.0.1.example/",
        "http://localhost.example/",
        "http://user@127.0.0.1/",
        "http://127.0.0.1:80@example/",
        "http://app.example@evil.example/",
        "http://app.example.evil/",
        "http://10.0.0.1:8081/",
        "http://10.0.0.1/",
        "http://[::1/",
        "http://[::1]x/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::1%25lo]/",
        "http://127.0.0.1%2fx/",
        "http://127.0.0.1\\x/",
        "http://127.0.0.1,example/",
        "https://127.0.0.1/",
        "ftp://127.0.0.1/",
        "127.0.0.1:80",
        "unix:",
        "unix:relative",
        "unix:/",
        "unix:/a:b",
        too_long,
    };
    (void)state;
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++)
        check_url(fine[i], &allow, true);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        check_url(bad[i], &allow, false);
}

static void a_socket_s_url_has_its_path_apart(void **state)
{
    struct subscription_target t;
    (void)state;
    subscription_target("http://127.0.0.1:8080/x", &t);
    assert_string_equal(t.socket, "");
    assert_string_equal(t.url, "http://127.0.0.1:8080/x");
    subscription_target("unix:/run/app.sock", &t);
    assert_string_equal(t.socket, "/run/app.sock");
    assert_string_equal(t.url, "http://localhost/");
    subscription_target("unix:/run/app.sock:/in?x=a:b", &t);
    assert_string_equal(t.socket, "/run/app.sock");
    assert_string_equal(t.url, "http://localhost/in?x=a:b");
}

static void what_is_kept_is_read_as_it_was_written(void **state)
{
    struct subscription_settings s = { 0 }, read;
    struct error why;
    struct buf kept = { 0 };
    (void)state;
    assert_true(subscription_parse(&s, span_str("queue"), span_str("orders"), &why));
    assert_true(subscription_parse(&s, span_str("url"), span_str("unix:/run/a%20b:/x?y=1"), &why));
    assert_true(subscription_parse(&s, span_str("timeout"), span_str("90500ms"), &why));
    assert_true(subscription_parse(&s, span_str("concurrency"), span_str("17"), &why));
    assert_true(subscription_parse(&s, span_str("dialect"), span_str("dapr"), &why));
    assert_true(subscription_complete(&s, NULL, &why));
    subscription_write(&s, &kept);
    assert_true(subscription_read(buf_span(&kept), &read, &why));
    assert_true(subscription_complete(&read, NULL, &why));
    assert_true(subscription_equal(&s, &read));
    struct subscription_settings plain = s;
    assert_true(subscription_parse(&plain, span_str("handshake"), span_str("true"), &why));
    buf_clear(&kept);
    subscription_write(&plain, &kept);
    assert_true(subscription_read(buf_span(&kept), &read, &why) && read.handshake);
    assert_false(subscription_equal(&s, &read));
    assert_false(subscription_read(span_of(kept.data, kept.size - 1), &read, &why));
    assert_false(subscription_read(span_str("later key\n"), &read, &why));
    assert_false(subscription_read(span_str("queue\n"), &read, &why));
    buf_free(&kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_kept_is_read_as_it_was_written),
        cmocka_unit_test(each_key_has_its_range),
        cmocka_unit_test(missing_keys_have_defaults_or_are_required),
        cmocka_unit_test(a_change_keeps_what_it_does_not_name),
        cmocka_unit_test(each_key_changes_nothing_but_itself),
        cmocka_unit_test(urls_lead_to_loopback_a_socket_or_a_listed_host),
        cmocka_unit_test(a_socket_s_url_has_its_path_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

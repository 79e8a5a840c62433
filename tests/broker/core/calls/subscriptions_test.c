/* Subscriptions that are kept for an application's sidecars. */
#include "broker/core/calls/subscriptions.h"
#include "tests/broker/core/driver.h"

#include <stdio.h>

/* "s=one@1 t=two@2", revisions counted from the start's; a refusal's reason. */
static const char *say(struct driver *d, struct request *r, uint64_t *revision)
{
    static char text[1000];
    const struct reply *reply = ask(d, r);
    uint64_t base = d->core->config.incarnation << 20;
    size_t size = 0;
    text[0] = '\0';
    if (reply->reason != REASON_ok)
        return reason_info(reply->reason)->name;
    assert_int_equal(reply->result, RESULT_SUBSCRIPTIONS);
    if (revision)
        *revision = reply->u.subscriptions.revision;
    if (reply->u.subscriptions.same)
        return "same";
    for (size_t i = 0; i < reply->u.subscriptions.count; i++) {
        const struct kept_subscription *k = &reply->u.subscriptions.items[i];
        size += (size_t)snprintf(text + size, sizeof text - size, "%s%s=%.*s@%llu", i ? " " : "", k->name,
                                 (int)k->settings.size, (const char *)k->settings.data,
                                 (unsigned long long)(k->revision - base));
    }
    snprintf(text + size, sizeof text - size, "%s", reply->u.subscriptions.created ? " (new)" : "");
    return text;
}

static const char *put(struct driver *d, const char *app, const char *name, const char *settings)
{
    struct request r = { .call = CALL_PUT_SUBSCRIPTION, .queue = "" };
    r.u.subscription.app = app, r.u.subscription.name = name, r.u.subscription.settings = span_str(settings);
    return say(d, &r, NULL);
}

static const char *drop(struct driver *d, const char *app, const char *name)
{
    struct request r = { .call = CALL_DELETE_SUBSCRIPTION, .queue = "" };
    r.u.subscription.app = app, r.u.subscription.name = name;
    return say(d, &r, NULL);
}

static const char *list(struct driver *d, const char *app, uint64_t known, uint64_t *revision)
{
    struct request r = { .call = CALL_SUBSCRIPTIONS, .queue = "" };
    r.u.subscription.app = app, r.u.subscription.name = "", r.u.subscription.known = known;
    return say(d, &r, revision);
}

static void each_application_has_its_own_subscriptions(void **state)
{
    struct driver *d = *state;
    attached(d, "p");
    assert_string_equal(put(d, "shop", "t", "two"), "t=two@1 (new)");
    assert_string_equal(put(d, "shop", "s", "one"), "s=one@2 t=two@1 (new)");
    assert_string_equal(put(d, "mail", "s", "other"), "s=other@3 (new)");
    assert_string_equal(put(d, "shop", "s", "changed"), "s=changed@4 t=two@1");
    assert_string_equal(drop(d, "mail", "t"), "not_found");
    assert_string_equal(drop(d, "shop", "t"), "s=changed@4");
    assert_string_equal(list(d, "mail", 0, NULL), "s=other@3");
    assert_string_equal(list(d, "nobody", 0, NULL), "");
}

static void a_list_that_is_known_is_not_sent_again(void **state)
{
    struct driver *d = *state;
    uint64_t revision, later;
    attached(d, "p");
    assert_string_equal(list(d, "shop", 0, &revision), "");
    assert_string_equal(list(d, "shop", revision, NULL), "same");
    put(d, "shop", "s", "one");
    assert_string_equal(list(d, "shop", revision, &later), "s=one@1");
    assert_true(later > revision);
    assert_string_equal(list(d, "shop", later, NULL), "same");
    drop(d, "shop", "s");
    assert_string_equal(list(d, "shop", later, NULL), "");
}

static void invalid_names_are_refused(void **state)
{
    struct driver *d = *state;
    attached(d, "p");
    assert_string_equal(put(d, "", "s", "x"), "invalid");
    assert_string_equal(put(d, "shop", "a b", "x"), "invalid");
    assert_string_equal(list(d, "a/b", 0, NULL), "invalid");
}

static void an_application_has_at_most_256(void **state)
{
    struct driver *d = *state;
    char name[16];
    attached(d, "p");
    for (unsigned i = 0; i < 256; i++) {
        struct request r = { .call = CALL_PUT_SUBSCRIPTION, .queue = "" };
        snprintf(name, sizeof name, "s%u", i);
        r.u.subscription.app = "shop", r.u.subscription.name = name, r.u.subscription.settings = span_str("");
        assert_int_equal(ask(d, &r)->reason, REASON_ok);
    }
    assert_string_equal(put(d, "shop", "more", "x"), "invalid");
    assert_string_equal(put(d, "mail", "s", "x"), "s=x@257 (new)");
}

static void the_number_of_subscriptions_is_bounded(void **state)
{
    struct driver *d = *state;
    char app[16], name[16];
    struct request r = { .call = CALL_PUT_SUBSCRIPTION, .queue = "" };
    attached(d, "p");
    for (unsigned i = 0; i < SUBSCRIPTIONS_MOST; i++) {
        snprintf(app, sizeof app, "a%u", i / 16);
        snprintf(name, sizeof name, "s%u", i);
        r.u.subscription.app = app, r.u.subscription.name = name, r.u.subscription.settings = span_str("");
        r.id = (struct token){ 0 };
        assert_int_equal(ask(d, &r)->reason, REASON_ok);
    }
    assert_string_equal(put(d, "mail", "s", "x"), "invalid");
    assert_non_null(strstr(d->reply.detail, "the broker keeps"));
    assert_string_equal(put(d, "mail", "s", "x"), "invalid");
    drop(d, app, name);
    assert_non_null(strstr(put(d, "mail", "s", "x"), "s=x@"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        driven(each_application_has_its_own_subscriptions),
        driven(a_list_that_is_known_is_not_sent_again),
        driven(invalid_names_are_refused),
        driven(an_application_has_at_most_256),
        driven(the_number_of_subscriptions_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

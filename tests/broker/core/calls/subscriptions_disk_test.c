/* Subscriptions on disk: what was answered survives the broker. */
#include "tests/broker/core/disk_driver.h"

#include <stdio.h>

static void change(enum call call, const char *name, const char *settings)
{
    struct request r = { .call = call, .queue = "" };
    r.u.subscription.app = "shop", r.u.subscription.name = name, r.u.subscription.settings = span_str(settings);
    assert_string_equal(ask_durably(&r), "ok");
}

/* "s=one t=two"; *revision is the list's. */
static const char *list(uint64_t *revision)
{
    static char text[200];
    struct request r = { .call = CALL_SUBSCRIPTIONS, .queue = "" };
    size_t size = 0;
    r.u.subscription.app = "shop", r.u.subscription.name = "";
    const struct reply *reply = ask(bench.d, &r);
    assert_int_equal(reply->result, RESULT_SUBSCRIPTIONS);
    *revision = reply->u.subscriptions.revision;
    text[0] = '\0';
    for (size_t i = 0; i < reply->u.subscriptions.count; i++) {
        const struct kept_subscription *k = &reply->u.subscriptions.items[i];
        size += (size_t)snprintf(text + size, sizeof text - size, "%s%s=%.*s", i ? " " : "", k->name,
                                 (int)k->settings.size, (const char *)k->settings.data);
    }
    return text;
}

static void make(void)
{
    joined("p");
    change(CALL_PUT_SUBSCRIPTION, "s", "one");
    change(CALL_PUT_SUBSCRIPTION, "t", "two");
    change(CALL_PUT_SUBSCRIPTION, "u", "three");
    change(CALL_PUT_SUBSCRIPTION, "s", "changed");
    change(CALL_DELETE_SUBSCRIPTION, "u", "");
}

static void subscriptions_survive_a_crash(void **state)
{
    uint64_t before, after;
    (void)state;
    make();
    assert_string_equal(list(&before), "s=changed t=two");
    crash(0);
    joined("q");
    assert_string_equal(list(&after), "s=changed t=two");
    assert_true(after >= before);
}

static void subscriptions_survive_an_orderly_stop(void **state)
{
    uint64_t before, after;
    (void)state;
    make();
    list(&before);
    stop_orderly();
    stop_orderly(); /* now only the snapshot has them */
    joined("q");
    assert_string_equal(list(&after), "s=changed t=two");
    assert_true(after >= before);
}

static void the_answer_waits_for_the_disk(void **state)
{
    struct request r = { .call = CALL_PUT_SUBSCRIPTION, .queue = "" };
    uint64_t revision;
    (void)state;
    joined("p");
    r.u.subscription.app = "shop", r.u.subscription.name = "s", r.u.subscription.settings = span_str("one");
    ask_only(bench.d, &r);
    crash(0); /* nobody was told */
    joined("q");
    assert_string_equal(list(&revision), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_disk(subscriptions_survive_a_crash),
        on_disk(subscriptions_survive_an_orderly_stop),
        on_disk(the_answer_waits_for_the_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

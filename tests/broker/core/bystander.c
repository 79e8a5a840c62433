#include "tests/broker/core/bystander.h"

#include <string.h>

struct peer *bystander(struct driver *d)
{
    struct peer *p = attached(d, "bystander");
    assert_string_equal(declare(d, ORDERS, "capacity=3"), "ok");
    publish(p, ORDERS, 0, "one two");
    consume(p, ORDERS);
    credit(p, ORDERS, 1);
    heard(p);
    return p;
}

void assert_undisturbed(struct peer *p)
{
    struct driver *d = p->driver;
    assert_true(is_attached(p));
    publish(p, ORDERS, 0, "three");
    ack(p, ORDERS, 1, 1);
    credit(p, ORDERS, 3);
    const char *words = heard(p);
    if (strcmp(words, "confirm orders 3 -> 3; settled orders 1 acked; deliver orders d2..3 s2..3 a1 two three") != 0)
        fail_msg("the bystander heard: %s", words);
    assert_string_equal(ledger(d, ORDERS), "accepted 3 acked 1 purged 0 dropped 0 remaining 2");
}

uint64_t random_from(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

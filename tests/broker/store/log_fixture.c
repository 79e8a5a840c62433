#include "tests/broker/store/log_fixture.h"

struct model m;
uint64_t chance = 7;

int log_fixture_begin(void **state)
{
    const uint32_t *queues = *state;
    model_begin(&m, 1, SEGMENT, LOG_SYNC_GROUP);
    model_new_queues(&m, *queues);
    return 0;
}

int log_fixture_end(void **state)
{
    (void)state;
    model_end(&m);
    return 0;
}

#include "tests/broker/core/topic_driver.h"

#include "proto/filter.h"

#include <string.h>

static const char *reason_of(struct driver *d, struct request *r)
{
    return reason_info(ask(d, r)->reason)->name;
}

const char *put_topic(struct driver *d, const char *topic)
{
    return topic_call_on(d, CALL_PUT_TOPIC, topic);
}

const char *set_unrouted(struct driver *d, const char *topic, enum unrouted u, const char *catch_all)
{
    return reason_of(
        d, &(struct request){ .call = CALL_PUT_TOPIC, .topic = topic, .u.put_topic = { true, u, catch_all, false } });
}

const char *bind_filter(struct driver *d, const char *topic, const char *queue, const char *json)
{
    struct buf filter = { 0 };
    if (json)
        assert_true(filter_from_text(span_str(json), "filter", &filter, NULL));
    const char *reason = reason_of(
        d, &(struct request){ .call = CALL_BIND, .topic = topic, .queue = queue, .u.bind.filter = buf_span(&filter) });
    buf_free(&filter);
    return reason;
}

const char *unbind(struct driver *d, const char *topic, const char *queue)
{
    return reason_of(d, &(struct request){ .call = CALL_UNBIND, .topic = topic, .queue = queue });
}

const char *topic_call_on(struct driver *d, enum call call, const char *topic)
{
    return reason_of(d, &(struct request){ .call = call, .topic = topic });
}

void make_topic(struct driver *d, const char *topic, const char *queues)
{
    assert_string_equal(put_topic(d, topic), "ok");
    while (*queues) {
        char name[32];
        size_t size = strcspn(queues, " ");
        assert_true(size < sizeof name);
        memcpy(name, queues, size);
        name[size] = '\0';
        if (!queue_find(d->core, span_str(name)))
            assert_string_equal(declare(d, name, "capacity=100"), "ok");
        assert_string_equal(bind_filter(d, topic, name, NULL), "ok");
        queues += size + strspn(queues + size, " ");
    }
}

struct topic_info topic_of(struct driver *d, const char *topic)
{
    const struct reply *reply = ask(d, &(struct request){ .call = CALL_DESCRIBE_TOPIC, .topic = topic });
    assert_int_equal(reply->result, RESULT_TOPIC);
    return reply->u.topic;
}

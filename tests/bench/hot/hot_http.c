/* The HTTP API, from request to command and from outcome to response: one plain body of 200 B that is wrapped in an
 * event, a batch of 100 CloudEvents in JSON or protobuf, and a take of 100 events. */
#include "proto/wire.h"
#include "sidecar/api/api.h"
#include "tests/bench/hot/hot.h"

#define ROUNDS    50
#define BATCH     100
#define DATA_SIZE 200

static const struct api_config config = {
    .app_name = "shop",
    .publish_wait_ms = 1000,
    .publish_wait_max_ms = 60000,
    .take_wait_max_ms = 60000,
    .take_max = 1000,
    .take_bytes = 4 << 20,
    .event_max = 1 << 20,
    .batch_max_bytes = 4 << 20,
    .batch_max_events = 1000,
};

static struct api_header headers[] = {
    { { 0 }, { 0 } }, /* Host */
    { { 0 }, { 0 } }, /* Content-Type */
    { { 0 }, { 0 } }, /* Accept */
};

static struct api_request request(const char *path, const char *type, struct span body)
{
    headers[0] = (struct api_header){ span_str("Host"), span_str("127.0.0.1:8480") };
    headers[1] = (struct api_header){ span_str("Content-Type"), span_str(type) };
    headers[2] = (struct api_header){ span_str("Accept"), span_str("*/*") };
    return (struct api_request){ .method = span_str("POST"),
                                 .path = span_str(path),
                                 .query = span_str(""),
                                 .headers = headers,
                                 .header_count = 3,
                                 .body = body };
}

static void to_command(const struct api_request *r, struct arena *a, struct api_command *command)
{
    static const uint8_t random[16] = { 1, 2, 3 };
    struct api_response response = { 0 };
    uint64_t limit;
    bool close;
    struct now now = { .wall = { 1700000000123 } };
    hot_expect(api_begin(&config, r, a, &limit, &response, &close) == API_CONTINUE, "the request was refused");
    hot_expect(api_parse(&config, r, random, now, a, command, &response) == API_COMMAND,
               "the request was not understood");
}

static HOT void hot_http_publish(const struct api_request *r, struct arena *a, size_t count)
{
    struct api_command command = { 0 };
    struct api_response response = { 0 };
    struct api_outcome outcomes[BATCH] = { 0 };
    to_command(r, a, &command);
    hot_expect(command.kind == API_PUBLISH && command.u.publish.count == count, "events are missing");
    for (size_t i = 0; i < count; i++)
        outcomes[i] = (struct api_outcome){ .sequence = 1000 + i };
    api_render_publish(&command, outcomes, a, &response);
    hot_expect(response.status == 202, "the answer is another one");
    buf_free(&response.body);
    arena_reset(a, 8 << 20);
}

static unsigned long publish(const char *type, struct span body, size_t count)
{
    struct arena a;
    struct api_request r = request("/v1/queues/orders/events", type, body);
    arena_init(&a, 8 << 20);
    for (unsigned i = 0; i < ROUNDS; i++)
        hot_http_publish(&r, &a, count);
    arena_free(&a);
    return ROUNDS * count;
}

unsigned long http_publish_case(void)
{
    char data[DATA_SIZE];
    memset(data, 'x', sizeof data);
    return publish("text/plain", span_of(data, sizeof data), 1);
}

unsigned long http_batch_case(void)
{
    struct buf body = { 0 };
    for (unsigned i = 0; i < BATCH; i++) {
        buf_printf(
            &body,
            "%s{\"specversion\":\"1.0\",\"id\":\"event-%u\",\"source\":\"/shop/orders\",\"type\":\"shop.order.placed\","
            "\"datacontenttype\":\"application/json\",\"data\":{\"order\":%u,\"note\":\"%0150d\"}}",
            i ? "," : "[", i, i, 0);
    }
    buf_add_str(&body, "]");
    unsigned long count = publish("application/cloudevents-batch+json", buf_span(&body), BATCH);
    buf_free(&body);
    return count;
}

unsigned long http_protobuf_case(void)
{
    struct buf body = { 0 }, event = { 0 };
    for (unsigned i = 0; i < BATCH; i++) {
        buf_clear(&event);
        hot_event(&event, i);
        wire_add_bytes(&body, 1, buf_span(&event));
    }
    unsigned long count = publish("application/cloudevents-batch+protobuf", buf_span(&body), BATCH);
    buf_free(&event);
    buf_free(&body);
    return count;
}

static HOT void hot_http_take(const struct api_request *r, struct arena *a, const struct api_taken *taken)
{
    struct api_command command = { 0 };
    struct api_response response = { 0 };
    to_command(r, a, &command);
    hot_expect(command.kind == API_TAKE && command.u.take.max == BATCH, "it is no take");
    api_render_take(&command, taken, BATCH, false, 1, a, &response);
    hot_expect(response.status == 200, "the answer is another one");
    buf_free(&response.body);
    arena_reset(a, 8 << 20);
}

unsigned long http_take_case(void)
{
    struct arena a;
    struct buf event = { 0 };
    struct api_taken taken[BATCH];
    struct api_request r = request("/v1/queues/orders/take", "text/plain", span_str(""));
    r.query = span_str("max=100&wait=5s");
    arena_init(&a, 8 << 20);
    hot_event(&event, 1);
    for (unsigned i = 0; i < BATCH; i++) {
        taken[i] = (struct api_taken){ .sequence = 1000 + i,
                                       .attempt = 1,
                                       .receipt = span_str("AcilvKOhNIGAgOSS3tGQGgEBAmatFZUhi9pJTzKuj-43PNc.17"),
                                       .event = buf_span(&event),
                                       .lease_ms = 30000 };
    }
    for (unsigned i = 0; i < ROUNDS; i++)
        hot_http_take(&r, &a, taken);
    arena_free(&a);
    buf_free(&event);
    return ROUNDS * BATCH;
}

/* Streams: their parameters, and the text of Server-Sent Events. */
#include "tests/sidecar/api/api_driver.h"

#include "proto/event.h"

static void the_window_is_sixteen_unless_given_and_clipped(void **state)
{
    static const struct {
        const char *path;
        uint32_t window;
    } asked[] = { { "/v1/queues/q/stream", 16 },
                  { "/v1/queues/q/stream?window=1", 1 },
                  { "/v1/queues/q/stream?window=100000", 1000 } };
    (void)state;
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        struct driver d;
        driver_begin(&d);
        assert_int_equal(driver_send(&d, "GET", asked[i].path, ""), API_COMMAND);
        assert_int_equal(d.command.kind, API_STREAM);
        assert_string_equal(d.command.queue, "q");
        assert_int_equal(d.command.u.stream.window, asked[i].window);
        assert_false(d.command.u.stream.head_only);
        driver_end(&d);
    }
}

static void nonsense_is_refused_by_name(void **state)
{
    (void)state;
    driver_refuses("GET", "/v1/queues/q/stream?window=0", NULL, NULL, "", 400, "'window'");
    driver_refuses("GET", "/v1/queues/q/stream?window=-1", NULL, NULL, "", 400, "'window'");
    driver_refuses("GET", "/v1/queues/q/stream?wait=1s", NULL, NULL, "", 400, "'wait'");
    driver_refuses("GET", "/v1/queues/q/stream", "Accept", "text/html", "", 406, "text/event-stream");
    driver_refuses("GET", "/v1/queues/-/stream", NULL, NULL, "", 400, "a name is");
}

static void asking_for_the_head_only_takes_nothing(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    assert_int_equal(driver_send(&d, "HEAD", "/v1/queues/q/stream", ""), API_COMMAND);
    assert_true(d.command.u.stream.head_only);
    driver_end(&d);
}

static void its_head_says_whose_turn_it_is(void **state)
{
    struct driver d;
    (void)state;
    driver_begin(&d);
    api_render_stream(false, 7, &d.arena, &d.response);
    assert_body(&d, "retry: 1000\n\n");
    assert_string_equal(driver_response_header(&d, "Sluice-Consumer"), "active");
    assert_string_equal(driver_response_header(&d, "Sluice-Consumer-Epoch"), "7");
    assert_string_equal(driver_response_header(&d, "Cache-Control"), "no-store");
    driver_end(&d);
    driver_begin(&d);
    api_render_stream(true, 0, &d.arena, &d.response);
    assert_string_equal(driver_response_header(&d, "Sluice-Consumer"), "standby");
    assert_null(driver_response_header(&d, "Sluice-Consumer-Epoch"));
    driver_end(&d);
}

/* An EventSource reconnects after a 200, and never after another status. */
static void a_stream_that_cannot_begin_now_is_a_complete_200(void **state)
{
    struct driver d;
    struct api_command c = { .kind = API_STREAM, .queue = "q" };
    (void)state;
    driver_begin(&d);
    api_render_stream_end(&c, REASON_unavailable, &d.arena, &d.response);
    assert_says(&d, 200, "retry: 1000\n\nevent: end\ndata: {\"reason\":\"unavailable\",");
    assert_string_equal(d.response.content_type, "text/event-stream");
    assert_null(driver_response_header(&d, "Sluice-Consumer"));
    driver_end(&d);
}

/* Appends the text of an event with this JSON as data. */
static void stream_json(const char *json, struct buf *out)
{
    struct event e = { .id = span_str("1"), .source = span_str("/s"), .type = span_str("t"), .data_kind = DATA_TEXT };
    struct buf encoded = { 0 };
    e.data = span_str(json);
    event_encode(&e, &encoded);
    struct api_taken taken = { .sequence = 12, .attempt = 2, .receipt = span_str("R.0"), .event = buf_span(&encoded) };
    api_stream_event(&taken, out);
    buf_free(&encoded);
}

static void an_event_is_its_sequence_and_an_entry_of_a_take(void **state)
{
    struct buf b = { 0 };
    (void)state;
    stream_json("[1]", &b);
    buf_add_byte(&b, '\0');
    assert_non_null(
        strstr((const char *)b.data, "id: 12\ndata: {\"receipt\":\"R.0\",\"sequence\":12,\"attempt\":2,\"event\":{"));
    assert_non_null(strstr((const char *)b.data, "\"data\":[1]}}\n\n"));
    buf_free(&b);
}

/* For each kind of line end: the reader joins the lines by \n, which means the same in JSON. */
static void line_ends_within_data_begin_a_line_of_the_same_field(void **state)
{
    struct buf b = { 0 };
    (void)state;
    stream_json("[1,\n2,\r\n3,\r4]", &b);
    buf_add_byte(&b, '\0');
    assert_non_null(strstr((const char *)b.data, "\"data\":[1,\ndata: 2,\ndata: 3,\ndata: 4]}}\n\n"));
    assert_null(strchr((const char *)b.data, '\r'));
    buf_free(&b);
}

static void consumer_end_and_heartbeat_messages(void **state)
{
    struct buf b = { 0 };
    (void)state;
    struct api_command c = { .kind = API_STREAM, .queue = "q" };
    api_stream_consumer(9, &b);
    api_stream_beat(&b);
    api_stream_end(&c, REASON_draining, &b);
    buf_add_byte(&b, '\0');
    const char *text = (const char *)b.data;
    assert_ptr_equal(strstr(text, "event: consumer\ndata: {\"consumer\":\"active\",\"epoch\":9}\n\n:\n\n"
                                  "event: end\ndata: {\"reason\":\"draining\",\"detail\":\"this sidecar is draining"),
                     text);
    assert_non_null(strstr(text, "\"queue\":\"q\"}\n\n"));
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_window_is_sixteen_unless_given_and_clipped),
        cmocka_unit_test(nonsense_is_refused_by_name),
        cmocka_unit_test(asking_for_the_head_only_takes_nothing),
        cmocka_unit_test(its_head_says_whose_turn_it_is),
        cmocka_unit_test(a_stream_that_cannot_begin_now_is_a_complete_200),
        cmocka_unit_test(an_event_is_its_sequence_and_an_entry_of_a_take),
        cmocka_unit_test(line_ends_within_data_begin_a_line_of_the_same_field),
        cmocka_unit_test(consumer_end_and_heartbeat_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

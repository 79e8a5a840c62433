#include "proto/wire.h"
#include "tests/sidecar/api/api_driver.h"

static const char encoded[] = "\x0a\x01\x61\x12\x02/s\x1a\x03\x31.0\x22\x01t";

static void render(struct driver *d, enum api_format format, size_t count, bool standby, uint32_t epoch)
{
    struct api_taken events[2];
    struct api_command c = { .kind = API_TAKE, .u.take.format = format };
    for (unsigned i = 0; i < 2; i++)
        events[i] = (struct api_taken){ 5 + i, 1 + i, span_str(i ? "R.1" : "R.0"), span_str(encoded), 30000 };
    driver_begin(d);
    api_render_take(&c, events, count, standby, epoch, &d->arena, &d->response);
    assert_int_equal(d->response.status, 200);
}

#define EVENT "{\"specversion\":\"1.0\",\"id\":\"a\",\"source\":\"/s\",\"type\":\"t\"}"

static void events_come_with_their_receipts(void **state)
{
    struct driver d;
    (void)state;
    render(&d, API_JSON, 2, false, 9);
    assert_body(&d, "{\"events\":[{\"receipt\":\"R.0\",\"sequence\":5,\"attempt\":1,\"event\":" EVENT
                    "},{\"receipt\":\"R.1\",\"sequence\":6,\"attempt\":2,\"event\":" EVENT "}]}\n");
    assert_string_equal(driver_response_header(&d, "Sluice-Consumer"), "active");
    assert_string_equal(driver_response_header(&d, "Sluice-Consumer-Epoch"), "9");
    driver_end(&d);
}

static void nothing_is_an_empty_list(void **state)
{
    struct driver d;
    (void)state;
    render(&d, API_JSON, 0, true, 0);
    assert_body(&d, "{\"events\":[]}\n");
    assert_string_equal(driver_response_header(&d, "Sluice-Consumer"), "standby");
    assert_null(driver_response_header(&d, "Sluice-Consumer-Epoch"));
    driver_end(&d);
}

/* Decodes the only event of the batch. */
static void assert_extension(struct span event, const char *name, const char *text)
{
    struct arena a;
    struct event e;
    arena_init(&a, 1 << 16);
    assert_true(event_decode(event, &a, &e, NULL));
    assert_true(span_equal(event_attribute(&e, name), span_str(text)));
    assert_true(span_equal(e.id, span_str("a")));
    arena_free(&a);
}

static void protobuf_carries_them_as_extensions(void **state)
{
    struct driver d;
    (void)state;
    render(&d, API_PROTOBUF, 1, false, 9);
    assert_string_equal(d.response.content_type, "application/cloudevents-batch+protobuf");
    struct wire_reader r = wire_open(buf_span(&d.response.body));
    struct wire_field f;
    assert_true(wire_next(&r, &f) && wire_done(&r) && f.tag == 1 && f.type == WIRE_BYTES);
    struct span event = f.bytes;
    assert_extension(event, "sluicereceipt", "R.0");
    assert_extension(event, "sluicesequence", "5");
    assert_extension(event, "sluiceattempt", "1");
    driver_end(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_come_with_their_receipts),
        cmocka_unit_test(nothing_is_an_empty_list),
        cmocka_unit_test(protobuf_carries_them_as_extensions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

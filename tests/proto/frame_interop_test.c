/* The hand-written codec and protobuf-c's generated one read each other's frames. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "sluice.pb-c.h"
#include "tests/proto/sample_frame.h"

static Sluice__V1__Frame *unpack_sample(void)
{
    struct buf frame = { 0 };
    sample_frame(&frame);
    Sluice__V1__Frame *m = sluice__v1__frame__unpack(NULL, frame.size, frame.data);
    buf_free(&frame);
    assert_non_null(m);
    return m;
}

static void protobuf_c_reads_our_header(void **state)
{
    (void)state;
    Sluice__V1__Frame *m = unpack_sample();
    assert_true(m->token_high == sample_header.token.high && m->token_low == sample_header.token.low);
    assert_int_equal(m->epoch, sample_header.epoch);
    assert_int_equal(m->sequence, sample_header.sequence);
    assert_int_equal(m->received, sample_header.received);
    assert_int_equal(m->stamp, sample_header.stamp);
    assert_int_equal(m->echo, sample_header.echo);
    sluice__v1__frame__free_unpacked(m, NULL);
}

static void protobuf_c_finds_every_body_and_nothing_unknown(void **state)
{
    (void)state;
    Sluice__V1__Frame *m = unpack_sample();
    assert_int_equal(m->n_bodies, BODY_RECEIPT_SETTLED);
    assert_int_equal(m->base.n_unknown_fields, 0);
    for (size_t i = 0; i < m->n_bodies; i++) {
        assert_int_equal(m->bodies[i]->body_case, i + 1);
        assert_int_equal(m->bodies[i]->base.n_unknown_fields, 0);
        assert_int_equal(m->bodies[i]->hello->base.n_unknown_fields, 0); /* all members have the same beginning */
    }
    sluice__v1__frame__free_unpacked(m, NULL);
}

static void protobuf_c_reads_our_elements(void **state)
{
    (void)state;
    Sluice__V1__Frame *m = unpack_sample();
    const Sluice__V1__Publish *p = m->bodies[BODY_PUBLISH - 1]->publish;
    assert_string_equal(p->destination, "orders");
    assert_int_equal(p->first, 100);
    assert_int_equal(p->n_entries, 3);
    assert_int_equal(p->entries[0]->wait_ms, 0);
    assert_int_equal(p->entries[1]->wait_ms, 1);
    assert_true(p->entries[1]->continued);
    assert_string_equal(p->entries[1]->key, "k");
    assert_int_equal(p->entries[1]->expires_ms, INT64_C(1) << 45);
    assert_int_equal(p->entries[1]->not_before_ms, -1);
    assert_memory_equal(p->entries[1]->dedup.data, "sixteen bytes...", 16);
    const Sluice__V1__Ack *a = m->bodies[BODY_ACK - 1]->ack;
    assert_int_equal(a->settles[1]->status, 503);
    assert_string_equal(a->settles[1]->error, "no luck");
    const Sluice__V1__Deliver *d = m->bodies[BODY_DELIVER - 1]->deliver;
    assert_int_equal(d->n_batches, 2);
    assert_int_equal(d->consumption, 2);
    assert_int_equal(d->batches[0]->n_events, 2);
    assert_memory_equal(d->batches[0]->events[0].data, "one", 3);
    assert_string_equal(d->batches[1]->receipt, "receipt-b");
    assert_int_equal(d->batches[1]->first_sequence, 990);
    sluice__v1__frame__free_unpacked(m, NULL);
}

/* protobuf-c writes fields in the order of their numbers, lengths and varints in their shortest form, and no zeros. A
 * Deliver's consumption, which then follows its batches, is checked separately. */
static void we_read_what_protobuf_c_writes(void **state)
{
    (void)state;
    struct buf ours = { 0 }, theirs = { 0 }, expected = { 0 }, text = { 0 };
    sample_frame(&ours);
    assert_int_equal(describe_frame(buf_span(&ours), &expected), FRAME_END);
    Sluice__V1__Frame *m = unpack_sample();
    m->bodies[BODY_DELIVER - 1]->deliver->consumption = 0;
    size_t size = sluice__v1__frame__get_packed_size(m);
    theirs.size = sluice__v1__frame__pack(m, buf_reserve(&theirs, size));
    assert_true(theirs.size < ours.size);
    assert_int_equal(describe_frame(buf_span(&theirs), &text), FRAME_END);
    buf_add_byte(&text, '\0');
    buf_add_byte(&expected, '\0');
    char *consumption = strstr((char *)expected.data, "12 mail 3 30000 2");
    assert_non_null(consumption);
    consumption[strlen("12 mail 3 30000 ")] = '0';
    assert_string_equal((const char *)text.data, (const char *)expected.data);
    sluice__v1__frame__free_unpacked(m, NULL);
    buf_free(&ours), buf_free(&theirs), buf_free(&expected), buf_free(&text);
}

static void a_delivers_consumption_may_stand_behind_its_batches(void **state)
{
    (void)state;
    struct buf frame = { 0 };
    struct frame_header header;
    struct wire_reader bodies;
    struct body body;
    struct batch batch;
    struct open_body open = frame_begin_deliver(&frame, span_str("mail"), 1, 1000, 0);
    wire_end(&frame, frame_begin_batch(&frame, 1, 1, 1, span_str("r")));
    wire_add_number(&frame, 5, 42);
    frame_end(&frame, open);
    assert_int_equal(frame_open(buf_span(&frame), &header, &bodies), FRAME_OK);
    assert_int_equal(frame_next(&bodies, &body), FRAME_OK);
    assert_int_equal(body.u.deliver.consumption, 42);
    assert_int_equal(deliver_next(&body, &batch), FRAME_OK);
    assert_int_equal(deliver_next(&body, &batch), FRAME_END);
    buf_free(&frame);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(protobuf_c_reads_our_header),
        cmocka_unit_test(protobuf_c_finds_every_body_and_nothing_unknown),
        cmocka_unit_test(protobuf_c_reads_our_elements),
        cmocka_unit_test(we_read_what_protobuf_c_writes),
        cmocka_unit_test(a_delivers_consumption_may_stand_behind_its_batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

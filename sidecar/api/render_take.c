/* Renders taken events, as JSON or as a protobuf CloudEventBatch. */
#include "proto/wire.h"
#include "sidecar/api/event_json.h"
#include "sidecar/api/json_write.h"
#include "sidecar/api/respond.h"

#include <stdio.h>

void taken_write_json(const struct api_taken *event, struct buf *b)
{
    buf_add_byte(b, '{');
    json_add_text_member(b, "receipt", event->receipt);
    json_add_number_member(b, "sequence", event->sequence);
    json_add_number_member(b, "attempt", event->attempt);
    json_add_name(b, span_str("event"));
    event_json_write(event->event, b);
    buf_add_byte(b, '}');
}

static void write_json(const struct api_taken *events, size_t count, struct buf *b)
{
    buf_add_str(b, "{\"events\":[");
    for (size_t i = 0; i < count; i++) {
        if (i)
            buf_add_byte(b, ',');
        taken_write_json(&events[i], b);
    }
    buf_add_str(b, "]}\n");
}

/* Appends CloudEvent.attributes[name] = {ce_string: text} to the event's fields: protobuf merges repeated entries. */
static void add_extension(struct buf *b, const char *name, struct span text)
{
    size_t entry = wire_begin(b, 5);
    wire_add_bytes(b, 1, span_str(name));
    size_t value = wire_begin(b, 2);
    wire_add_bytes(b, 3, text);
    wire_end(b, value);
    wire_end(b, entry);
}

static void write_protobuf(const struct api_taken *events, size_t count, struct buf *b)
{
    char number[24];
    for (size_t i = 0; i < count; i++) {
        size_t event = wire_begin(b, 1);
        buf_add(b, events[i].event.data, events[i].event.size);
        add_extension(b, "sluicereceipt", events[i].receipt);
        snprintf(number, sizeof number, "%llu", (unsigned long long)events[i].sequence);
        add_extension(b, "sluicesequence", span_str(number));
        snprintf(number, sizeof number, "%u", events[i].attempt);
        add_extension(b, "sluiceattempt", span_str(number));
        wire_end(b, event);
    }
}

void api_render_take(const struct api_command *c, const struct api_taken *events, size_t count, bool standby,
                     uint64_t consumer_epoch, struct arena *a, struct api_response *out)
{
    respond_begin_json(out, 200);
    if (c->u.take.format == API_PROTOBUF) {
        out->content_type = "application/cloudevents-batch+protobuf";
        write_protobuf(events, count, &out->body);
    } else {
        write_json(events, count, &out->body);
    }
    respond_header(out, a, "Sluice-Consumer", standby ? "standby" : "active");
    if (consumer_epoch)
        respond_number_header(out, a, "Sluice-Consumer-Epoch", consumer_epoch);
}

/* Server-Sent Events: each field is a line. Published JSON may contain line breaks; it is then written as several lines
 * of the same field, which the reader joins again. */
#include "sidecar/api/json_write.h"
#include "sidecar/api/respond.h"

/* How soon a browser reconnects after the connection was lost. */
#define RETRY_MS 1000u

static void open_stream(struct arena *a, struct api_response *out)
{
    *out = (struct api_response){ .status = 200, .content_type = "text/event-stream" };
    buf_printf(&out->body, "retry: %u\n\n", RETRY_MS);
    respond_header(out, a, "Cache-Control", "no-store");
    respond_header(out, a, "X-Accel-Buffering", "no"); /* asks proxies not to buffer the response */
}

void api_render_stream(bool standby, uint64_t consumer_epoch, struct arena *a, struct api_response *out)
{
    open_stream(a, out);
    respond_header(out, a, "Sluice-Consumer", standby ? "standby" : "active");
    if (consumer_epoch)
        respond_number_header(out, a, "Sluice-Consumer-Epoch", consumer_epoch);
}

void api_render_stream_end(const struct api_command *c, enum reason reason, struct arena *a, struct api_response *out)
{
    open_stream(a, out);
    api_stream_end(c, reason, &out->body);
}

static void add_data(struct buf *out, struct span text)
{
    buf_add_str(out, "data: ");
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (c == '\r' && i + 1 < text.size && text.data[i + 1] == '\n')
            continue;
        if (c == '\r' || c == '\n')
            buf_add_str(out, "\ndata: ");
        else
            buf_add_byte(out, c);
    }
    buf_add_str(out, "\n\n");
}

void api_stream_event(const struct api_taken *event, struct buf *out)
{
    struct buf json = { 0 };
    taken_write_json(event, &json);
    buf_printf(out, "id: %llu\n", (unsigned long long)event->sequence);
    add_data(out, buf_span(&json));
    buf_free(&json);
}

void api_stream_consumer(uint64_t consumer_epoch, struct buf *out)
{
    buf_printf(out, "event: consumer\ndata: {\"consumer\":\"active\",\"epoch\":%llu}\n\n",
               (unsigned long long)consumer_epoch);
}

void api_stream_end(const struct api_command *c, enum reason reason, struct buf *out)
{
    const struct reason_info *info = reason_info(reason);
    char room[DETAIL_SIZE];
    const char *detail = respond_detail(c, reason, NULL, room);
    struct buf json = { 0 };
    buf_add_byte(&json, '{');
    json_add_text_member(&json, "reason", span_str(info->name));
    respond_add_sentence(&json, "detail", detail ? detail : info->title);
    json_add_text_member(&json, "queue", span_str(c->queue));
    buf_add_byte(&json, '}');
    buf_add_str(out, "event: end\n");
    add_data(out, buf_span(&json));
    buf_free(&json);
}

void api_stream_beat(struct buf *out)
{
    buf_add_str(out, ":\n\n");
}

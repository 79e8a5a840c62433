#include "sidecar/api/dapr.h"
#include "sidecar/api/json_write.h"
#include "sidecar/api/respond.h"

#include <stdio.h>

void dapr_refuse(int status, const char *code, const char *message, struct api_response *out)
{
    respond_begin_json(out, status);
    buf_add_byte(&out->body, '{');
    json_add_text_member(&out->body, "errorCode", span_str(code));
    respond_add_sentence(&out->body, "message", message);
    buf_add_str(&out->body, "}\n");
}

void dapr_render_publish(const struct api_command *c, const struct api_outcome *outcome, struct arena *a,
                         struct api_response *out)
{
    const struct reason_info *info = reason_info(outcome->reason);
    char message[NAME_MAX_SIZE + 200];
    if (outcome->reason == REASON_ok) {
        *out = (struct api_response){ .status = 204 };
        return;
    }
    snprintf(message, sizeof message, "error when publish to topic %s: %s (%s)", c->queue, info->title, info->name);
    if (info->status == 403)
        dapr_refuse(403, "ERR_PUBSUB_FORBIDDEN", message, out);
    else if (info->status == 404)
        dapr_refuse(404, "ERR_PUBSUB_NOT_FOUND", message, out);
    else
        dapr_refuse(500, "ERR_PUBSUB_PUBLISH_MESSAGE", message, out);
    if (info->retryable)
        respond_retry_after(out, a, outcome->retry_after_ms);
}

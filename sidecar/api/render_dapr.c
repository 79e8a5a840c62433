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

/* A Dapr error has a single message and no title. For these reasons only the title says what to do, so both are needed;
 * the details of other reasons say it themselves. */
static bool wants_title(enum reason reason)
{
    return reason == REASON_full || reason == REASON_too_large;
}

void dapr_render_publish(const struct api_command *c, const struct api_outcome *outcome, struct arena *a,
                         struct api_response *out)
{
    const struct reason_info *info = reason_info(outcome->reason);
    const struct api_event *event = &c->u.publish.events[0];
    char room[DETAIL_SIZE], message[DETAIL_SIZE + NAME_MAX_SIZE + 200];
    if (outcome->reason == REASON_ok) {
        *out = (struct api_response){ .status = 204 };
        return;
    }
    const char *detail = publish_detail(c, event, outcome, room);
    bool both = detail && wants_title(outcome->reason);
    snprintf(message, sizeof message, "error when publish to topic %s: %s%s%s (%s)", c->queue,
             both || !detail ? info->title : detail, both ? ": " : "", both ? detail : "", info->name);
    if (info->status == 403)
        dapr_refuse(403, "ERR_PUBSUB_FORBIDDEN", message, out);
    else if (info->status == 404)
        dapr_refuse(404, "ERR_PUBSUB_NOT_FOUND", message, out);
    else
        dapr_refuse(500, "ERR_PUBSUB_PUBLISH_MESSAGE", message, out);
    if (publish_is_retryable(event, outcome->reason))
        respond_retry_after(out, a, outcome->retry_after_ms);
}

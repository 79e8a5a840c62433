/* What Dapr's clients ask before they publish: whether the sidecar is there (metadata), and whether it is ready
 * (health). */
#include "sidecar/api/dapr.h"
#include "sidecar/api/json_write.h"
#include "sidecar/api/respond.h"
#include "sidecar/api/routes.h"

static void add_component(struct buf *b, const char *name, bool first)
{
    buf_add_str(b, first ? "{" : ",{");
    json_add_text_member(b, "name", span_str(name));
    json_add_text_member(b, "type", span_str("pubsub.sluice"));
    json_add_text_member(b, "version", span_str("v1"));
    buf_add_str(b, ",\"capabilities\":[]}");
}

/* Lists the pub/sub components; there are no actors, endpoints or subscriptions in Dapr's sense. */
void api_render_dapr_metadata(const struct api_config *c, const char *version, struct api_response *out)
{
    struct buf *b = &out->body;
    const struct setting_list *names = c->pubsubs;
    respond_begin_json(out, 200);
    buf_add_byte(b, '{');
    json_add_text_member(b, "id", span_str(c->app_name));
    json_add_text_member(b, "runtimeVersion", span_str(version));
    buf_add_str(b, ",\"enabledFeatures\":[],\"actors\":[],\"components\":[");
    for (size_t i = 0; names && i < names->count; i++)
        add_component(b, names->items[i], i == 0);
    if (!names || names->count == 0)
        add_component(b, DAPR_PUBSUB, true);
    buf_add_str(b, "],\"httpEndpoints\":[],\"subscriptions\":[],\"extended\":{}}\n");
}

void api_render_dapr_health(const struct api_command *c, bool attached, const char *trouble, struct api_response *out)
{
    if (attached)
        *out = (struct api_response){ .status = 204 };
    else
        dapr_refuse(500,
                    strstr(c->route->pattern, "outbound") ? "ERR_OUTBOUND_HEALTH_NOT_READY" : "ERR_HEALTH_NOT_READY",
                    trouble, out);
}

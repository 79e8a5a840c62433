/* Streaming a queue's events. */
#include "sidecar/api/accept.h"
#include "sidecar/api/parse.h"
#include "sidecar/api/query.h"
#include "sidecar/api/respond.h"

#define WINDOW_DEFAULT 16u

enum api_answer parse_stream(struct parsing *p)
{
    struct query_parameter known[] = { { .name = "window" }, { 0 } };
    struct error why;
    uint64_t window = WINDOW_DEFAULT;
    if (!query_parse(p->request->query, known, p->arena, &why) || !query_number(&known[0], &window, &why))
        return respond_invalid(&why, p->arena, p->out);
    if (window == 0) {
        error_set(&why, "query parameter 'window' must be at least 1");
        return respond_invalid(&why, p->arena, p->out);
    }
    if (accept_preference(p->request, "text/event-stream").quality == 0) {
        api_problem(REASON_not_acceptable, "a stream answers text/event-stream", 0, p->arena, p->out);
        return API_RESPONSE;
    }
    p->command->u.stream.window = (uint32_t)(window < p->config->take_max ? window : p->config->take_max);
    p->command->u.stream.head_only = span_equal(p->request->method, span_str("HEAD"));
    return API_COMMAND;
}

/* Responses: bodies, headers, problems. Every error of the API is application/problem+json (RFC 9457). */
#include "sidecar/api/respond.h"

#include "base/utf8.h"
#include "sidecar/api/json_write.h"

#include <stdio.h>

/* Large enough for the answer to a publish of one event, with its names and id. */
#define USUAL_BODY 256u

void respond_header(struct api_response *out, struct arena *a, const char *name, const char *value)
{
    char *copy = arena_strndup(a, value, strlen(value));
    if (!copy || out->header_count == sizeof out->headers / sizeof *out->headers)
        return;
    out->headers[out->header_count++] = (struct api_header){ span_str(name), span_str(copy) };
}

void respond_number_header(struct api_response *out, struct arena *a, const char *name, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    respond_header(out, a, name, text);
}

void api_text(int status, const char *content_type, struct span body, struct api_response *out)
{
    *out = (struct api_response){ .status = status, .content_type = content_type };
    buf_add(&out->body, body.data, body.size);
}

void respond_begin_json(struct api_response *out, int status)
{
    *out = (struct api_response){ .status = status, .content_type = "application/json" };
    buf_reserve(&out->body, USUAL_BODY);
}

void respond_retry_after(struct api_response *out, struct arena *a, uint32_t ms)
{
    respond_number_header(out, a, "Retry-After", ms <= 1000 ? 1 : (ms + 999) / 1000);
}

/* The text may quote the request or a setting, and may have cut it in the middle of a UTF-8 character. Invalid bytes
 * are left out, because JSON must be valid UTF-8. */
void respond_add_sentence(struct buf *b, const char *name, const char *sentence)
{
    struct span text = span_str(sentence);
    if (utf8_valid(text)) {
        json_add_text_member(b, name, text);
        return;
    }
    struct buf whole = { 0 };
    for (struct span rest = text, character; rest.size;) {
        if (utf8_next(&rest, &character))
            buf_add(&whole, character.data, character.size);
    }
    json_add_text_member(b, name, buf_span(&whole));
    buf_free(&whole);
}

void problem_open(enum reason reason, const char *detail, bool retryable, struct api_response *out)
{
    const struct reason_info *info = reason_info(reason);
    *out = (struct api_response){ .status = info->status, .content_type = "application/problem+json" };
    struct buf *b = &out->body;
    buf_printf(b, "{\"type\":\"urn:sluice:reason:%s\"", info->name);
    json_add_text_member(b, "title", span_str(info->title));
    json_add_number_member(b, "status", (uint64_t)info->status);
    if (detail && *detail)
        respond_add_sentence(b, "detail", detail);
    json_add_text_member(b, "reason", span_str(info->name));
    json_add_name(b, span_str("retryable"));
    buf_add_str(b, retryable ? "true" : "false");
}

void problem_close(enum reason reason, uint32_t retry_after_ms, struct arena *a, struct api_response *out)
{
    const struct reason_info *info = reason_info(reason);
    buf_add_str(&out->body, "}\n");
    if (info->retryable && (info->status == 429 || info->status == 503 || info->status == 507))
        respond_retry_after(out, a, retry_after_ms);
    if (info->status == 401)
        respond_header(out, a, "WWW-Authenticate", "Bearer realm=\"sluice\"");
}

/* A draining sidecar still publishes; so if a publish is refused as draining, it was the broker. */
static const char *meaning_of_draining(const struct api_command *c)
{
    switch (c->kind) {
    case API_PUBLISH: return "the broker is stopping, so nothing was accepted: send it again when the broker is back";
    case API_SUBSCRIBE:
        return "this sidecar is draining, because of a signal or POST /v1/drain, and pushes nothing more: put the "
               "subscription at another sidecar of the same app.name, or at this one after it was restarted";
    default:
        return "this sidecar is draining, because of a signal or POST /v1/drain, and hands out nothing more: take "
               "from another sidecar, or from this one after it was restarted";
    }
}

/* The broker refuses a publisher or consumer with a reason only: it does not say whether there is something else of that
 * name. */
static bool consumes(const struct api_command *c)
{
    return c->kind == API_TAKE || c->kind == API_STREAM;
}

static bool deletes(const struct api_command *c)
{
    enum call call = c->kind == API_CALL ? c->u.call.request.call : CALL_NONE;
    return call == CALL_DELETE || call == CALL_DELETE_TOPIC;
}

/* Something that is not there: whoever wants to delete it is not advised to make it. */
static void say_missing(const struct api_command *c, bool topic, char out[DETAIL_SIZE])
{
    const char *name = topic ? c->topic : c->queue;
    if (deletes(c))
        snprintf(out, DETAIL_SIZE, "there is no %s '%s'", topic ? "topic" : "queue", name);
    else if (topic)
        snprintf(out, DETAIL_SIZE, "there is no topic '%s'; make it first (PUT /v1/topics/%s)%s", name, name,
                 c->kind == API_PUBLISH ? "; if that is a queue, publish at " EVENTS_OF_QUEUE : "");
    else
        snprintf(out, DETAIL_SIZE, "there is no queue '%s'; declare it first (PUT /v1/queues/%s)%s", name, name,
                 consumes(c) ? "; if that is a topic, take from a queue bound to it" : "");
}

/* What the reason means for this command, beyond its title; NULL: nothing. */
static const char *meaning(const struct api_command *c, enum reason reason, char out[DETAIL_SIZE])
{
    if (reason == REASON_unavailable)
        return c->away;
    if (reason == REASON_draining)
        return meaning_of_draining(c);
    if (reason != REASON_unknown_queue && reason != REASON_unknown_topic)
        return NULL;
    say_missing(c, reason == REASON_unknown_topic && c->topic, out);
    return out;
}

const char *respond_detail(const struct api_command *c, enum reason reason, const char *detail, char out[DETAIL_SIZE])
{
    return detail && *detail ? detail : meaning(c, reason, out);
}

void problem_open_of(const struct api_command *c, enum reason reason, const char *detail, bool retryable,
                     struct api_response *out)
{
    char room[DETAIL_SIZE];
    problem_open(reason, respond_detail(c, reason, detail, room), retryable, out);
    if (c->topic)
        json_add_text_member(&out->body, "topic", span_str(c->topic));
    if (*c->queue)
        json_add_text_member(&out->body, "queue", span_str(c->queue));
}

void api_refuse(const struct api_command *c, enum reason reason, const char *detail, uint32_t retry_after_ms,
                struct arena *a, struct api_response *out)
{
    problem_open_of(c, reason, detail, reason_info(reason)->retryable, out);
    problem_close(reason, retry_after_ms, a, out);
}

void api_problem(enum reason reason, const char *detail, uint32_t retry_after_ms, struct arena *a,
                 struct api_response *out)
{
    problem_open(reason, detail, reason_info(reason)->retryable, out);
    problem_close(reason, retry_after_ms, a, out);
}

enum api_answer respond_invalid(const struct error *e, struct arena *a, struct api_response *out)
{
    api_problem(REASON_invalid, e->text, 0, a, out);
    return API_RESPONSE;
}

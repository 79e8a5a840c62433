/* Renders one event and why it is in its state. */
#include "proto/event.h"
#include "sidecar/api/json_write.h"
#include "sidecar/api/respond.h"

#include <stdio.h>

static const char *sentence_of(const struct explained *e, char *out, size_t size)
{
    static const char *const sentences[] = {
        [BLOCKED_NOT] = "it is the next one its consumer gets",
        [BLOCKED_IN_FLIGHT] = "its consumer has it; unless it is settled, it is redelivered when its lease ends",
        [BLOCKED_DELAYED] = "its delay is not over",
        [BLOCKED_BACK_OFF] = "it failed, and its back-off is not over",
        [BLOCKED_DEAD_LETTER] =
            "it should be dead, but there is no room for it as a dead event; trouble.reason says why",
        [BLOCKED_DEAD] = "it is dead, and stays so until it is redriven or purged; trouble says why",
        [BLOCKED_DISK] = "it is not on disk yet, or not yet recorded there as deliverable",
        [BLOCKED_PAUSED] = "the queue is paused",
        [BLOCKED_NO_CONSUMER] = "the queue, or the event's partition, has no consumer",
        [BLOCKED_NO_CREDIT] = "its consumer is not asking for more events",
        [BLOCKED_LINK] = "its consumer's connection cannot take more at the moment",
        [BLOCKED_EXPIRED] = "it expired, and becomes a dead event as soon as it has been read from the disk",
    };
    if (e->blocked == BLOCKED_KEY)
        snprintf(out, size, "event %llu of the same key has to be settled first", (unsigned long long)e->blocker);
    else if (e->blocked == BLOCKED_BEHIND)
        snprintf(out, size, "%llu ready events are before it", (unsigned long long)e->behind);
    else
        snprintf(out, size, "%s", sentences[e->blocked]);
    return out;
}

static void add_time(struct buf *b, const char *name, int64_t ms)
{
    char text[40];
    timestamp_format(ms / 1000, (int32_t)(ms % 1000) * 1000000, text);
    json_add_text_member(b, name, span_str(text));
}

static void add_seconds(struct buf *b, const char *name, int64_t ms)
{
    json_add_name(b, span_str(name));
    ms = ms < 0 ? 0 : ms;
    buf_printf(b, "%lld.%03d", (long long)(ms / 1000), (int)(ms % 1000));
}

/* "next": what will happen to the event without further action; null: nothing. */
static void add_next(struct buf *b, const struct explained *e)
{
    json_add_name(b, span_str("next"));
    if (e->next == NEXT_NONE) {
        buf_add_str(b, "null");
        return;
    }
    buf_add_byte(b, '{');
    json_add_text_member(b, "what", span_str(next_step_name(e->next)));
    add_time(b, "at", e->next_ms);
    add_seconds(b, "in_seconds", e->next_ms - e->now_ms);
    buf_add_byte(b, '}');
}

static void add_attempt(struct buf *b, const struct attempt_info *a)
{
    buf_add_byte(b, '{');
    json_add_number_member(b, "attempt", a->number);
    add_time(b, "delivered", a->delivered_ms);
    json_add_text_member(b, "outcome", span_str(attempt_outcome_name(a->outcome)));
    add_seconds(b, "latency_seconds", a->latency_ms);
    json_add_text_member(b, "consumer", span_str(a->consumer));
    if (a->status)
        json_add_number_member(b, "status", a->status);
    if (*a->error)
        json_add_text_member(b, "error", span_str(a->error));
    buf_add_byte(b, '}');
}

static void add_attempts(struct buf *b, const struct explained *e)
{
    json_add_name(b, span_str("attempts"));
    buf_add_byte(b, '[');
    for (uint32_t i = 0; i < e->attempt_count; i++) {
        buf_add_str(b, i ? "," : "");
        add_attempt(b, &e->attempts[i]);
    }
    buf_add_byte(b, ']');
    if (e->attempts_older)
        json_add_number_member(b, "attempts_older", e->attempts_older);
}

static void add_text_or_null(struct buf *b, const char *name, const char *text)
{
    if (*text) {
        json_add_text_member(b, name, span_str(text));
        return;
    }
    json_add_name(b, span_str(name));
    buf_add_str(b, "null");
}

void render_explained(const char *queue, const struct explained *e, struct api_response *out)
{
    char sentence[200];
    respond_begin_json(out, 200);
    struct buf *b = &out->body;
    buf_add_byte(b, '{');
    json_add_text_member(b, "queue", span_str(queue));
    add_text_or_null(b, "blocked_by", blocked_by_name(e->blocked));
    json_add_text_member(b, "explanation", span_str(sentence_of(e, sentence, sizeof sentence)));
    if (e->event.state == STATE_READY)
        json_add_number_member(b, "behind", e->behind);
    if (e->blocked == BLOCKED_KEY)
        json_add_number_member(b, "blocked_by_sequence", e->blocker);
    add_text_or_null(b, "consumer", e->consumer);
    add_next(b, e);
    if (e->accepted_ms) {
        add_time(b, "accepted", e->accepted_ms);
        add_seconds(b, "age_seconds", e->now_ms - e->accepted_ms);
    }
    add_attempts(b, e);
    peeked_write_members(&e->event, b);
    buf_add_str(b, "}\n");
}

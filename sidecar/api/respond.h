/* Shared by the renderers. Private to sidecar/api. */
#ifndef SLUICE_SIDECAR_API_RESPOND_H
#define SLUICE_SIDECAR_API_RESPOND_H

#include "sidecar/api/api.h"

/* Adds a header; `name` is static, the value is copied. Does nothing if the response has no room for more headers. */
void respond_header(struct api_response *out, struct arena *a, const char *name, const char *value);
void respond_number_header(struct api_response *out, struct arena *a, const char *name, uint64_t value);
/* Adds Retry-After, in seconds: rounded up, at least 1. */
void respond_retry_after(struct api_response *out, struct arena *a, uint32_t ms);
/* Begins a JSON response; the caller appends to its body. */
void respond_begin_json(struct api_response *out, int status);

/* A problem to which members can be added: problem_open, json_add_*_member on out->body, problem_close. */
void problem_open(enum reason reason, const char *detail, bool retryable, struct api_response *out);
void problem_close(enum reason reason, uint32_t retry_after_ms, struct arena *a, struct api_response *out);
/* Likewise, for a command: adds its topic and queue; the detail is that of respond_detail. */
void problem_open_of(const struct api_command *c, enum reason reason, const char *detail, bool retryable,
                     struct api_response *out);
/* Room for a detail and the names that it quotes. */
#define DETAIL_SIZE (2 * NAME_MAX_SIZE + 300u)
/* `detail`; or, if that is NULL or "", what the reason means for this command beyond its title. NULL: nothing. The
 * result may be in `out`. */
const char *respond_detail(const struct api_command *c, enum reason reason, const char *detail, char out[DETAIL_SIZE]);
/* For one event of a publish: the detail, as above; and whether it may be sent again. */
const char *publish_detail(const struct api_command *c, const struct api_event *e, const struct api_outcome *o,
                           char out[DETAIL_SIZE]);
bool publish_is_retryable(const struct api_event *e, enum reason reason);
/* Where a queue's events are published, for messages; the command line has its own words for it. */
#define EVENTS_OF_QUEUE "/v1/queues/{q}/events"
/* 400 with this message. Returns API_RESPONSE, so that parsers can `return respond_invalid(...)`. */
enum api_answer respond_invalid(const struct error *e, struct arena *a, struct api_response *out);

/* Adds a member whose text is for people and may quote the request. */
void respond_add_sentence(struct buf *b, const char *name, const char *sentence);

/* The members that describe one event in peek and explain: "sequence", "state", "attempt", "ready_at", "expires_at",
 * "parked_behind", "trouble", "event". */
struct peeked;
void peeked_write_members(const struct peeked *p, struct buf *b);
/* render_explain.c */
struct explained;
void render_explained(const char *queue, const struct explained *e, struct api_response *out);

/* One entry of a take: {"receipt","sequence","attempt","event"}. */
void taken_write_json(const struct api_taken *event, struct buf *b);

#endif

/* What the renderers share. Private to sidecar/api. */
#ifndef SLUICE_SIDECAR_API_RESPOND_H
#define SLUICE_SIDECAR_API_RESPOND_H

#include "sidecar/api/api.h"

/* A header; name is static, the value is copied. Silently nothing beyond the response's room for headers. */
void respond_header(struct api_response *out, struct arena *a, const char *name, const char *value);
void respond_number_header(struct api_response *out, struct arena *a, const char *name, uint64_t value);
/* Seconds, rounded up, at least 1. */
void respond_retry_after(struct api_response *out, struct arena *a, uint32_t ms);
/* An empty JSON response; the caller appends to its body. */
void respond_begin_json(struct api_response *out, int status);

/* A problem to which members may be appended: open, json_add_*_member on out->body, close. */
void problem_open(enum reason reason, const char *detail, bool retryable, struct api_response *out);
void problem_close(enum reason reason, uint32_t retry_after_ms, struct arena *a, struct api_response *out);
/* A problem with a command's queue: names it, and says in the detail what `detail` (NULL or "") leaves open. */
void problem_open_of(const struct api_command *c, enum reason reason, const char *detail, bool retryable,
                     struct api_response *out);
/* Holds what a detail quotes. */
#define DETAIL_SIZE (2 * NAME_MAX_SIZE + 300u)
/* `detail`, or where that is NULL or "", what the reason means for that command and its title cannot say; NULL: nothing
 * more. May be in `out`. */
const char *respond_detail(const struct api_command *c, enum reason reason, const char *detail, char out[DETAIL_SIZE]);
/* What became of one event of a publish: the detail as above, and may the event be sent again? */
const char *publish_detail(const struct api_command *c, const struct api_event *e, const struct api_outcome *o,
                           char out[DETAIL_SIZE]);
bool publish_is_retryable(const struct api_event *e, enum reason reason);
/* 400 with the sentence; gives API_RESPONSE, so that `return respond_invalid(...)` reads well. */
enum api_answer respond_invalid(const struct error *e, struct arena *a, struct api_response *out);

/* A member whose text is for people, and may quote the request. */
void respond_add_sentence(struct buf *b, const char *name, const char *sentence);

/* What peek says of one event: "sequence", "state", "attempt", "parked_behind", "trouble", "event". */
struct peeked;
void peeked_write_members(const struct peeked *p, struct buf *b);
/* render_explain.c */
struct explained;
void render_explained(const char *queue, const struct explained *e, struct api_response *out);

/* One entry of a take: {"receipt","sequence","attempt","event"}. */
void taken_write_json(const struct api_taken *event, struct buf *b);

#endif

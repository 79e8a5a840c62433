/* The parsers of requests with a body or parameters; each fills the command or answers. Private to sidecar/api. */
#ifndef SLUICE_SIDECAR_API_PARSE_H
#define SLUICE_SIDECAR_API_PARSE_H

#include "sidecar/api/api.h"
#include "sidecar/api/routes.h"

struct json_t;

struct parsing {
    const struct api_config *config;
    const struct api_request *request;
    const uint8_t *random; /* 16 bytes */
    struct now now;
    struct arena *arena;
    struct api_command *command;
    struct api_response *out;
    bool too_large;     /* what is refused is so for its size */
    bool ttl;           /* Sluice-TTL says when the events expire: none may say it itself */
    size_t room;        /* of the command's events */
    struct buf scratch; /* freed by api_parse */
};

enum api_answer parse_publish(struct parsing *p);
/* `names`: of the path, percent-encoded: the pub/sub component's and the topic's, which may be empty. */
enum api_answer parse_dapr(struct parsing *p, const struct span names[ROUTE_NAMES]);
/* Keeps another event of a publish. False: p->too_large says whether for its size. */
bool publish_keep(struct parsing *p, const struct event *e, bool id_generated, struct error *why);
/* May a batch hold so many events? */
bool publish_count(struct parsing *p, size_t count, struct error *why);
/* "events[3]: " before the sentence; false. */
bool publish_at(size_t index, struct error *why);
/* The events of a publish in JSON, read in one pass: its one event, or its batch. */
bool publish_json(struct parsing *p, struct error *why);
bool publish_json_batch(struct parsing *p, struct error *why);
enum api_answer parse_take(struct parsing *p);
enum api_answer parse_stream(struct parsing *p);
enum api_answer parse_acks(struct parsing *p);
enum api_answer parse_call(struct parsing *p, const struct api_route *route);
enum api_answer parse_subscription(struct parsing *p);
bool parse_put_topic(struct parsing *p, struct request *r, struct error *why);
bool parse_bind(struct parsing *p, struct request *r, struct error *why);
/* The terms of a publish: of all its events by its headers, among which no unknown one may begin with Sluice-; and of one by
 * its attribute `expirytime`. */
bool parse_terms(struct parsing *p, struct error *why);
bool parse_expiry(const struct parsing *p, const struct event *e, struct client_terms *t, struct error *why);
bool parse_redrive(struct parsing *p, struct request *r, struct error *why);
/* Refuses every query parameter. */
bool parse_no_query(struct parsing *p);
/* Refuses every key of the object that is not among `known`, which NULL ends; the sentence names it, and `list`. */
bool parse_keys(const struct json_t *object, const char *const *known, const char *list, struct error *why);

#endif

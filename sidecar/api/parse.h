/* The parsers for requests with a body or parameters. Each fills the command or renders a response. Private to
 * sidecar/api. */
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
    bool too_large;     /* the refusal is for an event's size */
    bool ttl;           /* Sluice-TTL was given: no event may have an expirytime */
    size_t room;        /* capacity of the command's events */
    struct buf scratch; /* freed by api_parse */
};

enum api_answer parse_publish(struct parsing *p);
/* `names`: from the path, percent-encoded: the pub/sub component, and the topic, which may be empty. */
enum api_answer parse_dapr(struct parsing *p, const struct span names[ROUTE_NAMES]);
/* Adds an event to the publish. If it returns false, p->too_large says whether because of the event's size. */
bool publish_add_event(struct parsing *p, const struct event *e, bool id_generated, struct error *why);
/* May a batch hold so many events? */
bool publish_count(struct parsing *p, size_t count, struct error *why);
/* Puts "events[3]: " before the message in *why. Always false. */
bool publish_error_at(size_t index, struct error *why);
/* Read the events of a publish in JSON, a single one or a batch, in one pass. */
bool publish_json(struct parsing *p, struct error *why);
bool publish_json_batch(struct parsing *p, struct error *why);
enum api_answer parse_take(struct parsing *p);
enum api_answer parse_stream(struct parsing *p);
enum api_answer parse_acks(struct parsing *p);
enum api_answer parse_call(struct parsing *p, const struct api_route *route);
enum api_answer parse_subscription(struct parsing *p);
bool parse_put_topic(struct parsing *p, struct request *r, struct error *why);
bool parse_bind(struct parsing *p, struct request *r, struct error *why);
/* parse_terms reads the terms of all events of a publish from its headers, and refuses unknown headers that begin with
 * Sluice-; parse_expiry reads the term of one event from its attribute `expirytime`. */
bool parse_terms(struct parsing *p, struct error *why);
bool parse_expiry(const struct parsing *p, const struct event *e, struct client_terms *t, struct error *why);
bool parse_redrive(struct parsing *p, struct request *r, struct error *why);
/* Refuses any query parameter. */
bool parse_no_query(struct parsing *p);
/* Refuses any key of the object that is not in `known` (terminated by NULL). The message names the key, and `list`. */
bool parse_keys(const struct json_t *object, const char *const *known, const char *list, struct error *why);

#endif

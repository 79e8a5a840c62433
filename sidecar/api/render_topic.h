/* Renders topics, for the other renderers. Private to sidecar/api. */
#ifndef SLUICE_SIDECAR_API_RENDER_TOPIC_H
#define SLUICE_SIDECAR_API_RENDER_TOPIC_H

#include "sidecar/api/api.h"

/* A topic; or one of its bindings, if the command names one. */
void render_topic(const struct api_command *c, const struct topic_info *t, struct arena *a, struct api_response *out);
void render_topics(const struct reply *r, struct api_response *out);
/* The member "queues": {QUEUE: SEQUENCE}. */
void render_targets(struct buf *b, const struct api_outcome *o);

#endif

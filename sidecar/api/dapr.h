/* Dapr's HTTP API for publishing (docs.dapr.io, "Pub/sub API reference", "Health API reference", "Metadata API
 * reference"): code written for Dapr can publish unchanged. Pure. Private to sidecar/api. */
#ifndef SLUICE_SIDECAR_API_DAPR_H
#define SLUICE_SIDECAR_API_DAPR_H

#include "sidecar/api/api.h"

/* The name of the pub/sub component if none is listed. */
#define DAPR_PUBSUB "sluice"

/* {"errorCode","message"} */
void dapr_refuse(int status, const char *code, const char *message, struct api_response *out);
/* 204, or an error. */
void dapr_render_publish(const struct api_command *c, const struct api_outcome *outcome, struct arena *a,
                         struct api_response *out);

#endif

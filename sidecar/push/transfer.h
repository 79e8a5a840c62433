/* One request to an application: what libcurl is told of it, and what it came to. Private to sender.c, whose it is. */
#ifndef SLUICE_SIDECAR_PUSH_TRANSFER_H
#define SLUICE_SIDECAR_PUSH_TRANSFER_H

#include "sidecar/push/sender.h"

#include <curl/curl.h>

/* How long a connection is kept for the next one. */
#define IDLE_SECONDS 1L

struct transfer {
    struct transfer *prev, *next;
    CURL *easy;
    struct curl_slist *headers;
    void *cookie;
    unsigned requests; /* times that a request began to be sent */
    size_t header_bytes, body_bytes;
    bool too_big, coded, keep_body;
    struct buf body;
    size_t retry_after_size, allowed_size;
    char retry_after[PUSH_HEADER_MAX], allowed[PUSH_HEADER_MAX];
    char error[CURL_ERROR_SIZE];
};

/* For one request after the other, each set up anew. NULL: no memory for it. */
struct transfer *transfer_new(void);
void transfer_free(struct transfer *x);
/* False: it cannot be sent; to be cleared all the same. */
bool transfer_set_up(struct transfer *x, const struct sender_request *r);
/* What it came to; points into it. */
struct sender_answer transfer_answer(const struct transfer *x, CURLcode code);
/* Lets go of what it held for its request. */
void transfer_clear(struct transfer *x);

#endif

/* One request to an application and its answer: a libcurl easy handle and what its callbacks collect. Private to
 * sender.c. */
#ifndef SLUICE_SIDECAR_PUSH_TRANSFER_H
#define SLUICE_SIDECAR_PUSH_TRANSFER_H

#include "sidecar/push/sender.h"

#include <curl/curl.h>

/* How long an idle connection is kept for the next request. */
#define IDLE_SECONDS 1L

struct transfer {
    struct transfer *prev, *next;
    CURL *easy;
    struct curl_slist *headers;
    void *cookie;
    unsigned requests; /* how often libcurl began to send the request */
    size_t header_bytes, body_bytes;
    bool too_big, coded, keep_body;
    struct buf body;
    size_t retry_after_size, allowed_size;
    char retry_after[PUSH_HEADER_MAX], allowed[PUSH_HEADER_MAX];
    char error[CURL_ERROR_SIZE];
};

/* A handle that can be used for one request after the other, each with its own transfer_set_up. NULL if libcurl
 * fails. */
struct transfer *transfer_new(void);
void transfer_free(struct transfer *x);
/* False if the request cannot be sent; call transfer_clear in any case. */
bool transfer_set_up(struct transfer *x, const struct sender_request *r);
/* The result of a request that ended with `code`; points into *x. */
struct sender_answer transfer_answer(const struct transfer *x, CURLcode code);
/* Frees what belongs to the request; the handle can be set up again. */
void transfer_clear(struct transfer *x);

#endif

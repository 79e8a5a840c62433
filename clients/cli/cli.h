/* What the commands of `sluice` share. Each command is a function in its own file; main.c has the table. */
#ifndef SLUICE_CLI_H
#define SLUICE_CLI_H

#include "base/buf.h"

#include <jansson.h>
#include <stdbool.h>

/* Exit codes: 0 done, 1 refused or failed, 2 wrong usage. */
enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

typedef int cli_command(int argc, char **argv); /* argv[0] is the command's name */
cli_command cli_dev, cli_pub, cli_sub, cli_queue, cli_drain, cli_ping, cli_top, cli_config, cli_bench, cli_keygen;

/* Prints "sluice: ..." to stderr and returns CLI_USAGE. */
int cli_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));
int cli_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- HTTP by libcurl, one connection kept */

struct http_reply {
    long status;  /* 0: no answer came */
    json_t *body; /* NULL when it is no JSON */
    struct buf text;
};
/* SLUICE_URL, or http://127.0.0.1:8480; operations: SLUICE_OPS_URL, or http://127.0.0.1:9480. */
void http_use(const char *url); /* --url; both */
/* A request; path begins with '/'. headers: "Name: value" lines ended by NULL, or NULL. Free with http_reply_free. */
struct http_reply http_request(const char *method, bool operations, const char *path, const char *const *headers,
                               const void *body, size_t size);
void http_reply_free(struct http_reply *r);
/* True when the status is 2xx; else says why on stderr. */
bool http_fine(const struct http_reply *r);

#endif

/* The HTTP server with a simulated clock, a handler that answers nothing by itself (except /refused, with 404), and
 * clients over loopback. */
#ifndef SLUICE_TESTS_SIDECAR_HTTP_SERVER_DRIVER_H
#define SLUICE_TESTS_SIDECAR_HTTP_SERVER_DRIVER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "sidecar/http/server.h"

#define BODY 60000u /* limit on a body, in bytes */

struct driver {
    struct http_server *http;
    struct now now;
    int fd;
    struct exchange *asked[8]; /* requests, in the order of their arrival */
    size_t count, done;
    unsigned refused; /* requests that were refused before they were complete */
};

void driver_open(struct driver *d, uint32_t max_connections);
void driver_open_with(struct driver *d, uint32_t max_connections, uint64_t descriptors);

bool has_to_run(const struct driver *d);
/* Runs the server as the sidecar does: at once if it is due, otherwise when its descriptor is readable. */
void step(struct driver *d);
/* Runs the server until it has nothing to do. */
void rest(struct driver *d);
void until_asked(struct driver *d, size_t count);

/* Answers one of `asked` with 200, whatever the reason; also used as the handler's `abandon`. */
void answer(void *d, struct exchange *x, enum reason why);

/* dial: connects, whether or not the server has accepted it yet; connected: runs the server until it has. */
int dial(const struct driver *d);
int connected(struct driver *d);
void say(int fd, const void *bytes, size_t size);
/* Sends a POST without a body; one to /soon is held (http_hold). */
void ask(int fd, const char *path);
/* assert_says: the answer has this status. assert_ends: the server has closed the connection. */
void assert_says(int fd, const char *status);
void assert_ends(int fd);
/* The answer has this status (assert_answered: 200); closes the connection. */
void assert_status(int fd, const char *status);
void assert_answered(int fd);

#endif

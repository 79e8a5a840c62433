/* The server under a clock of the test's, with a handler that answers nothing by itself (but /refused, by 404), and clients
 * over loopback. */
#ifndef SLUICE_TESTS_SIDECAR_HTTP_SERVER_DRIVER_H
#define SLUICE_TESTS_SIDECAR_HTTP_SERVER_DRIVER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "sidecar/http/server.h"

#define BODY 60000u /* bytes that a body may have */

struct driver {
    struct http_server *http;
    struct now now;
    int fd;
    struct exchange *asked[8]; /* those that wait */
    size_t count, done;
    unsigned refused; /* before they were whole */
};

void driver_open(struct driver *d, uint32_t max_connections);
void driver_open_with(struct driver *d, uint32_t max_connections, uint64_t descriptors);

bool has_to_run(const struct driver *d);
/* Runs it as the sidecar does: at once if it asks for that, else when its descriptor is readable. */
void step(struct driver *d);
/* Until it has nothing to do. */
void rest(struct driver *d);
void until_asked(struct driver *d, size_t count);

/* Answers one of `asked` with 200; whatever the reason. */
void answer(void *d, struct exchange *x, enum reason why);

/* A connection that the server need not know of yet, and one that it does. */
int dial(const struct driver *d);
int connected(struct driver *d);
void say(int fd, const void *bytes, size_t size);
/* A POST without a body; one of /soon is held for a moment. */
void ask(int fd, const char *path);
/* What is answered; then that the server has closed the connection. */
void assert_says(int fd, const char *status);
void assert_ends(int fd);
/* What is answered, after which the connection is closed. */
void assert_status(int fd, const char *status);
void assert_answered(int fd);

#endif

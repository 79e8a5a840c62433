#include "base/zap.h"

#include <string.h>
#include <zmq.h>

#define ENDPOINT "inproc://zeromq.zap.01"

/* The parts of a request, and of a reply, in order. */
enum request_part { REQUEST_VERSION, REQUEST_ID, REQUEST_DOMAIN, REQUEST_ADDRESS, REQUEST_IDENTITY, REQUEST_MECHANISM };

void *zap_open(void *context, struct error *e)
{
    int none = 0;
    void *handler = zmq_socket(context, ZMQ_REP);
    if (!handler) {
        error_set(e, "cannot open a socket: %s", zmq_strerror(zmq_errno()));
        return NULL;
    }
    zmq_setsockopt(handler, ZMQ_LINGER, &none, sizeof none);
    if (zmq_bind(handler, ENDPOINT) == 0)
        return handler;
    error_set(e, "this ZeroMQ context has an authenticator already (%s): give Sluice a context of its own",
              zmq_strerror(zmq_errno()));
    zmq_close(handler);
    return NULL;
}

static bool keep(char *out, size_t size, const void *data, size_t length)
{
    if (length >= size)
        return false;
    memcpy(out, data, length);
    out[length] = '\0';
    return true;
}

/* Copies one part of a message; false if it is not as expected. */
static bool take_part(struct zap_request *r, unsigned part, const void *data, size_t size)
{
    switch (part) {
    case REQUEST_VERSION: return size == 3 && memcmp(data, "1.0", 3) == 0;
    case REQUEST_ID: return keep(r->id, sizeof r->id, data, size);
    case REQUEST_DOMAIN: return keep(r->domain, sizeof r->domain, data, size);
    case REQUEST_ADDRESS: return keep(r->address, sizeof r->address, data, size);
    case REQUEST_IDENTITY: return true;
    case REQUEST_MECHANISM: r->has_key = size == 5 && memcmp(data, "CURVE", 5) == 0; return true;
    default: break;
    }
    if (!r->has_key || part != REQUEST_MECHANISM + 1 || size != sizeof r->key)
        return false;
    memcpy(r->key, data, size);
    return true;
}

static bool receive(void *handler, struct zap_request *r, bool *fine)
{
    zmq_msg_t m;
    unsigned part = 0;
    bool more = true;
    *r = (struct zap_request){ .id = "" };
    for (*fine = true; more; part++) {
        zmq_msg_init(&m);
        if (zmq_msg_recv(&m, handler, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&m);
            return false;
        }
        more = zmq_msg_more(&m);
        *fine = *fine && take_part(r, part, zmq_msg_data(&m), zmq_msg_size(&m));
        zmq_msg_close(&m);
    }
    *fine = *fine && part == REQUEST_MECHANISM + 1u + r->has_key;
    return true;
}

bool zap_receive(void *handler, struct zap_request *r)
{
    bool fine;
    while (receive(handler, r, &fine)) {
        if (fine)
            return true;
        zap_answer(handler, r, NULL);
    }
    return false;
}

void zap_answer(void *handler, const struct zap_request *r, const char *user_id)
{
    const char *parts[] = {
        "1.0", r->id, user_id ? "200" : "400", user_id ? "OK" : "denied", user_id ? user_id : "", ""
    };
    size_t last = sizeof parts / sizeof *parts - 1;
    for (size_t i = 0; i <= last; i++)
        zmq_send(handler, parts[i], strlen(parts[i]), i < last ? ZMQ_SNDMORE | ZMQ_DONTWAIT : ZMQ_DONTWAIT);
}

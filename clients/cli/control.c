#include "clients/cli/control.h"

#include "base/curve.h"
#include "base/endpoint.h"
#include "base/units.h"
#include "base/xalloc.h"
#include "clients/cli/cli.h"

#include <sodium.h>
#include <stdlib.h>
#include <zmq.h>

struct control {
    void *zmq, *socket;
    const char *broker, *wait;
    bool keys;
};

static bool set_keys(void *socket, const char *key, const char *broker_key, struct error *e)
{
    struct curve_keys own;
    char public_key[CURVE_KEY_SIZE];
    if (!key)
        return true;
    if (!curve_read_secret(key, &own, e) || !curve_read_public(broker_key, public_key, e))
        return false;
    curve_join(socket, &own, public_key);
    return true;
}

static int join(const struct control *c, const char *key, const char *broker_key)
{
    struct error e;
    if (!key != !broker_key)
        return cli_usage("--key and --broker-key go together: give both or none");
    if (!endpoint_check(c->broker, &e))
        return cli_usage("%s", e.text);
    if (!set_keys(c->socket, key, broker_key, &e))
        return cli_fail("%s", e.text);
    if (zmq_connect(c->socket, c->broker) != 0)
        return cli_usage("'%s' is not an endpoint: %s", c->broker, zmq_strerror(zmq_errno()));
    return CLI_OK;
}

struct control *control_open(const char *broker, const char *key, const char *broker_key, const char *wait, int *code)
{
    int zero = 0;
    int64_t wait_ms = 5000;
    struct control *c = xcalloc(1, sizeof *c);
    *c = (struct control){ .zmq = zmq_ctx_new(), .broker = broker, .wait = wait, .keys = key != NULL };
    c->socket = zmq_socket(c->zmq, ZMQ_DEALER);
    duration_parse(span_str(wait), &wait_ms);
    int most = wait_ms < 1 ? 1 : (int)wait_ms;
    zmq_setsockopt(c->socket, ZMQ_RCVTIMEO, &most, sizeof most);
    zmq_setsockopt(c->socket, ZMQ_SNDTIMEO, &most, sizeof most);
    zmq_setsockopt(c->socket, ZMQ_LINGER, &zero, sizeof zero);
    *code = join(c, key, broker_key);
    return c;
}

void control_close(struct control *c)
{
    if (!c)
        return;
    zmq_close(c->socket);
    zmq_ctx_term(c->zmq);
    free(c);
}

static bool is_answer(zmq_msg_t *m, const struct request *r, struct arena *arena, struct reply *reply)
{
    return reply_unpack(span_of(zmq_msg_data(m), zmq_msg_size(m)), arena, reply) &&
           memcmp(&reply->id, &r->id, sizeof r->id) == 0;
}

bool control_ask(struct control *c, struct request *r, struct arena *arena, struct reply *reply)
{
    struct buf b = { 0 };
    zmq_msg_t m;
    bool fine = false;
    randombytes_buf(&r->id, sizeof r->id);
    request_pack(r, &b);
    int sent = zmq_send(c->socket, b.data, b.size, 0);
    buf_free(&b);
    zmq_msg_init(&m);
    while (sent >= 0 && !fine && zmq_msg_recv(&m, c->socket, 0) >= 0)
        fine = is_answer(&m, r, arena, reply); /* otherwise a late answer to an earlier request */
    zmq_msg_close(&m);
    if (!fine)
        cli_fail("no broker answers at %s within %s%s", c->broker, c->wait,
                 c->keys ? "; is it up, does it admit this client's key (its log names those it denies), and is "
                           "--broker-key its own?"
                         : "; is it up, are its name and port these, and does it ask for keys (--key)?");
    return fine;
}

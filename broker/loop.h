/* A broker: core, store and net, and the loop that turns them. Used by sluice-broker and, over inproc, by `sluice dev`. */
#ifndef SLUICE_BROKER_LOOP_H
#define SLUICE_BROKER_LOOP_H

#include "base/error.h"
#include "broker/options.h"

struct broker;

/* Opens everything; NULL with a sentence. `zmq_context` is borrowed; options must outlive the broker. */
struct broker *broker_open(void *zmq_context, const struct broker_options *options, struct error *e);
/* On the thread that will run it, which is then kept on the CPU of libzmq's one while both mostly wait (base/same_cpu.h). */
void broker_share_cpu(struct broker *b);
/* Turns until stop_fd becomes readable, which is not read here. False: the disk failed, which was logged; the process is to end with
 * a status that says so, without broker_stop. */
bool broker_run(struct broker *b, int stop_fd);
/* Refuses what waits, tells every client Bye and gives that a moment to leave. */
void broker_stop(struct broker *b);
/* Declares what the options' queues and topics say now, on SIGHUP: logs what changed, and what could not be. */
void broker_reload_declarations(struct broker *b, const struct broker_options *options);
/* Reads the keys of the clients to admit again: on SIGHUP. False: it could not, and the log says why. */
bool broker_reload_clients(struct broker *b);
/* Logs the ledger, frees everything. */
void broker_close(struct broker *b);
const char *broker_endpoint(const struct broker *b);
const char *broker_ingress(const struct broker *b);

#endif

/* A broker: core, stores and sockets, and the loop that drives them. Used by sluice-broker and, over inproc, by
 * `sluice dev`. */
#ifndef SLUICE_BROKER_LOOP_H
#define SLUICE_BROKER_LOOP_H

#include "base/error.h"
#include "broker/options.h"

struct broker;

/* Opens everything; NULL with an error. `zmq_context` and `options` are borrowed and must outlive the broker. */
struct broker *broker_open(void *zmq_context, const struct broker_options *options, struct error *e);
/* From here on broker_run may run the broker on its context's I/O thread, which has that number, while its caller waits
 * (base/io_thread.h, base/one_thread.h). */
void broker_allow_one_thread(struct broker *b, int io_thread);
/* Call on the thread that will run the broker: it is then kept on the CPU of libzmq's I/O thread, of that number, while
 * they are two and mostly wait (base/same_cpu.h). */
void broker_share_cpu(struct broker *b, int io_thread);
/* Runs until stop_fd becomes readable; does not read it. False: the disk failed, which was logged. Then do not call
 * broker_stop, and end the process with a status other than 0. */
bool broker_run(struct broker *b, int stop_fd);
/* The orderly end: refuses what waits, says Bye to every client, gives the frames a moment to leave, and lets the log
 * write its last checkpoint. */
void broker_stop(struct broker *b);
/* On SIGHUP: declares the queues and topics of reloaded options. Logs what changed, and what could not be changed. */
void broker_reload_declarations(struct broker *b, const struct broker_options *options);
/* On SIGHUP: reloads the keys of the clients to admit. False: that failed and was logged; the keys stay as they
 * were. */
bool broker_reload_clients(struct broker *b);
/* Logs the ledger, frees everything. */
void broker_close(struct broker *b);
/* The control and the ingress endpoint as bound; valid until broker_close. */
const char *broker_endpoint(const struct broker *b);
const char *broker_ingress(const struct broker *b);

#endif

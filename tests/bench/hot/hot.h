/* The hot functions, each over and over in the same way: `gate` counts the instructions that they take for each event.
 *   bench_hot CASE  ->  {"events":N}      what is done apart from the functions named in gate is not counted */
#ifndef SLUICE_BENCH_HOT_H
#define SLUICE_BENCH_HOT_H

#include "base/buf.h"

/* What is counted: it stays a function of its own. */
#define HOT __attribute__((noinline))

/* Each returns the events it did. */
unsigned long frame_write_case(void);
unsigned long frame_read_case(void);
unsigned long event_encode_case(void);
unsigned long event_decode_case(void);
unsigned long queue_case(void);
unsigned long log_case(void);
unsigned long http_publish_case(void);
unsigned long http_batch_case(void);
unsigned long http_protobuf_case(void);
unsigned long http_take_case(void);

/* A CloudEvent with 200 B of data, encoded; its `number` is in its id. Appended. */
void hot_event(struct buf *out, unsigned number);

/* Ends the program where a step did not do what it is there for. */
void hot_expect(bool fine, const char *what);

#endif

/* Runs one of the hot functions repeatedly with the same input, so that `gate` can count its instructions per event.
 *   bench_hot CASE  ->  {"events":N}
 * Only the functions that `gate` names are counted, not what a case does around them. */
#ifndef SLUICE_BENCH_HOT_H
#define SLUICE_BENCH_HOT_H

#include "base/buf.h"

/* Marks a counted function: it must not be inlined. */
#define HOT __attribute__((noinline))

/* Each runs its case and returns the number of events processed. */
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

/* Appends an encoded CloudEvent with 200 B of data, whose id contains `number`. */
void hot_event(struct buf *out, unsigned number);

/* Ends the program with the message `what` unless `fine`. */
void hot_expect(bool fine, const char *what);

#endif

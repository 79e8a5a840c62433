/* A dead letter: an event moved to its dead-letter queue, as it was published, plus extension attributes that tell its
 * consumer there what went wrong. Pure.
 *
 *   sluicedeadqueue      String     the queue it died in
 *   sluicedeadsequence   String     its sequence there, in decimal
 *   sluicedeadreason     String     max_deliveries, crash_loop, …
 *   sluicedeadattempts   Integer    deliveries it had
 *   sluicedeadfailures   Integer    sluicedeadcrashes  Integer
 *   sluicedeadstatus     Integer    of the newest nack; absent if none was given
 *   sluicedeaderror      String     likewise; characters that no attribute may have (event.h) become spaces
 *   sluicedeadfirst      Timestamp  when something first went wrong
 *   sluicedeadlast       Timestamp  and last */
#ifndef SLUICE_PROTO_DEAD_LETTER_H
#define SLUICE_PROTO_DEAD_LETTER_H

#include "base/buf.h"
#include "proto/control_info.h"

struct dead_letter {
    const char *queue;
    uint64_t sequence;
    uint32_t attempts;
    struct trouble_info trouble;
};

/* Appends the event with these attributes, which replace those of an earlier death. Its other bytes are copied
 * unchanged, and need not be a valid event. If the event has nearly as many attributes as readers accept, it gets
 * only those that fit. */
void dead_letter_write(struct buf *out, struct span event, const struct dead_letter *l);

#endif

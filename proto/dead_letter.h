/* A dead event on its way to another queue: the event as it was published, with what went wrong as extension attributes, so
 * that whoever consumes it there sees them. Pure.
 *
 *   sluicedeadqueue      String     the queue it died in
 *   sluicedeadsequence   String     its sequence there, in decimal
 *   sluicedeadreason     String     max_deliveries, crash_loop, …
 *   sluicedeadattempts   Integer    deliveries it had
 *   sluicedeadfailures   Integer    sluicedeadcrashes  Integer
 *   sluicedeadstatus     Integer    what the newest nack said; absent when it did not
 *   sluicedeaderror      String     likewise; with spaces for what no attribute may hold (event.h)
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

/* Appends the event with those attributes in place of what an earlier death left. Its other bytes are not touched, and need not be
 * an event's. Where it has so many attributes that whoever reads it would refuse more, it gets those that still fit. */
void dead_letter_write(struct buf *out, struct span event, const struct dead_letter *l);

#endif

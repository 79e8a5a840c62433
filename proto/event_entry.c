/* One entry of an encoded event's attribute map. In protobuf that is a message of two fields, in either order. Used
 * for keys, filters and dead letters, and for id and source, which are an event's fields 1 and 2. */
#include "proto/event.h"

#include "proto/wire.h"

bool event_entry(struct span entry, struct span *name, struct span *value)
{
    struct wire_reader r = wire_open(entry);
    struct wire_field f;
    *name = *value = (struct span){ 0 };
    while (!wire_done(&r)) {
        if (!wire_next(&r, &f))
            return false;
        if (f.type == WIRE_BYTES && f.tag == 1)
            *name = f.bytes;
        else if (f.type == WIRE_BYTES && f.tag == 2)
            *value = f.bytes;
    }
    return true;
}

/* One entry of an encoded event's map of attributes, as protobuf has maps: two fields, in whichever order. Keys,
 * filters and letters go over the map by it, and the event's own first two fields are read the same way. */
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

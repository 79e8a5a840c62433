#include "base/heap_trim.h"

#include "base/usage.h"

#include <malloc.h>

#define LOOK_MS 5000
#define LOOKS   2u /* consecutive looks that must find much: memory free for that long will not be needed soon */
#define MUCH    (UINT64_C(4) << 20) /* resident bytes not in use: this many … */
#define SHARE   16u                 /* … plus this fraction of the bytes in use */

bool heap_trim_look(struct heap_trim *h, uint64_t used, uint64_t resident)
{
    uint64_t rest = resident > used ? resident - used : 0;
    if (rest < h->remained)
        h->remained = rest;
    bool much = rest - h->remained > MUCH + used / SHARE;
    h->seen = much ? h->seen + 1 : 0;
    if (h->seen < LOOKS)
        return false;
    h->seen = 0;
    return true;
}

static uint64_t used_bytes(void)
{
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

static void look(struct heap_trim *h)
{
    if (!heap_trim_look(h, used_bytes(), usage_resident_bytes()))
        return;
    malloc_trim(0);
    uint64_t used = used_bytes(), resident = usage_resident_bytes();
    h->remained = resident > used ? resident - used : 0;
}

void heap_trim_turn(struct heap_trim *h, mono_t now)
{
    if (mono_before(now, h->next)) {
        h->waits = true; /* something happened since the last look: look once more */
        return;
    }
    look(h);
    h->next = mono_add_ms(now, LOOK_MS);
    h->waits = h->seen > 0;
}

mono_t heap_trim_due(const struct heap_trim *h)
{
    return h->waits ? h->next : MONO_NEVER;
}

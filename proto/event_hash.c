/* The identity of an event, for deduplication. */
#include "proto/event.h"

#include <sodium.h>

void event_hash(struct span source, struct span id, uint8_t out[EVENT_HASH_SIZE])
{
    uint8_t bytes[256];
    crypto_generichash_state state;
    if (source.size + 1 + id.size <= sizeof bytes) { /* in one piece: the usual case */
        memcpy(bytes, source.data, source.size);
        bytes[source.size] = 0;
        memcpy(bytes + source.size + 1, id.data, id.size);
        crypto_generichash(out, EVENT_HASH_SIZE, bytes, source.size + 1 + id.size, NULL, 0);
        return;
    }
    crypto_generichash_init(&state, NULL, 0, EVENT_HASH_SIZE);
    crypto_generichash_update(&state, source.data, source.size);
    crypto_generichash_update(&state, (const uint8_t[1]){ 0 }, 1);
    crypto_generichash_update(&state, id.data, id.size);
    crypto_generichash_final(&state, out, EVENT_HASH_SIZE);
}

/* A receipt names a batch of deliveries and is authenticated with a keyed hash, so that no client can forge one. Its
 * text is base64url, without padding, of varints (queue id, incarnation, consumer epoch, first delivery, first
 * sequence, count) followed by 16 bytes of SipHash-2-4-128 over them. The receipt of a single event is this text, ".",
 * and the event's index in the batch. */
#include "broker/core/state.h"

#include <sodium.h>

#define TAG_SIZE   16u
#define FIELDS_MAX 60u

size_t receipt_write(const uint8_t key[16], const struct receipt *r, char out[RECEIPT_MAX_SIZE])
{
    uint8_t bytes[FIELDS_MAX + TAG_SIZE];
    uint8_t *end = wire_put_varint(bytes, r->queue_id);
    end = wire_put_varint(end, r->incarnation);
    end = wire_put_varint(end, r->consumer_epoch);
    end = wire_put_varint(end, r->first_delivery);
    end = wire_put_varint(end, r->first_sequence);
    end = wire_put_varint(end, r->count);
    size_t size = (size_t)(end - bytes);
    crypto_shorthash_siphashx24(end, bytes, size, key);
    sodium_bin2base64(out, RECEIPT_MAX_SIZE, bytes, size + TAG_SIZE, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    return strlen(out);
}

static bool read_fields(struct span bytes, struct receipt *r)
{
    struct wire_reader at = wire_open(bytes);
    uint64_t queue_id, count;
    if (!wire_varint(&at, &queue_id) || !wire_varint(&at, &r->incarnation) || !wire_varint(&at, &r->consumer_epoch) ||
        !wire_varint(&at, &r->first_delivery) || !wire_varint(&at, &r->first_sequence) || !wire_varint(&at, &count))
        return false;
    r->queue_id = (uint32_t)queue_id;
    r->count = (uint32_t)count;
    return wire_done(&at);
}

bool receipt_read(const uint8_t key[16], struct span text, struct receipt *r)
{
    uint8_t bytes[RECEIPT_MAX_SIZE], tag[TAG_SIZE];
    size_t size = 0;
    if (text.size >= RECEIPT_MAX_SIZE ||
        sodium_base642bin(bytes, sizeof bytes, (const char *)text.data, text.size, NULL, &size, NULL,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0 ||
        size <= TAG_SIZE)
        return false;
    crypto_shorthash_siphashx24(tag, bytes, size - TAG_SIZE, key);
    return sodium_memcmp(tag, bytes + size - TAG_SIZE, TAG_SIZE) == 0 &&
           read_fields(span_of(bytes, size - TAG_SIZE), r);
}

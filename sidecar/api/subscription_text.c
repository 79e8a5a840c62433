/* The settings of a subscription in the form in which the broker stores them. */
#include "sidecar/api/subscription.h"

#include <stdio.h>

static void line(struct buf *out, enum subscription_key key, const char *value)
{
    buf_printf(out, "%s %s\n", subscription_key_name(key), value);
}

void subscription_write(const struct subscription_settings *s, struct buf *out)
{
    char number[24];
    line(out, SUBSCRIPTION_QUEUE, s->queue);
    line(out, SUBSCRIPTION_URL, s->url);
    snprintf(number, sizeof number, "%u", s->concurrency);
    line(out, SUBSCRIPTION_CONCURRENCY, number);
    duration_format(s->timeout_ms, number);
    line(out, SUBSCRIPTION_TIMEOUT, number);
    line(out, SUBSCRIPTION_DIALECT, subscription_dialect_name(s->dialect));
    line(out, SUBSCRIPTION_HANDSHAKE, s->handshake ? "true" : "false");
}

bool subscription_read(struct span bytes, struct subscription_settings *out, struct error *why)
{
    *out = (struct subscription_settings){ 0 };
    while (bytes.size) {
        const uint8_t *end = memchr(bytes.data, '\n', bytes.size);
        const uint8_t *space = end ? memchr(bytes.data, ' ', (size_t)(end - bytes.data)) : NULL;
        if (!space)
            return error_set(why, "what the broker keeps is cut short");
        struct span key = span_of(bytes.data, (size_t)(space - bytes.data));
        struct span value = span_of(space + 1, (size_t)(end - space) - 1);
        if (!subscription_parse(out, key, value, why))
            return false;
        bytes = span_of(end + 1, bytes.size - (size_t)(end + 1 - bytes.data));
    }
    return true;
}

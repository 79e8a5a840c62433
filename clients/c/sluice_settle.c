/* Settling with a reason: the application's status and text stay with the event, for people (docs/http-api.md). And
 * extending a lease. */
#include "clients/c/sluice_priv.h"

#include "base/utf8.h"

static void settle_because(struct sluice_sub *sub, enum command_kind kind, uint64_t token, uint32_t delay_ms,
                           uint32_t status, const char *error)
{
    struct sluice *s = sub->connection;
    struct span text =
        utf8_cut(span_str(error), TROUBLE_ERROR_MAX); /* the broker keeps no more than this, and UTF-8 only */
    bool wake = false;
    pthread_mutex_lock(&s->lock);
    struct command *c = sub_command_of(sub, kind, &wake);
    if (c) {
        c->token = token;
        c->ms = delay_ms;
        c->status = status <= UINT16_MAX ? status : 0;
        c->at = s->queue.bytes.size;
        c->text_size = (uint32_t)text.size;
        if (text.size)
            buf_add(&s->queue.bytes, text.data, text.size);
    }
    pthread_mutex_unlock(&s->lock);
    if (wake)
        sluice_wake(s);
}

void sluice_nack_because(struct sluice_sub *sub, uint64_t token, uint32_t delay_ms, uint32_t status, const char *error)
{
    settle_because(sub, COMMAND_NACK, token, delay_ms, status, error);
}

void sluice_drop_because(struct sluice_sub *sub, uint64_t token, uint32_t status, const char *error)
{
    settle_because(sub, COMMAND_DROP, token, 0, status, error);
}

void sluice_extend(struct sluice_sub *sub, uint64_t token, uint32_t lease_ms)
{
    if (lease_ms)
        settle_because(sub, COMMAND_EXTEND, token, lease_ms, 0, NULL);
}

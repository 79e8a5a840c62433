/* Shared by the parts of the control codec, and private to proto/control*.c. */
#ifndef SLUICE_PROTO_CONTROL_PRIV_H
#define SLUICE_PROTO_CONTROL_PRIV_H

#include "proto/control.h"
#include "proto/wire.h"

#include "sluice.pb-c.h"

ProtobufCAllocator control_allocator(struct arena *arena);
void control_token_write(struct token t, uint8_t out[16]);
/* Empty bytes are the zero token; any size but 16 and 0 is refused. */
bool control_token_read(const ProtobufCBinaryData *bytes, struct token *out);
/* Is every text in the encoded message well-formed UTF-8 without a NUL? To be called before unpacking: protobuf-c
 * checks neither, and its strings end at the first NUL. */
bool control_texts_valid(const ProtobufCMessageDescriptor *type, struct span bytes);
/* Casts const away for a generated struct that is only read. NULL becomes "". */
char *control_borrow(const char *text);
void control_pack(const ProtobufCMessage *m, struct buf *out);
/* control_settings.c. A settings message that was not sent reads as no setting given. */
void control_settings_write(const struct queue_settings *s, Sluice__V1__QueueSettings *out);
void control_settings_read(const Sluice__V1__QueueSettings *m, struct queue_settings *out);
/* control_queue.c */
void control_ledger_write(const struct ledger *l, Sluice__V1__Ledger *out);
void control_ledger_read(const Sluice__V1__Ledger *m, struct ledger *out);
void control_pack_queue(const struct reply *r, Sluice__V1__Reply *m, struct buf *out);
void control_pack_queues(const struct reply *r, Sluice__V1__Reply *m, struct buf *out);
bool control_read_queue(const Sluice__V1__QueueInfo *m, struct arena *arena, struct reply *out);
bool control_read_queues(const Sluice__V1__QueueList *m, struct arena *arena, struct reply *out);
/* control_attached.c */
void control_pack_attached(const struct reply *r, Sluice__V1__Reply *m, struct buf *out);
bool control_read_attached(const Sluice__V1__Attached *m, struct arena *arena, struct reply *out);
/* control_peek.c. `trouble` is memory for a part of the message. */
void control_pack_peeked(const struct reply *r, Sluice__V1__Reply *m, struct buf *out);
bool control_read_peeked(const Sluice__V1__Peeked *m, struct arena *arena, struct reply *out);
void control_peeked_write(const struct peeked *e, Sluice__V1__PeekedEvent *out, Sluice__V1__Trouble *trouble);
bool control_peeked_read(const Sluice__V1__PeekedEvent *m, struct peeked *out);
/* control_explain.c */
void control_explain_pack_request(const struct request *r, Sluice__V1__Request *m, struct buf *out);
void control_explain_pack_reply(const struct reply *r, Sluice__V1__Reply *m, struct buf *out);
bool control_explain_read_reply(const Sluice__V1__Reply *m, struct reply *out);
/* control_topic.c */
void control_topic_pack_request(const struct request *r, Sluice__V1__Request *m, struct buf *out);
bool control_topic_read_request(const Sluice__V1__Request *m, struct request *out); /* false: it is no such call */
void control_topic_pack_reply(const struct reply *r, Sluice__V1__Reply *m, struct buf *out);
bool control_topic_read_reply(const Sluice__V1__Reply *m, struct arena *arena, struct reply *out);
/* control_subscription.c: put, delete and list, and their one answer */
void control_pack_subscription(const struct request *r, Sluice__V1__Request *m, struct buf *out);
bool control_read_subscription(const Sluice__V1__Request *m, struct request *out);
void control_pack_subscriptions(const struct reply *r, Sluice__V1__Reply *m, struct buf *out);
bool control_read_subscriptions(const Sluice__V1__SubscriptionList *m, struct arena *arena, struct reply *out);

#endif

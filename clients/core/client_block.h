/* Blocks: what has been published lies encoded in them, from publish to outcome; private to the client:
 * client_publish.c fills and lends them, client.c seals, client_records.c lets go.
 *
 * Entries of one destination that are published one after the other lie behind each other in one block, as they go into a Publish.
 * When such a block has all that its destination has to say next, it is lent: it becomes the frame, and the frame is what is kept,
 * so that an event is written once and lies in memory once. Otherwise its entries are copied into a frame. */
#ifndef SLUICE_CLIENT_BLOCK_H
#define SLUICE_CLIENT_BLOCK_H

#include "clients/core/client_priv.h"

/* A block with room for an entry of that destination, of so many bytes at most. */
struct block *block_for(struct client *c, struct outlet *o, size_t most);
/* The entry that was appended to the block from that offset on is this record's: its share is counted. */
void block_add(struct block *b, size_t offset, struct record *r);
/* What a record's entry says; valid until the block is lent. */
struct span record_content(const struct record *r);
/* From now on the block's entries are copied when they are sent. */
void block_spoil(struct block *b);
/* Can it go as it lies: all that was ever put into it is unsent and undecided, and copying it would cost more than a frame. */
bool block_may_lend(const struct client *c, const struct block *b);
/* Its bytes become `out`, with what was there behind them; client_seal, the next call, gives them back as the frame. */
void block_lend(struct client *c, struct block *b, uint64_t first, uint32_t wait_ms);
/* The frame that `out` becomes when there is a lent block. */
struct frame *block_take_frame(struct client *c);
/* A frame that is kept for a few of its entries, and has been for a while. */
bool block_is_thin(const struct client *c, const struct block *b);
/* The one that is being filled takes no more. */
void block_close(struct client *c);
/* One share less. */
void block_drop(struct block *b);

#endif

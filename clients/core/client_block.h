/* Blocks hold published entries in their encoded form, from publish to outcome. Private to the client: client_publish.c
 * fills and lends them, client.c seals them, client_records.c releases them.
 *
 * Consecutive publishes to one destination are stored one behind the other in one block, in the form of a Publish.
 * If the block is exactly what its destination has to send next, it is lent: it becomes the frame and the frame is
 * what is kept, so that an event is written once and is in memory once. Otherwise its entries are copied into a
 * frame. */
#ifndef SLUICE_CLIENT_BLOCK_H
#define SLUICE_CLIENT_BLOCK_H

#include "clients/core/client_priv.h"

/* The open block, with room for one more entry of that destination of at most `most` bytes; opens a new one if
 * needed. */
struct block *block_for(struct client *c, struct outlet *o, size_t most);
/* Assigns the entry just appended at `offset` to the record, which holds the block from now on. */
void block_add(struct block *b, size_t offset, struct record *r);
/* The content of a record's entry; valid until the block is lent. */
struct span record_content(const struct record *r);
/* Makes the block one that cannot be lent: its entries are copied when they are sent. */
void block_spoil(struct block *b);
/* May the block become a frame? Only if every entry ever added is undecided and unsent, and copying them would cost
 * more than a frame of its own. */
bool block_may_lend(const struct client *c, const struct block *b);
/* Makes the block's bytes `out`, followed by what was in `out`. The next call is client_seal, which turns them into the
 * block's frame. `first` and `wait_ms` complete the Publish. */
void block_lend(struct client *c, struct block *b, uint64_t first, uint32_t wait_ms);
/* Turns `out` into a frame that the lent block shares. */
struct frame *block_take_frame(struct client *c);
/* True of a frame that has been kept for a while for only a few of its entries. */
bool block_is_thin(const struct client *c, const struct block *b);
/* Closes the open block: it takes no more entries. */
void block_close(struct client *c);
/* Gives up one reference. */
void block_drop(struct block *b);

#endif

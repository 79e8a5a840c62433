/* One frame with every body there is, written by the codec; and a walk over a frame that writes down all it says. */
#ifndef SLUICE_TESTS_PROTO_SAMPLE_FRAME_H
#define SLUICE_TESTS_PROTO_SAMPLE_FRAME_H

#include "proto/frame.h"

/* Every body, in the order of enum body_kind, each number and name different. The caller frees the buffer. */
void sample_bodies(struct buf *b);
/* The header with its fields all different, and the bodies. */
void sample_frame(struct buf *b);
extern const struct frame_header sample_header;

/* Appends a line of text for each body and each element in it: FRAME_END when all was read, FRAME_BAD otherwise. */
enum frame_status describe_frame(struct span frame, struct buf *text);

#endif

/* A frame with every kind of body, written by the codec; and a walk over a frame that writes its content as text. */
#ifndef SLUICE_TESTS_PROTO_SAMPLE_FRAME_H
#define SLUICE_TESTS_PROTO_SAMPLE_FRAME_H

#include "proto/frame.h"

/* All bodies in the order of enum body_kind, with different numbers and names. The caller frees the buffer. */
void sample_bodies(struct buf *b);
/* A header whose fields all differ, and the bodies. */
void sample_frame(struct buf *b);
extern const struct frame_header sample_header;

/* Appends a line of text for each body and each element in it: FRAME_END when all was read, FRAME_BAD otherwise. */
enum frame_status describe_frame(struct span frame, struct buf *text);

#endif

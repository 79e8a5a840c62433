/* Writing JSON by appending: what jansson would have to copy twice (events by the thousand) is written here; everything
 * that is not on a hot path uses jansson. */
#ifndef SLUICE_SIDECAR_API_JSON_WRITE_H
#define SLUICE_SIDECAR_API_JSON_WRITE_H

#include "base/buf.h"

struct json_t;

/* A quoted string (RFC 8259); the text is UTF-8. */
void json_add_string(struct buf *b, struct span text);
/* "name":"text" behind a comma when the buffer's last byte is not an opening bracket. */
void json_add_text_member(struct buf *b, const char *name, struct span text);
/* Digits to `to`, at most so many; the byte behind them. */
#define JSON_NUMBER_MOST 20u
uint8_t *json_put_number(uint8_t *to, uint64_t value);
void json_add_number_member(struct buf *b, const char *name, uint64_t value);
/* "name": and nothing behind it. */
void json_add_name(struct buf *b, struct span name);
/* A quoted base64 string. */
void json_add_base64(struct buf *b, struct span bytes);
/* The document's text; takes over `document`. */
void json_add_document(struct buf *b, struct json_t *document);

#endif

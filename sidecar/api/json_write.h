/* Writes JSON by appending to a buffer, for hot paths (events by the thousand), where jansson would copy everything
 * twice. All other JSON is written with jansson. */
#ifndef SLUICE_SIDECAR_API_JSON_WRITE_H
#define SLUICE_SIDECAR_API_JSON_WRITE_H

#include "base/buf.h"

struct json_t;

/* A quoted string (RFC 8259); the text is UTF-8. */
void json_add_string(struct buf *b, struct span text);
/* "name":"text", after a comma unless the buffer's last byte is an opening bracket. */
void json_add_text_member(struct buf *b, const char *name, struct span text);
/* Writes the digits to `to`, at most JSON_NUMBER_MOST; returns the position after them. */
#define JSON_NUMBER_MOST 20u
uint8_t *json_put_number(uint8_t *to, uint64_t value);
void json_add_number_member(struct buf *b, const char *name, uint64_t value);
/* "name": without a value, after a comma as above. */
void json_add_name(struct buf *b, struct span name);
/* A quoted base64 string. */
void json_add_base64(struct buf *b, struct span bytes);
/* The document as text; takes over `document`. */
void json_add_document(struct buf *b, struct json_t *document);

#endif

/* CURVE keys in files. A secret is one line of 40 characters (Z85) in NAME.key, the public half that belongs to it one
 * line in NAME.pub; the keys a broker admits are a file with one public key a line, or a directory of *.pub files. Empty
 * lines and what follows a '#' at the start of a line say nothing ('#' may occur inside a key). */
#ifndef SLUICE_BASE_CURVE_H
#define SLUICE_BASE_CURVE_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

#define CURVE_KEY_SIZE 41 /* Z85 text with its end */

struct curve_keys {
    char secret[CURVE_KEY_SIZE], public[CURVE_KEY_SIZE];
};

/* Public keys, sorted. A zeroed one is empty. */
struct curve_set {
    char (*keys)[CURVE_KEY_SIZE];
    size_t count;
};

/* False with a sentence, also when this libzmq was built without CURVE, or the file has the other half of its pair, which lies
 * beside it. */
bool curve_read_secret(const char *path, struct curve_keys *out, struct error *e);
bool curve_read_public(const char *path, char out[CURVE_KEY_SIZE], struct error *e);
/* Reads a file or directory of public keys; *out is untouched when that fails. */
bool curve_read_set(const char *path, struct curve_set *out, struct error *e);
void curve_set_free(struct curve_set *s);
bool curve_set_has(const struct curve_set *s, const char *key);
/* The text of a key that ZAP shows. */
void curve_key_text(const uint8_t key[32], char out[CURVE_KEY_SIZE]);
/* Writes BASE.key (mode 0600) and BASE.pub; existing ones are never overwritten. */
bool curve_generate(const char *base, struct curve_keys *out, struct error *e);

/* Before bind or connect: this side is the server, or a client of the server with that public key. */
void curve_serve(void *socket, const struct curve_keys *own);
void curve_join(void *socket, const struct curve_keys *own, const char *server_public);

#endif

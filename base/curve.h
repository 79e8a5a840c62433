/* CURVE keys in files. A secret key is one line of 40 characters (Z85) in NAME.key, its public key one line in
 * NAME.pub. The keys a broker admits are a file with one public key per line, or a directory of *.pub files. Empty
 * lines and lines that begin with '#' are ignored ('#' may occur inside a key). */
#ifndef SLUICE_BASE_CURVE_H
#define SLUICE_BASE_CURVE_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

#define CURVE_KEY_SIZE 41 /* Z85 text with its NUL */

struct curve_keys {
    char secret[CURVE_KEY_SIZE], public[CURVE_KEY_SIZE];
};

/* Public keys, sorted. A zeroed one is empty. */
struct curve_set {
    char (*keys)[CURVE_KEY_SIZE];
    size_t count;
};

/* Read one key. False with a sentence, also if this libzmq was built without CURVE, or if the file has the wrong
 * half of a pair whose other half is beside it. */
bool curve_read_secret(const char *path, struct curve_keys *out, struct error *e);
bool curve_read_public(const char *path, char out[CURVE_KEY_SIZE], struct error *e);
/* Reads a file or directory of public keys; leaves *out alone on failure. */
bool curve_read_set(const char *path, struct curve_set *out, struct error *e);
void curve_set_free(struct curve_set *s);
bool curve_set_has(const struct curve_set *s, const char *key);
/* The Z85 text of a key as ZAP gives it. */
void curve_key_text(const uint8_t key[32], char out[CURVE_KEY_SIZE]);
/* Writes BASE.key (mode 0600) and BASE.pub; existing ones are never overwritten. */
bool curve_generate(const char *base, struct curve_keys *out, struct error *e);

/* Call before bind or connect: makes the socket a CURVE server, or a client of the server with that public key. */
void curve_serve(void *socket, const struct curve_keys *own);
void curve_join(void *socket, const struct curve_keys *own, const char *server_public);

#endif

#include "base/curve.h"

#include "base/xalloc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#define LINE_MAX_SIZE 256
#define TEXT_SIZE     (CURVE_KEY_SIZE - 1)

/* ------------------------------------------------------------------ reading */

static bool is_key(const char *text)
{
    uint8_t raw[32];
    return strlen(text) == TEXT_SIZE && zmq_z85_decode(raw, text);
}

/* Skips the rest of a line that did not fit: the rest of a comment is not a line of its own. */
static void skip_rest(FILE *f, const char *line)
{
    int c = strchr(line, '\n') ? '\n' : 0;
    while (c != '\n' && c != EOF)
        c = getc(f);
}

/* The next line that is neither empty nor a comment, without its end. */
static bool next_line(FILE *f, char line[LINE_MAX_SIZE])
{
    while (fgets(line, LINE_MAX_SIZE, f)) {
        skip_rest(f, line);
        line[strcspn(line, "\r\n")] = '\0';
        if (*line && *line != '#')
            return true;
    }
    return false;
}

static bool read_one(const char *path, const char *what, char out[CURVE_KEY_SIZE], struct error *e)
{
    char line[LINE_MAX_SIZE] = "";
    FILE *f = fopen(path, "re");
    if (!f)
        return error_set(e, "cannot read the %s key %s: %s", what, path, strerror(errno));
    bool fine = next_line(f, line) && is_key(line);
    fclose(f);
    if (fine)
        memcpy(out, line, CURVE_KEY_SIZE);
    explicit_bzero(line, sizeof line); /* it may be a secret */
    return fine || error_set(e, "%s holds no %s key of 40 characters; 'sluice keygen NAME' makes a pair", path, what);
}

/* The other file of the pair that 'sluice keygen' wrote: NAME.pub for NAME.key, and the other way round. False: it
 * is missing. */
static bool read_other(const char *path, char out[CURVE_KEY_SIZE])
{
    char other[4096];
    size_t size = strlen(path);
    bool secret = size > 4 && strcmp(path + size - 4, ".key") == 0;
    if (size >= sizeof other || (!secret && (size <= 4 || strcmp(path + size - 4, ".pub") != 0)))
        return false;
    snprintf(other, sizeof other, "%.*s%s", (int)size - 4, path, secret ? ".pub" : ".key");
    return read_one(other, "other", out, NULL);
}

/* The two halves look alike, but with both at hand it can be checked which is which. */
static bool check_half(const char *path, const char *key, bool secret, struct error *e)
{
    char other[CURVE_KEY_SIZE], half[CURVE_KEY_SIZE];
    bool exchanged = read_other(path, other) && zmq_curve_public(half, secret ? other : key) == 0 &&
                     strcmp(half, secret ? key : other) == 0;
    explicit_bzero(other, sizeof other);
    if (!exchanged)
        return true;
    return error_set(e, "%s holds the %s key of its pair, but the %s key is needed; the two were swapped", path,
                     secret ? "public" : "secret", secret ? "secret" : "public");
}

bool curve_read_secret(const char *path, struct curve_keys *out, struct error *e)
{
    if (!zmq_has("curve"))
        return error_set(e, "this libzmq was built without CURVE, so that keys cannot be used");
    return read_one(path, "secret", out->secret, e) && check_half(path, out->secret, true, e) &&
           (zmq_curve_public(out->public, out->secret) == 0 || error_set(e, "%s holds no usable key", path));
}

bool curve_read_public(const char *path, char out[CURVE_KEY_SIZE], struct error *e)
{
    return read_one(path, "public", out, e) && check_half(path, out, false, e);
}

/* ------------------------------------------------------------------ sets */

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

static bool add_file(struct curve_set *s, const char *path, struct error *e)
{
    char line[LINE_MAX_SIZE];
    bool fine = true;
    FILE *f = fopen(path, "re");
    if (!f)
        return error_set(e, "cannot read the keys in %s: %s", path, strerror(errno));
    while (fine && next_line(f, line)) {
        fine = (is_key(line) || error_set(e, "%s: '%.50s' is not a public key of 40 characters", path, line)) &&
               check_half(path, line, false, e);
        if (fine) {
            s->keys = xrealloc(s->keys, (s->count + 1) * sizeof *s->keys);
            memcpy(s->keys[s->count++], line, CURVE_KEY_SIZE);
        }
    }
    fclose(f);
    return fine;
}

static bool add_folder(struct curve_set *s, const char *path, DIR *folder, struct error *e)
{
    bool fine = true;
    for (struct dirent *entry; fine && (entry = readdir(folder)) != NULL;) {
        size_t size = strlen(entry->d_name);
        if (size < 4 || strcmp(entry->d_name + size - 4, ".pub") != 0)
            continue;
        char *name = xmalloc(strlen(path) + size + 2);
        sprintf(name, "%s/%s", path, entry->d_name);
        fine = add_file(s, name, e);
        free(name);
    }
    return fine;
}

bool curve_read_set(const char *path, struct curve_set *out, struct error *e)
{
    struct curve_set s = { 0 };
    DIR *folder = opendir(path);
    bool fine = folder ? add_folder(&s, path, folder, e) : add_file(&s, path, e);
    if (folder)
        closedir(folder);
    if (!fine) {
        curve_set_free(&s);
        return false;
    }
    if (s.count)
        qsort(s.keys, s.count, sizeof *s.keys, compare);
    *out = s;
    return true;
}

void curve_set_free(struct curve_set *s)
{
    free(s->keys);
    *s = (struct curve_set){ 0 };
}

bool curve_set_has(const struct curve_set *s, const char *key)
{
    return s->count && bsearch(key, s->keys, s->count, sizeof *s->keys, compare) != NULL;
}

void curve_key_text(const uint8_t key[32], char out[CURVE_KEY_SIZE])
{
    zmq_z85_encode(out, key, 32);
}

/* ------------------------------------------------------------------ generating */

static bool write_new(const char *path, const char *key, mode_t mode, struct error *e)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0 && errno == EEXIST)
        return error_set(e, "%s exists already; remove it, or choose another name", path);
    if (fd < 0)
        return error_set(e, "cannot write %s: %s", path, strerror(errno));
    bool fine = dprintf(fd, "%s\n", key) == CURVE_KEY_SIZE;
    fine = close(fd) == 0 && fine;
    if (fine)
        return true;
    unlink(path);
    return error_set(e, "cannot write %s: %s", path, strerror(errno));
}

bool curve_generate(const char *base, struct curve_keys *out, struct error *e)
{
    char secret[4096], public[4096];
    if (snprintf(secret, sizeof secret, "%s.key", base) >= (int)sizeof secret)
        return error_set(e, "the name is too long");
    snprintf(public, sizeof public, "%s.pub", base);
    if (zmq_curve_keypair(out->public, out->secret) != 0)
        return error_set(e, "this libzmq was built without CURVE, so that keys cannot be made");
    if (access(public, F_OK) == 0)
        return error_set(e, "%s exists already; remove it, or choose another name", public);
    if (!write_new(secret, out->secret, 0600, e))
        return false;
    if (write_new(public, out->public, 0644, e))
        return true;
    unlink(secret);
    return false;
}

/* ------------------------------------------------------------------ using */

void curve_serve(void *socket, const struct curve_keys *own)
{
    int yes = 1;
    zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &yes, sizeof yes);
    zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, own->secret, CURVE_KEY_SIZE);
}

void curve_join(void *socket, const struct curve_keys *own, const char *server_public)
{
    zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, server_public, CURVE_KEY_SIZE);
    zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, own->public, CURVE_KEY_SIZE);
    zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, own->secret, CURVE_KEY_SIZE);
}

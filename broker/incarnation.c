/* The incarnation's file. */
#include "broker/incarnation.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* More bits would leave no room for the epochs of an incarnation (core.h). In seconds, 43 bits last a quarter of a
 * million years. */
#define NUMBER_BITS 43

/* *number is 0 in a new directory. A file that cannot be read is an error, not 0: an incarnation must never be used
 * twice. */
static int read_number(int dir, uint64_t *number)
{
    char text[32] = "", *end;
    *number = 0;
    int fd = openat(dir, "incarnation", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : errno;
    ssize_t size = read(fd, text, sizeof text - 1);
    int why = size < 0 ? errno : 0;
    close(fd);
    if (!why) {
        *number = strtoull(text, &end, 10);
        why = *number == 0 || *number >> NUMBER_BITS || *end != '\n' ? EBADMSG : 0;
    }
    return why;
}

/* Writes a temporary file, syncs it, renames it and syncs the directory: a crash leaves the old number or the new
 * one, whole. */
static bool write_number(int dir, uint64_t number)
{
    char text[32];
    int size = snprintf(text, sizeof text, "%" PRIu64 "\n", number);
    int fd = openat(dir, "incarnation.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (fd < 0)
        return false;
    bool fine = write(fd, text, (size_t)size) == size && fdatasync(fd) == 0;
    fine = close(fd) == 0 && fine;
    return fine && renameat(dir, "incarnation.new", dir, "incarnation") == 0 && fsync(dir) == 0;
}

bool incarnation_raise(const char *path, uint64_t *out, struct error *e)
{
    uint64_t now = (uint64_t)clock_now().wall.ms;
    *out = now;
    if (!path)
        return true;
    if (mkdir(path, 0750) != 0 && errno != EEXIST)
        return error_set(e, "cannot create the data directory %s: %s", path, strerror(errno));
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return error_set(e, "cannot open the data directory %s: %s", path, strerror(errno));
    int why = read_number(dir, out);
    if (why) {
        close(dir);
        return error_set(e,
                         "cannot read %s/incarnation: %s; put a number into it that is higher than any that was used",
                         path, strerror(why));
    }
    /* A directory restored from a copy has the number of the time of the copy, and later ones were used since. The
     * clock's seconds are above those, too, so that epochs, which consumers use for fencing, never go back. */
    *out = *out < now / 1000 ? now / 1000 : *out + 1;
    bool fine = write_number(dir, *out);
    why = errno;
    close(dir);
    return fine ||
           error_set(e, "cannot write to the data directory %s: %s%s", path, strerror(why),
                     why == ENOSPC || why == EDQUOT ? "; make some room: a few hundred KiB are enough to start" : "");
}

/* Log directories on the simulated disk: copying, damaging, opening, checking and repairing them in tests. */
#ifndef SLUICE_TESTS_LOG_DIRS_H
#define SLUICE_TESTS_LOG_DIRS_H

#include "broker/store/log.h"
#include "tests/sim/disk.h"

#define DIR_FIRST  "0000000000000001.log"
#define DIR_SECOND "0000000000000002.log"
#define DIR_QUEUES 8u /* queues whose live events are counted: 1 to this */

struct disk *dir_copy(const struct disk *from);
/* Overwrites the file with zeros from `from` on; its size stays. */
void dir_zero_from(struct disk *d, const char *name, uint64_t from);
/* Removes a file, as somebody might have. */
void dir_remove(struct disk *d, const char *name);

/* Where the segment's groups are, as the codec reads them. */
struct groups {
    struct {
        uint64_t at, end;
    } of[256];
    size_t count;
};
struct groups dir_groups(const struct disk *d, const char *name);

/* Opens the log and closes it again. Returns the number of live events, or -1 with an error. */
int64_t dir_open(struct disk *d, const struct log_config *config, struct error *e, bool *torn);
/* Fails the test unless opening is refused with both texts in the error. */
void dir_refuses(struct disk *d, const struct log_config *config, const char *one, const char *two);

struct lines {
    char text[8192];
};
/* Fails the test when --check changed anything. */
bool dir_check(struct disk *d, struct lines *l);
bool dir_repair(struct disk *from, struct disk *to, struct lines *l);

#define says(lines, what)                                                                                              \
    do {                                                                                                               \
        if (!strstr((lines).text, what))                                                                               \
            fail_msg("'%s' is not in:\n%s", what, (lines).text);                                                       \
    } while (0)

#endif

/* Durations ("30s", "250ms", "2m", "12h", "0s"; plain numbers are refused as ambiguous except 0),
 * sizes (65536, "64MiB", "10kB"; decimal k/M/G and binary Ki/Mi/Gi), and names. */
#ifndef SLUICE_BASE_UNITS_H
#define SLUICE_BASE_UNITS_H

#include "base/span.h"

#define DURATION_MOST "3660d" /* ten years: the longest duration, as messages name it */
/* Parses a whole duration to milliseconds, at most DURATION_MOST; fractions ("1.5s") allowed.
 * False on anything else, leaving *ms alone. Units: ns us ms s m h d. */
bool duration_parse(struct span text, int64_t *ms);
/* The shortest exact form: 1500 -> "1500ms", 30000 -> "30s", 7200000 -> "2h". `out` >= 24 bytes. */
void duration_format(int64_t ms, char *out);
/* The same for a size in bytes: 1000 -> "1000", 1048576 -> "1MiB". `out` >= 24 bytes. */
void size_format(uint64_t bytes, char *out);
/* Parses a size to bytes; fractions ("1.5MiB") allowed, but not of a byte. False on overflow or anything else. */
bool size_parse(struct span text, uint64_t *bytes);

/* A name of a queue, topic or subscription: [A-Za-z0-9][A-Za-z0-9._-]{0,127}. */
#define NAME_MAX_SIZE 128
#define NAME_RULE     "1 to 128 letters, digits, '.', '_' or '-', the first a letter or digit" /* for messages */
bool name_valid(struct span name);

#endif

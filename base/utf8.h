/* UTF-8 (RFC 3629: no surrogates, no overlongs, <= U+10FFFF): validation, and iterating over characters. */
#ifndef SLUICE_BASE_UTF8_H
#define SLUICE_BASE_UTF8_H

#include "base/span.h"

/* True when the bytes are well-formed. */
bool utf8_valid(struct span bytes);
/* Truncates to at most `most` bytes, without cutting a character apart. Borrowed. */
struct span utf8_cut(struct span text, size_t most);

/* Removes the first character from a text that is not empty. False: `character` is a malformed sequence, which is a
 * byte that begins no valid character and the bytes after it that could only have continued it. Borrowed; never
 * empty. */
bool utf8_next(struct span *text, struct span *character);
/* Is it a control character, which a terminal may obey? U+0000 to U+001F, U+007F to U+009F. */
bool utf8_is_control(struct span character);

#endif

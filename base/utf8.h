/* UTF-8 (RFC 3629: no surrogates, no overlongs, <= U+10FFFF): what is, and a text's characters one after another. */
#ifndef SLUICE_BASE_UTF8_H
#define SLUICE_BASE_UTF8_H

#include "base/span.h"

/* True when the bytes are well-formed. */
bool utf8_valid(struct span bytes);
/* At most that many of the text's first bytes, and no part of a character at their end. Borrowed. */
struct span utf8_cut(struct span text, size_t most);

/* Takes the first character off a text that is not empty. False: those bytes are none: one that begins no character here, and
 * those behind it that could only have gone on from it. Borrowed; never empty. */
bool utf8_next(struct span *text, struct span *character);
/* Of a character: may a terminal take it for a command? U+0000 to U+001F, U+007F to U+009F. */
bool utf8_is_control(struct span character);

#endif

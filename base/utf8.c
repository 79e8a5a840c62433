#include "base/utf8.h"

/* For a lead byte: the number of continuation bytes, and the range of the second byte without overlongs and
 * surrogates. */
static bool lead(uint8_t c, size_t *more, uint8_t *low, uint8_t *high)
{
    *low = 0x80;
    *high = 0xbf;
    if (c >= 0xc2 && c <= 0xdf) {
        *more = 1;
    } else if (c >= 0xe0 && c <= 0xef) {
        *more = 2;
        *low = c == 0xe0 ? 0xa0 : 0x80;
        *high = c == 0xed ? 0x9f : 0xbf;
    } else if (c >= 0xf0 && c <= 0xf4) {
        *more = 3;
        *low = c == 0xf0 ? 0x90 : 0x80;
        *high = c == 0xf4 ? 0x8f : 0xbf;
    } else {
        return false;
    }
    return true;
}

static bool goes_on(uint8_t c)
{
    return (c & 0xc0) == 0x80;
}

/* The size of the multi-byte character at the start of `bytes`; 0: there is none. */
static size_t sequence_size(struct span bytes)
{
    size_t more;
    uint8_t low, high;
    if (!lead(bytes.data[0], &more, &low, &high) || bytes.size <= more || bytes.data[1] < low || bytes.data[1] > high)
        return 0;
    for (size_t k = 2; k <= more; k++) {
        if (!goes_on(bytes.data[k]))
            return 0;
    }
    return 1 + more;
}

/* The number of ASCII bytes before the first block of 32 that is not all ASCII. */
static size_t ascii_strides(struct span bytes)
{
    size_t i = 0;
    for (uint64_t w[4]; bytes.size - i >= sizeof w; i += sizeof w) {
        memcpy(w, bytes.data + i, sizeof w);
        if ((w[0] | w[1] | w[2] | w[3]) & UINT64_C(0x8080808080808080))
            break;
    }
    return i;
}

bool utf8_valid(struct span bytes)
{
    for (size_t i = ascii_strides(bytes); i < bytes.size;) {
        uint64_t eight;
        if (bytes.size - i >= sizeof eight) { /* skip ASCII eight bytes at a time */
            memcpy(&eight, bytes.data + i, sizeof eight);
            if ((eight & UINT64_C(0x8080808080808080)) == 0) {
                i += sizeof eight;
                continue;
            }
        }
        size_t size = bytes.data[i] < 0x80 ? 1 : sequence_size(span_of(bytes.data + i, bytes.size - i));
        if (size == 0)
            return false;
        i += size;
    }
    return true;
}

struct span utf8_cut(struct span text, size_t most)
{
    size_t size = text.size < most ? text.size : most;
    while (size < text.size && size && goes_on(text.data[size]))
        size--;
    return span_of(text.data, size);
}

bool utf8_next(struct span *text, struct span *character)
{
    size_t size = text->data[0] < 0x80 ? 1 : sequence_size(*text);
    bool valid = size > 0;
    if (!valid) {
        for (size = 1; size < text->size && goes_on(text->data[size]);)
            size++;
    }
    *character = span_of(text->data, size);
    *text = span_of(text->data + size, text->size - size);
    return valid;
}

bool utf8_is_control(struct span character)
{
    uint8_t c = character.data[0];
    return c < 0x20 || c == 0x7f || (c == 0xc2 && character.size == 2 && character.data[1] < 0xa0);
}

#include "sidecar/api/json_scan.h"

#include <endian.h>
#include <jansson.h>

static void skip_space(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
        s->at++;
}

static bool take(struct scan *s, uint8_t byte)
{
    if (s->at == s->end || *s->at != byte)
        return false;
    s->at++;
    return true;
}

static bool take_word(struct scan *s, const char *word)
{
    size_t size = strlen(word);
    if ((size_t)(s->end - s->at) < size || memcmp(s->at, word, size) != 0)
        return false;
    s->at += size;
    return true;
}

static bool is_digit(const struct scan *s)
{
    return s->at < s->end && *s->at >= '0' && *s->at <= '9';
}

static bool take_digits(struct scan *s)
{
    if (!is_digit(s))
        return false;
    while (is_digit(s))
        s->at++;
    return true;
}

static bool take_number(struct scan *s)
{
    take(s, '-');
    if (!take(s, '0') && !take_digits(s))
        return false;
    if (take(s, '.') && !take_digits(s))
        return false;
    if (take(s, 'e') || take(s, 'E')) {
        if (!take(s, '+'))
            take(s, '-');
        return take_digits(s);
    }
    return true;
}

static bool take_escape(struct scan *s)
{
    if (s->at == s->end)
        return false;
    uint8_t c = *s->at++;
    if (c != 'u')
        return strchr("\"\\/bfnrt", c) != NULL && c != 0;
    for (unsigned i = 0; i < 4; i++, s->at++) {
        if (s->at == s->end ||
            !((*s->at >= '0' && *s->at <= '9') || ((*s->at | 0x20) >= 'a' && (*s->at | 0x20) <= 'f')))
            return false;
    }
    return true;
}

/* Sets the high bit of each special byte among eight, by the usual SWAR arithmetic: the subtraction borrows at a byte
 * below 0x20 or one that the exclusive-or made zero. Bytes above a special one may be marked, too; if there is no
 * special byte, none is. */
static uint64_t mark_special(uint64_t eight)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), highs = UINT64_C(0x8080808080808080);
    uint64_t quote = eight ^ (ones * '"'), backslash = eight ^ (ones * '\\');
    uint64_t found = ((eight - ones * 0x20) & ~eight) | ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash);
    return found & highs;
}

typedef uint8_t sixteen __attribute__((vector_size(16)));

/* Is none of the sixteen bytes special? */
static bool is_plain(const uint8_t *at)
{
    sixteen v;
    uint64_t found[2];
    memcpy(&v, at, sizeof v);
    sixteen special = (sixteen)(v < 0x20) | (sixteen)(v == '"') | (sixteen)(v == '\\');
    memcpy(found, &special, sizeof found);
    return (found[0] | found[1]) == 0;
}

const uint8_t *scan_plain(const uint8_t *at, const uint8_t *end)
{
    while (end - at >= (ptrdiff_t)sizeof(sixteen) && is_plain(at))
        at += sizeof(sixteen);
    for (uint64_t eight, found; end - at >= (ptrdiff_t)sizeof eight; at += sizeof eight) {
        memcpy(&eight, at, sizeof eight);
        found = mark_special(le64toh(eight));
        if (found)
            return at + __builtin_ctzll(found) / 8;
    }
    while (at < end && *at >= 0x20 && *at != '"' && *at != '\\')
        at++;
    return at;
}

static bool take_string(struct scan *s)
{
    if (!take(s, '"'))
        return false;
    for (;;) {
        s->at = scan_plain(s->at, s->end);
        if (s->at == s->end)
            return false;
        uint8_t c = *s->at++;
        if (c == '"')
            return true;
        if (c < 0x20 || (c == '\\' && !take_escape(s)))
            return false;
    }
}

static bool take_value(struct scan *s, struct scan_value *out);

static bool take_scalar(struct scan *s, struct scan_value *out)
{
    switch (s->at < s->end ? *s->at : 0) {
    case '"': out->kind = SCAN_STRING; return take_string(s);
    case 't': out->kind = SCAN_TRUE; return take_word(s, "true");
    case 'f': out->kind = SCAN_FALSE; return take_word(s, "false");
    case 'n': out->kind = SCAN_NULL; return take_word(s, "null");
    default: out->kind = SCAN_NUMBER; return take_number(s);
    }
}

/* Passes over one value without recursion: `open` has a bit per level, 1 for an object. */
static bool take_nested(struct scan *s)
{
    uint64_t open = 0;
    unsigned depth = 0;
    struct scan_value ignored;
    for (;;) {
        bool opened = false;
        skip_space(s);
        if (s->at < s->end && (*s->at == '{' || *s->at == '[')) {
            if (s->depth + depth == SCAN_DEPTH_MAX)
                return false;
            open = open << 1 | (*s->at == '{');
            depth++;
            s->at++;
            opened = true;
        } else if (!take_scalar(s, &ignored)) {
            return false;
        }
        for (;;) { /* after a value or an opening bracket */
            if (depth == 0)
                return true;
            skip_space(s);
            bool object = open & 1;
            if (take(s, object ? '}' : ']')) {
                open >>= 1;
                depth--;
                opened = false;
                continue;
            }
            if (!opened && !take(s, ','))
                return false;
            skip_space(s);
            if (object && (!take_string(s) || (skip_space(s), !take(s, ':'))))
                return false;
            break;
        }
    }
}

static bool take_value(struct scan *s, struct scan_value *out)
{
    skip_space(s);
    const uint8_t *start = s->at;
    bool fine;
    if (start < s->end && (*start == '{' || *start == '[')) {
        out->kind = *start == '{' ? SCAN_OBJECT : SCAN_ARRAY;
        fine = take_nested(s);
    } else {
        fine = take_scalar(s, out);
    }
    out->raw = span_of(start, (size_t)(s->at - start));
    return fine;
}

bool scan_text_at(struct span text, struct scan_value *out, size_t *stopped)
{
    struct scan s = scan_begin(text);
    bool fine = take_value(&s, out);
    if (fine)
        skip_space(&s);
    *stopped = (size_t)(s.at - s.start);
    return fine && s.at == s.end;
}

bool scan_text(struct span text, struct scan_value *out)
{
    size_t stopped;
    return scan_text_at(text, out, &stopped);
}

struct scan scan_open(struct span raw)
{
    return (struct scan){ raw.data + 1, raw.data, raw.data + raw.size, true, 0 };
}

struct scan scan_begin(struct span text)
{
    return (struct scan){ text.data, text.data, text.data + text.size, true, 0 };
}

bool scan_enter(struct scan *outer, char bracket, struct scan *inner)
{
    skip_space(outer);
    if (outer->depth == SCAN_DEPTH_MAX || !take(outer, (uint8_t)bracket))
        return false;
    *inner = *outer;
    inner->first = true;
    inner->depth++;
    return true;
}

void scan_leave(struct scan *outer, const struct scan *inner)
{
    outer->at = inner->at;
}

bool scan_ended(struct scan *s)
{
    skip_space(s);
    return s->at == s->end;
}

/* Moves to the next element, or past the closing bracket. */
static enum scan_status step(struct scan *s, uint8_t closing)
{
    skip_space(s);
    if (take(s, closing))
        return SCAN_END;
    if (!s->first && !take(s, ','))
        return SCAN_BAD;
    s->first = false;
    skip_space(s);
    return SCAN_OK;
}

enum scan_status scan_next(struct scan *array)
{
    return step(array, ']');
}

enum scan_status scan_member(struct scan *s, struct span *key, struct scan_value *value)
{
    enum scan_status status = step(s, '}');
    if (status != SCAN_OK)
        return status;
    const uint8_t *start = s->at;
    if (!take_string(s))
        return SCAN_BAD;
    *key = span_of(start, (size_t)(s->at - start));
    skip_space(s);
    return take(s, ':') && take_value(s, value) ? SCAN_OK : SCAN_BAD;
}

enum scan_status scan_element(struct scan *s, struct scan_value *value)
{
    enum scan_status status = step(s, ']');
    if (status != SCAN_OK)
        return status;
    return take_value(s, value) ? SCAN_OK : SCAN_BAD;
}

bool scan_string(struct span raw, struct arena *a, struct span *out)
{
    if (!memchr(raw.data, '\\', raw.size)) {
        *out = span_of(raw.data + 1, raw.size - 2);
        return true;
    }
    json_t *text = json_loadb((const char *)raw.data, raw.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (!text)
        return false;
    size_t size = json_string_length(text);
    char *copy = arena_strndup(a, json_string_value(text), size);
    json_decref(text);
    *out = span_of(copy, size);
    return copy != NULL;
}

#include "sidecar/push/verdict.h"

#include "base/utf8.h"
#include "sidecar/api/json_scan.h"

#include <stdio.h>
#include <strings.h>
#include <time.h>

#define RECONNECT_FIRST_MS 250
#define RECONNECT_MOST_MS  10000

static int64_t within_bounds(int64_t ms)
{
    return ms < PUSH_PAUSE_MIN_MS ? PUSH_PAUSE_MIN_MS : ms < PUSH_PAUSE_MAX_MS ? ms : PUSH_PAUSE_MAX_MS;
}

static bool parse_seconds(const char *text, int64_t *ms)
{
    int64_t seconds = 0;
    if (*text == '\0' || strspn(text, "0123456789") != strlen(text))
        return false;
    for (; *text && seconds < PUSH_PAUSE_MAX_MS; text++)
        seconds = seconds * 10 + (*text - '0');
    *ms = within_bounds(seconds * 1000);
    return true;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT"; the name of the day is ignored. */
static bool parse_date(const char *text, wall_t now, int64_t *ms)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct tm t = { 0 };
    char month[4];
    int end = 0;
    if (sscanf(text, "%*3c, %2d %3s %4d %2d:%2d:%2d GMT%n", &t.tm_mday, month, &t.tm_year, &t.tm_hour, &t.tm_min,
               &t.tm_sec, &end) != 6 ||
        end == 0 || text[end])
        return false;
    const char *found = strstr(months, month);
    if (!found || strlen(month) != 3 || (found - months) % 3)
        return false;
    t.tm_mon = (int)(found - months) / 3;
    t.tm_year -= 1900;
    *ms = within_bounds((int64_t)timegm(&t) * 1000 - now.ms);
    return true;
}

bool push_retry_after(struct span value, wall_t now, int64_t *ms)
{
    char text[40];
    if (value.size == 0 || value.size >= sizeof text)
        return false;
    memcpy(text, value.data, value.size);
    text[value.size] = '\0';
    return parse_seconds(text, ms) || parse_date(text, now, ms);
}

void push_header(struct span line, const char *name, char out[PUSH_HEADER_MAX], size_t *size)
{
    size_t length = strlen(name);
    const uint8_t *at = line.data + length + 1, *end = line.data + line.size;
    if (line.size <= length || line.data[length] != ':' || strncasecmp((const char *)line.data, name, length) != 0)
        return;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    while (at < end && (end[-1] == '\n' || end[-1] == '\r' || end[-1] == ' '))
        end--;
    *size = (size_t)(end - at) < PUSH_HEADER_MAX ? (size_t)(end - at) : 0;
    memcpy(out, at, *size);
}

static struct push_verdict judge_status(const struct push_outcome *o, wall_t now)
{
    int64_t ms;
    if (o->status >= 200 && o->status < 300)
        return (struct push_verdict){ .result = PUSH_ACKED };
    if (o->status == 410)
        return (struct push_verdict){ .result = PUSH_GONE };
    if ((o->status == 429 || o->status == 503) && push_retry_after(o->retry_after, now, &ms))
        return (struct push_verdict){ .result = PUSH_THROTTLED, .pause_ms = ms };
    return (struct push_verdict){ .result = PUSH_FAILED };
}

struct push_verdict push_judge(const struct push_outcome *o, wall_t now)
{
    switch (o->end) {
    case PUSH_ANSWERED: return judge_status(o, now);
    case PUSH_NOT_SENT: return (struct push_verdict){ .result = PUSH_UNREACHABLE };
    case PUSH_TIMED_OUT:
    case PUSH_BROKEN:
    case PUSH_ANSWER_TOO_BIG: break;
    }
    return (struct push_verdict){ .result = PUSH_FAILED };
}

/* The raw value of the member `status`, quotes included; empty if there is none. */
static struct span status_of_body(struct span body)
{
    struct scan_value whole, value;
    struct span key;
    if (!utf8_valid(body) || !scan_text(body, &whole) || whole.kind != SCAN_OBJECT)
        return span_str("");
    for (struct scan s = scan_open(whole.raw); scan_member(&s, &key, &value) == SCAN_OK;) {
        if (span_equal(key, span_str("\"status\"")))
            return value.raw;
    }
    return span_str("");
}

static struct push_verdict judge_body(struct span body)
{
    struct span status = status_of_body(body);
    if (status.size == 0 || span_equal(status, span_str("\"\"")) || span_equal(status, span_str("\"SUCCESS\"")))
        return (struct push_verdict){ .result = PUSH_ACKED };
    if (span_equal(status, span_str("\"DROP\"")))
        return (struct push_verdict){ .result = PUSH_DROPPED, .word = "DROP" };
    bool known = span_equal(status, span_str("\"RETRY\""));
    return (struct push_verdict){ .result = PUSH_FAILED, .word = known ? "RETRY" : "none of SUCCESS, RETRY and DROP" };
}

struct push_verdict push_judge_dapr(const struct push_outcome *o, wall_t now)
{
    if (o->end != PUSH_ANSWERED)
        return push_judge(o, now);
    if (o->status >= 200 && o->status < 300)
        return judge_body(o->body);
    if (o->status == 404)
        return (struct push_verdict){ .result = PUSH_DROPPED };
    if (o->status == 410) /* has no special meaning in Dapr */
        return (struct push_verdict){ .result = PUSH_FAILED };
    return push_judge(o, now);
}

/* Replaces control characters by spaces: those of ASCII, and U+0080 to U+009F (C2 80 to C2 9F in UTF-8). */
static void blank_controls(char *text)
{
    for (unsigned char *c = (unsigned char *)text; *c; c++) {
        if (*c < ' ' || *c == 0x7f)
            *c = ' ';
        else if (*c == 0xc2 && c[1] < 0xa0)
            c[0] = c[1] = ' ';
    }
}

void push_excerpt(struct span body, char out[PUSH_EXCERPT_MAX + 1])
{
    size_t size = body.size < PUSH_EXCERPT_MAX ? body.size : PUSH_EXCERPT_MAX, least = size < 3 ? 0 : size - 3;
    while (size > least && !utf8_valid(span_of(body.data, size)))
        size--;
    if (size == 0 || !utf8_valid(span_of(body.data, size)) || memchr(body.data, '\0', size))
        size = 0;
    else
        memcpy(out, body.data, size);
    out[size] = '\0';
    blank_controls(out);
    while (size > 0 && out[size - 1] == ' ')
        out[--size] = '\0';
}

bool push_is_allowed(struct span allowed, const char *origin)
{
    return span_equal(allowed, span_str("*")) || (allowed.size == strlen(origin) && allowed.size &&
                                                  strncasecmp((const char *)allowed.data, origin, allowed.size) == 0);
}

/* first * 2^(times - 1), at most `most`. */
static int64_t doubled(int64_t first, int64_t most, unsigned times)
{
    int64_t ms = first;
    while (times > 1 && ms < most) {
        ms *= 2;
        times--;
    }
    return ms < most ? ms : most;
}

int64_t push_reconnect_ms(unsigned tries, uint32_t random)
{
    int64_t ms = doubled(RECONNECT_FIRST_MS, RECONNECT_MOST_MS, tries);
    return ms / 2 + (int64_t)((uint64_t)random * (uint64_t)(ms - ms / 2) >> 32);
}

int64_t push_time_limit_ms(int64_t timeout_ms, uint32_t lease_ms)
{
    int64_t within = (int64_t)lease_ms * 5 / 6;
    return timeout_ms < within ? timeout_ms : within > 0 ? within : 1;
}

/* RFC 3339 date-times. Days are counted in the proleptic Gregorian calendar (the usual days-from-civil arithmetic). */
#include "proto/event.h"

static int64_t days_from_civil(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static int days_in_month(int year, int month)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

/* `count` digits as a number; -1 when there are not. */
static int digits(struct span text, size_t at, size_t count)
{
    int value = 0;
    if (at + count > text.size)
        return -1;
    for (size_t i = at; i < at + count; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return -1;
        value = value * 10 + (text.data[i] - '0');
    }
    return value;
}

static bool char_at(struct span text, size_t at, char a, char b)
{
    return at < text.size && (text.data[at] == (uint8_t)a || text.data[at] == (uint8_t)b);
}

static bool parse_offset(struct span text, size_t at, int *minutes)
{
    *minutes = 0;
    if (char_at(text, at, 'Z', 'z'))
        return at + 1 == text.size;
    if (!char_at(text, at, '+', '-') || text.size != at + 6 || !char_at(text, at + 3, ':', ':'))
        return false;
    int hour = digits(text, at + 1, 2), minute = digits(text, at + 4, 2);
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59)
        return false;
    *minutes = (hour * 60 + minute) * (text.data[at] == '-' ? -1 : 1);
    return true;
}

bool timestamp_parse(struct span text, int64_t *seconds, int32_t *nanos)
{
    int year = digits(text, 0, 4), month = digits(text, 5, 2), day = digits(text, 8, 2);
    int hour = digits(text, 11, 2), minute = digits(text, 14, 2), second = digits(text, 17, 2);
    if (!char_at(text, 4, '-', '-') || !char_at(text, 7, '-', '-') || !char_at(text, 10, 'T', 't') ||
        !char_at(text, 13, ':', ':') || !char_at(text, 16, ':', ':'))
        return false;
    if (year < 0 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) || hour < 0 || hour > 23 ||
        minute < 0 || minute > 59 || second < 0 || second > 60)
        return false;
    size_t at = 19;
    int32_t scale = 100000000;
    *nanos = 0;
    if (char_at(text, at, '.', '.')) {
        size_t start = ++at;
        for (; at < text.size && text.data[at] >= '0' && text.data[at] <= '9'; at++, scale /= 10)
            *nanos += (text.data[at] - '0') * scale;
        if (at == start)
            return false;
    }
    int offset;
    if (!parse_offset(text, at, &offset))
        return false;
    *seconds = days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset * 60;
    return true;
}

bool timestamp_parse_ms(struct span text, int64_t *ms)
{
    int64_t seconds;
    int32_t nanos;
    if (!timestamp_parse(text, &seconds, &nanos))
        return false;
    int64_t at = seconds * 1000 + nanos / 1000000;
    *ms = at > 0 ? at : 1;
    return true;
}

/* Writes the last `count` digits of a non-negative number. Not with printf, which takes some 4,000 instructions:
 * every event with a time comes through here. */
static char *put_digits(char *at, int64_t value, int count)
{
    for (int i = count - 1; i >= 0; i--, value /= 10)
        at[i] = (char)('0' + value % 10);
    return at + count;
}

void timestamp_format(int64_t seconds, int32_t nanos, char out[40])
{
    int64_t days = seconds / 86400 - (seconds % 86400 < 0);
    int64_t rest = seconds - days * 86400;
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t day_of_era = z - era * 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted = (5 * day_of_year + 2) / 153;
    int month = (int)(shifted < 10 ? shifted + 3 : shifted - 9);
    char *at = put_digits(out, year_of_era + era * 400 + (month <= 2), 4);
    *at++ = '-';
    at = put_digits(at, month, 2);
    *at++ = '-';
    at = put_digits(at, day_of_year - (153 * shifted + 2) / 5 + 1, 2);
    *at++ = 'T';
    at = put_digits(at, rest / 3600, 2);
    *at++ = ':';
    at = put_digits(at, rest / 60 % 60, 2);
    *at++ = ':';
    at = put_digits(at, rest % 60, 2);
    if (nanos) {
        *at++ = '.';
        at = put_digits(at, nanos, 9);
        while (at[-1] == '0')
            at--;
    }
    *at++ = 'Z';
    *at = '\0';
}

bool timestamp_fits_protobuf(int64_t seconds, int64_t nanos)
{
    return seconds >= -62135596800 && seconds <= 253402300799 && nanos >= 0 && nanos <= 999999999;
}

/* One line a call, written with one write(2), so that lines of several threads do not mix. */
#include "base/log.h"

#include "base/clock.h"

#include <jansson.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define REPEATS_ALLOWED  10u
#define REPEAT_WINDOW_MS 10000
#define REPEAT_SLOTS     64u

/* The process has one stderr, so the one logger is the process's too. */
static struct {
    pthread_mutex_t lock;
    enum log_level least;
    int json;
    struct {
        const char *format; /* formats are literals: their address names the message */
        mono_t since;
        unsigned count, held;
    } repeats[REPEAT_SLOTS];
} logger = { .lock = PTHREAD_MUTEX_INITIALIZER, .least = LOG_INFO, .json = -1 };

static const char *const level_names[] = { "debug", "info", "warn", "error" };

void log_setup(enum log_level least, int json)
{
    pthread_mutex_lock(&logger.lock);
    logger.least = least;
    logger.json = json;
    pthread_mutex_unlock(&logger.lock);
}

bool log_level_parse(const char *name, enum log_level *out)
{
    for (unsigned i = 0; i < 4; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *out = (enum log_level)i;
            return true;
        }
    }
    return false;
}

/* Is this one more of too many? *held: how many were held back before this one. */
static bool repeats(const char *format, mono_t now, unsigned *held)
{
    size_t slot = ((size_t)format >> 3) % REPEAT_SLOTS;
    *held = 0;
    if (logger.repeats[slot].format != format || mono_since_ms(now, logger.repeats[slot].since) >= REPEAT_WINDOW_MS) {
        if (logger.repeats[slot].format == format)
            *held = logger.repeats[slot].held;
        logger.repeats[slot].format = format;
        logger.repeats[slot].since = now;
        logger.repeats[slot].count = logger.repeats[slot].held = 0;
    }
    if (++logger.repeats[slot].count <= REPEATS_ALLOWED)
        return false;
    logger.repeats[slot].held++;
    return true;
}

static void format_time(wall_t wall, char out[32])
{
    time_t seconds = (time_t)(wall.ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    size_t size = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + size, 32 - size, ".%03dZ", (int)(wall.ms % 1000));
}

static char *json_line(const char *time, enum log_level level, const char *component, const char *queue,
                       const char *session, const char *text)
{
    json_t *line = json_pack("{s:s, s:s, s:s, s:s}", "time", time, "level", level_names[level], "component", component,
                             "msg", text);
    if (!line) /* not UTF-8: say so rather than nothing */
        line = json_pack("{s:s, s:s, s:s, s:s}", "time", time, "level", level_names[level], "component", component,
                         "msg", "(a message that is not UTF-8)");
    if (queue)
        json_object_set_new(line, "queue", json_string(queue));
    if (session)
        json_object_set_new(line, "session", json_string(session));
    char *out = json_dumps(line, JSON_COMPACT);
    json_decref(line);
    return out;
}

static void write_line(enum log_level level, const char *component, const char *queue, const char *session,
                       const char *text)
{
    char time[32], line[1400];
    format_time(clock_now().wall, time);
    bool as_json = logger.json < 0 ? !isatty(2) : logger.json != 0;
    int size;
    if (as_json) {
        char *json = json_line(time, level, component, queue, session, text);
        struct iovec parts[] = { { json, json ? strlen(json) : 0 }, { (char[]){ '\n' }, 1 } };
        ssize_t written = writev(2, parts, 2);
        (void)written; /* there is nowhere left to complain */
        free(json);
        return;
    } else {
        size = snprintf(line, sizeof line, "%.8s %-5s %s: %s%s%s%s%s\n", time + 11, level_names[level], component, text,
                        queue ? " queue=" : "", queue ? queue : "", session ? " session=" : "", session ? session : "");
    }
    size_t length = (size_t)size < sizeof line ? (size_t)size : sizeof line - 1;
    ssize_t written = write(2, line, length);
    (void)written;
}

static void log_args(enum log_level level, const char *component, const char *queue, const char *session,
                     const char *format, va_list args)
{
    char text[1024];
    unsigned held;
    pthread_mutex_lock(&logger.lock);
    if (level >= logger.least && !repeats(format, clock_now().mono, &held)) {
        int size = vsnprintf(text, sizeof text, format, args);
        if (held && size > 0 && (size_t)size < sizeof text - 40)
            snprintf(text + size, sizeof text - (size_t)size, " (repeated %u times)", held);
        write_line(level, component, queue, session, text);
    }
    pthread_mutex_unlock(&logger.lock);
}

void log_write(enum log_level level, const char *component, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_args(level, component, NULL, NULL, format, args);
    va_end(args);
}

void log_about(enum log_level level, const char *component, const char *queue, const char *session, const char *format,
               ...)
{
    va_list args;
    va_start(args, format);
    log_args(level, component, queue, session, format, args);
    va_end(args);
}

void log_configure(const char *program, const char *level, const char *format)
{
    static const char *const formats[] = { "text", "json", "auto" };
    static const int json[] = { 0, 1, -1 };
    enum log_level least;
    size_t i = 0;
    while (i < 3 && strcmp(formats[i], format) != 0)
        i++;
    bool known = log_level_parse(level, &least);
    if (!known)
        fprintf(stderr, "%s: 'log.level' must be debug, info, warn or error, not '%s'\n", program, level);
    else if (i == 3)
        fprintf(stderr, "%s: 'log.format' must be json, text or auto, not '%s'\n", program, format);
    if (!known || i == 3)
        exit(2);
    log_setup(least, json[i]);
}

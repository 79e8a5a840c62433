/* Each call writes one line with one write(2), so that lines of several threads do not mix. */
#include "base/log.h"

#include "base/clock.h"
#include "base/utf8.h"

#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define REPEATS_ALLOWED  10u
#define REPEAT_WINDOW_MS 10000
#define REPEAT_SLOTS     64u
#define TEXT_MAX_SIZE    1100u

/* One logger per process, as there is one stderr. */
static struct {
    pthread_mutex_t lock;
    atomic_int least; /* checked before the text is formatted */
    int json;
    struct repeat {
        const char *message; /* formats are literals: their address identifies the message */
        mono_t since;
        unsigned count, held;
    } repeats[REPEAT_SLOTS]; /* used from the front */
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

/* The message's own slot, or else the least recently opened one: two messages never share a slot, or each would make
 * the other's count begin again. */
static struct repeat *find_repeat(const char *message, mono_t now)
{
    struct repeat *oldest = &logger.repeats[0];
    for (struct repeat *r = logger.repeats; r < logger.repeats + REPEAT_SLOTS; r++) {
        if (r->message == message)
            return r;
        if (!r->message) {
            oldest = r;
            break;
        }
        oldest = r->since.ns < oldest->since.ns ? r : oldest;
    }
    *oldest = (struct repeat){ .message = message, .since = now };
    return oldest;
}

/* Is this line to be held back? *held: how many were held back before it. */
static bool repeats(const char *message, mono_t now, unsigned *held)
{
    struct repeat *r = find_repeat(message, now);
    *held = 0;
    if (mono_since_ms(now, r->since) >= REPEAT_WINDOW_MS) {
        *held = r->held;
        *r = (struct repeat){ .message = message, .since = now };
    }
    if (++r->count <= REPEATS_ALLOWED)
        return false;
    r->held++;
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

/* JSON must be UTF-8: other bytes, from a file's name or a character cut in half, are written as '?'. */
static json_t *json_text(const char *text)
{
    json_t *whole = json_string(text);
    if (whole)
        return whole;
    char copy[TEXT_MAX_SIZE];
    snprintf(copy, sizeof copy, "%s", text);
    struct span rest = span_str(copy), character;
    for (char *at = copy; rest.size; at += character.size) {
        if (!utf8_next(&rest, &character))
            memset(at, '?', character.size);
    }
    return json_string(copy);
}

static char *json_line(const char *time, enum log_level level, const char *component, const char *queue,
                       const char *session, const char *text)
{
    json_t *line = json_pack("{s:s, s:s, s:s, s:o}", "time", time, "level", level_names[level], "component", component,
                             "msg", json_text(text));
    if (queue)
        json_object_set_new(line, "queue", json_text(queue));
    if (session)
        json_object_set_new(line, "session", json_text(session));
    char *out = json_dumps(line, JSON_COMPACT);
    json_decref(line);
    return out;
}

/* A peer chooses its session's name, which must not inject lines or colours. */
static void one_line(char *text)
{
    struct span rest = span_str(text), character;
    for (char *at = text; rest.size; at += character.size) {
        utf8_next(&rest, &character);
        if (utf8_is_control(character))
            memset(at, ' ', character.size);
    }
}

static void write_line(enum log_level level, const char *component, const char *queue, const char *session,
                       const char *text)
{
    char time[32], line[1400];
    format_time(clock_now().wall, time);
    bool as_json = logger.json < 0 ? !isatty(2) : logger.json != 0;
    if (as_json) {
        char *json = json_line(time, level, component, queue, session, text);
        struct iovec parts[] = { { json, json ? strlen(json) : 0 }, { (char[]){ '\n' }, 1 } };
        ssize_t written = writev(2, parts, 2);
        (void)written; /* there is nowhere to report it */
        free(json);
        return;
    }
    snprintf(line, sizeof line - 1, "%.8s %-5s %s: %s%s%s%s%s", time + 11, level_names[level], component, text,
             queue ? " queue=" : "", queue ? queue : "", session ? " session=" : "", session ? session : "");
    one_line(line);
    size_t length = strlen(line);
    line[length++] = '\n';
    ssize_t written = write(2, line, length);
    (void)written;
}

void log_text(enum log_level level, const char *component, const char *queue, const char *session, const char *message,
              const char *text)
{
    char counted[TEXT_MAX_SIZE];
    unsigned held;
    pthread_mutex_lock(&logger.lock);
    if ((int)level >= logger.least && !repeats(message, clock_now().mono, &held)) {
        if (held) {
            snprintf(counted, sizeof counted, "%.1000s (repeated %u times)", text, held);
            text = counted;
        }
        write_line(level, component, queue, session, text);
    }
    pthread_mutex_unlock(&logger.lock);
}

static void log_args(enum log_level level, const char *component, const char *queue, const char *session,
                     const char *format, va_list args)
{
    char text[1024];
    if ((int)level < logger.least)
        return;
    vsnprintf(text, sizeof text, format, args);
    log_text(level, component, queue, session, format, text);
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

static const char *const formats[] = { "text", "json", "auto" };

static size_t format_find(const char *name)
{
    size_t i = 0;
    while (i < 3 && strcmp(formats[i], name) != 0)
        i++;
    return i;
}

bool log_settings_check(const char *level, const char *format, struct error *e)
{
    enum log_level least;
    if (!log_level_parse(level, &least))
        return error_set(e, "'log.level' must be debug, info, warn or error, not '%s'", level);
    return format_find(format) < 3 || error_set(e, "'log.format' must be json, text or auto, not '%s'", format);
}

void log_configure(const char *program, const char *level, const char *format)
{
    static const int json[] = { 0, 1, -1 };
    enum log_level least;
    struct error e;
    if (!log_settings_check(level, format, &e)) {
        fprintf(stderr, "%s: %s\n", program, e.text);
        exit(2);
    }
    log_level_parse(level, &least);
    log_setup(least, json[format_find(format)]);
}

void log_stopping(const char *component, unsigned number, unsigned pid)
{
    const char *name = number == SIGINT ? "SIGINT" : "SIGTERM";
    if (pid)
        log_write(LOG_INFO, component, "stopping: %s from process %u", name, pid);
    else
        log_write(LOG_INFO, component, "stopping: %s", name);
}

/* Structured logging to stderr: JSON lines, or short text when stderr is a terminal.
 * Keys: time level msg component queue session. Never event data. A message that repeats (same
 * component and format) more than 10 times in 10 s is held back and counted: "... (repeated 312 times)". */
#ifndef SLUICE_BASE_LOG_H
#define SLUICE_BASE_LOG_H

#include "base/error.h"

#include <stdbool.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Sets the least level that is written, and the form: json 1, text 0, or < 0: text if stderr is a terminal. Without
 * a call: LOG_INFO, and the form by isatty. */
void log_setup(enum log_level least, int json);
/* Checks a program's settings: the level's name, and the format, which is "json", "text" or "auto". */
bool log_settings_check(const char *level, const char *format, struct error *e);
/* log_setup from such settings. A wrong one is reported on stderr under `program`'s name and ends the process with
 * status 2. */
void log_configure(const char *program, const char *level, const char *format);
/* "debug", "info", "warn" or "error" to a level; false for anything else. */
bool log_level_parse(const char *name, enum log_level *out);

/* Writes one line. `component`: "core", "net", "store", "http", "link", "config", ... Thread-safe. */
void log_write(enum log_level level, const char *component, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* As log_write, with the queue and session the line is about; either may be NULL. */
void log_about(enum log_level level, const char *component, const char *queue, const char *session, const char *format,
               ...) __attribute__((format(printf, 5, 6)));
/* As log_about, for a text made elsewhere. `message` is a literal whose address identifies the message, for holding
 * back repeats. */
void log_text(enum log_level level, const char *component, const char *queue, const char *session, const char *message,
              const char *text);
/* Logs that a signal (SIGTERM or SIGINT) ends this program, and which process sent it. pid 0: the terminal, or a
 * process in another PID namespace. */
void log_stopping(const char *component, unsigned signal, unsigned pid);

#endif

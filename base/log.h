/* Structured logging to stderr: JSON lines, or short text when stderr is a terminal.
 * Keys: time level msg component queue session. Never event data. A message that repeats (same
 * component and format) more than 10 times in 10 s is held back and counted: "... (repeated 312 times)". */
#ifndef SLUICE_BASE_LOG_H
#define SLUICE_BASE_LOG_H

#include "base/error.h"

#include <stdbool.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Sets what is written from now on; `json` < 0 chooses by isatty(2). The default is LOG_INFO, chosen. */
void log_setup(enum log_level least, int json);
/* Of a program's settings: is there such a level, and is the format "json", "text" or "auto"? */
bool log_settings_check(const char *level, const char *format, struct error *e);
/* As log_setup, from such settings. A wrong one is said on stderr in PROGRAM's name and ends it with status 2. */
void log_configure(const char *program, const char *level, const char *format);
/* "debug", "info", "warn", "error" -> level; false when it is none of them. */
bool log_level_parse(const char *name, enum log_level *out);

/* One line. `component`: "core", "net", "store", "http", "link", "config", ... Thread-safe. */
void log_write(enum log_level level, const char *component, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same with the queue and session it is about; either may be NULL. */
void log_about(enum log_level level, const char *component, const char *queue, const char *session, const char *format,
               ...) __attribute__((format(printf, 5, 6)));
/* A text that was made elsewhere. `message`, a literal, says which message it is: those are told apart by its address. */
void log_text(enum log_level level, const char *component, const char *queue, const char *session, const char *message,
              const char *text);
/* That SIGTERM or SIGINT ends this program, and who sent it: 0 is a process that cannot be seen from here, or the terminal. */
void log_stopping(const char *component, unsigned signal, unsigned pid);

#endif

/* Settings, declared once: a table of rows gives the YAML key, the flag, the environment variable, the
 * type, range, default and help text; parsing, validation, --help and docs all come from it.
 *
 *   static const struct setting rows[] = {
 *       { "listen", SETTING_STRING, offsetof(struct options, listen), .text = "tcp://127.0.0.1:7400",
 *         .help = "control endpoint: tcp://HOST:PORT or ipc://PATH" },
 *       { "heartbeat", SETTING_DURATION, offsetof(...), .number = 3000, .min = 100, .max = 60000, ... },
 *   };
 *
 * Key "app.name" is `app: {name: ...}` in YAML, --app-name as a flag and SLUICE_APP_NAME in the environment.
 * Precedence: flag, then environment, then file, then default. Unknown YAML keys are errors that carry the
 * line and the closest known key; unknown SLUICE_* variables warn (and fail --check-config where a
 * letter or two make a known one of it), except the ones Kubernetes injects for a
 * Service named sluice (…_PORT…, …_SERVICE_…), which are ignored. */
#ifndef SLUICE_BASE_SETTINGS_H
#define SLUICE_BASE_SETTINGS_H

#include "base/error.h"
#include "base/span.h"

enum setting_type {
    SETTING_STRING,   /* char *; owned by the options struct after parsing, NULL when unset and no default */
    SETTING_BOOL,     /* bool: true/false */
    SETTING_NUMBER,   /* uint64_t */
    SETTING_DURATION, /* int64_t milliseconds */
    SETTING_SIZE,     /* uint64_t bytes */
    SETTING_STRINGS,  /* struct setting_list *; YAML sequence, or repeated flags; comma-separated in the environment */
};

/* An owned list of strings. */
struct setting_list {
    char **items;
    size_t count;
};

struct setting {
    const char *key; /* dotted YAML path */
    enum setting_type type;
    size_t offset;    /* of the field in the options struct */
    const char *text; /* default of a STRING; NULL for none */
    int64_t number;   /* default of the others (bool: 0/1) */
    int64_t min, max; /* inclusive; both 0 = unchecked */
    const char *help; /* one line, lower case, no full stop */
    const char *meta; /* the value's name in --help: "HOST:PORT", "DIR" */
};

/* The most keys that a value may have around it. */
#define SETTING_DEPTH_MAX 8u

/* A YAML mapping below one top-level key whose entries the caller parses itself (`queues:` of the broker).
 * Called for every scalar below it, and for every mapping that is empty, with the value "". `keys`: those below the section's,
 * `count` of them, the outermost first; none is split at its dots. Returns false with the error filled to refuse the value (the
 * line is added for the caller). */
struct setting_section {
    const char *key; /* "queues" */
    bool (*scalar)(void *context, const char *const *keys, size_t count, const char *value, int line, struct error *e);
    void *context;
    unsigned depth; /* levels of keys below it: NAME: {SETTING: value} are 2; 0: any */
};

struct settings {
    const struct setting *rows;
    size_t count;
    const struct setting_section *sections;
    size_t section_count;
    /* What no key alone can say of the whole; NULL: nothing. Called by settings_main. */
    bool (*check)(void *options, struct error *e);
    /* What may be wrong, and only a start can tell: prints lines for people. NULL: nothing. Called with --check-config. */
    void (*doubt)(const void *options);
};

/* Fills every field with its default. Existing pointers are overwritten, not freed. */
void settings_defaults(const struct settings *s, void *options);
/* Reads a YAML file into the options. Error texts: "broker.yaml:12: unknown key 'capcity'; did you mean 'capacity'?" */
bool settings_read_file(const struct settings *s, void *options, const char *path, struct error *e);
/* The same for YAML text; `name` stands for the file's name in errors. What the fuzzer calls. */
bool settings_read_text(const struct settings *s, void *options, const char *name, struct span text, struct error *e);
/* Applies SLUICE_* variables from `environment` (the form of environ). */
bool settings_read_environment(const struct settings *s, void *options, char *const *environment, struct error *e);
/* Sets one key from text, as a flag does. */
bool settings_set(const struct settings *s, void *options, const char *key, const char *value, struct error *e);
/* The name among `names` that `wrong` most likely meant; NULL when none is near. */
const char *settings_closest(const char *const *names, size_t count, const char *wrong);
/* Frees every owned string and list. */
void settings_free(const struct settings *s, void *options);

/* A program's whole start: defaults, the file named by --config or SLUICE_CONFIG, the environment, the flags.
 * Handles --help (prints and exits 0), --version (likewise) and --check-config (validates, says so, exits 0 or 2).
 * On a mistake prints "PROGRAM: what is wrong and what to do" to stderr and exits 2.
 * `summary` is the paragraph under the usage line. */
void settings_main(const struct settings *s, void *options, const char *program, const char *summary, int argc,
                   char **argv);
/* The file that --config or SLUICE_CONFIG names; NULL when neither does. The arguments are those that settings_main took. */
const char *settings_config_path(const struct settings *s, int argc, char **argv);
/* What a start would have now, of these arguments and the same environment; without settings->check. False: the file is wrong. */
bool settings_read_again(const struct settings *s, void *options, int argc, char **argv, struct error *e);
/* The keys in which the two differ, with ", " between them, as far as they fit. False: in none. */
bool settings_differ(const struct settings *s, const void *a, const void *b, char *out, size_t size);

#endif

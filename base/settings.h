/* Settings, declared once: a table of rows gives the YAML key, the flag, the environment variable, the type, range,
 * default and help text; parsing, validation, --help and docs all come from it.
 *
 *   static const struct setting rows[] = {
 *       { "listen", SETTING_STRING, offsetof(struct options, listen), .text = "tcp://127.0.0.1:7400",
 *         .help = "control endpoint: tcp://HOST:PORT or ipc://PATH" },
 *       { "heartbeat", SETTING_DURATION, offsetof(...), .number = 3000, .min = 100, .max = 60000, ... },
 *   };
 *
 * Key "app.name" is `app: {name: ...}` in YAML, --app-name as a flag and SLUICE_APP_NAME in the environment.
 * Precedence: flag, then environment, then file, then default. An unknown YAML key is an error that names the line
 * and the closest known key. An unknown SLUICE_* variable is a warning (and fails --check-config if it is one or two
 * letters away from a known one); those that Kubernetes injects for a Service named sluice (…_PORT…, …_SERVICE_…)
 * are ignored. */
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

/* Most keys above a value. */
#define SETTING_DEPTH_MAX 8u

/* A YAML mapping below one top-level key whose entries the caller parses itself (`queues:` of the broker). `scalar`
 * is called for every scalar below it, and with the value "" for every empty mapping. `keys`: the `count` keys below
 * the section's, outermost first; keys are not split at dots. It returns false with the error filled in to refuse
 * the value (the line number is added by the reader). */
struct setting_section {
    const char *key; /* "queues" */
    bool (*scalar)(void *context, const char *const *keys, size_t count, const char *value, int line, struct error *e);
    void *context;
    unsigned depth; /* required levels of keys: NAME: {SETTING: value} has 2; 0: any */
};

struct settings {
    const struct setting *rows;
    size_t count;
    const struct setting_section *sections;
    size_t section_count;
    /* Checks across keys, called by settings_main; NULL: none. */
    bool (*check)(void *options, struct error *e);
    /* Prints warnings about what only a real start can verify. Called with --check-config; NULL: none. */
    void (*warn)(const void *options);
};

/* Sets every field to its default. Overwrites existing pointers without freeing them. */
void settings_defaults(const struct settings *s, void *options);
/* Reads a YAML file into the options. Error texts: "broker.yaml:12: unknown key 'capcity'; did you mean 'capacity'?" */
bool settings_read_file(const struct settings *s, void *options, const char *path, struct error *e);
/* The same for YAML text; `name` replaces the file's name in errors. For the fuzzer. */
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
/* The file named by --config or SLUICE_CONFIG; NULL: none. Only for arguments that settings_main has accepted. */
const char *settings_config_path(const struct settings *s, int argc, char **argv);
/* Reads again what a start with these arguments and this environment would now get, without settings->check. False:
 * the file or a variable is wrong. */
bool settings_read_again(const struct settings *s, void *options, int argc, char **argv, struct error *e);
/* Lists the keys in which the two differ, separated by ", ", as far as they fit. False: they do not differ. */
bool settings_differ(const struct settings *s, const void *a, const void *b, char *out, size_t size);

#endif

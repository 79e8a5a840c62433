/* Shared by the commands of `sluice`. Each command is a function in its own file; main.c has the table. */
#ifndef SLUICE_CLI_H
#define SLUICE_CLI_H

#include "base/buf.h"

#include <jansson.h>
#include <stdbool.h>

/* Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 130 ended by a signal before it was done. */
enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_INTERRUPTED = 130 };

typedef int cli_command(int argc, char **argv); /* argv[0] is the command's name */
cli_command cli_dev, cli_pub, cli_sub, cli_queue, cli_drain, cli_ping, cli_top, cli_config, cli_bench, cli_completion,
    cli_keygen, cli_subscription, cli_topic;

/* Prints "sluice: ..." to stderr and returns CLI_USAGE, or CLI_FAILED. */
int cli_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));
int cli_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* `call` runs before every such message from now on. */
void cli_before_message(void (*call)(void));

/* ---- options (args.c): declared once; parsing and help come from the table */

enum cli_kind {
    CLI_SWITCH,   /* bool */
    CLI_TEXT,     /* const char * */
    CLI_COUNT,    /* unsigned long, above 0 */
    CLI_DURATION, /* const char *, checked: "250ms", "2s" */
    CLI_LIST,     /* struct cli_list; may be given several times */
};

struct cli_list {
    const char *items[64];
    size_t count;
};

struct cli_option {
    const char *name; /* without dashes */
    char letter;      /* 0: none */
    enum cli_kind kind;
    size_t offset;    /* of the field in the command's options */
    const char *meta; /* the value's name; NULL for a switch */
    const char *help;
};

struct cli_syntax {
    const char *usage; /* after "sluice "; further lines are further forms */
    const char *text;  /* what the command does */
    const struct cli_option *options;
    size_t option_count;
    bool http;         /* speaks to a sidecar: adds --url and --ops-url */
    unsigned least;    /* least number of operands */
    const char *notes; /* printed after the options; NULL: none */
};

struct cli_args {
    bool go; /* false: help or a mistake was printed: return `code` */
    int code;
    int count;        /* of operands */
    char **rest;      /* the operands */
    const char *verb; /* set by cli_run_verb */
};

struct cli_args cli_parse(const struct cli_syntax *syntax, void *options, int argc, char **argv);
/* Checks that all words are UTF-8, as JSON and addresses require; false with a message. Not for commands that take
 * data or file names. */
bool cli_words_valid(int argc, char **argv);
/* Prints that a word is none of `names`, with a suggestion; returns CLI_USAGE. `what`: "command", "option"; `help`:
 * the command to run for help. */
int cli_unknown(const char *what, const char *word, const char *const *names, size_t count, const char *help);

/* ---- commands of several verbs (verbs.c) */

struct cli_verb {
    const char *name;
    int (*run)(const void *options, struct cli_args *a);
    struct cli_syntax syntax;
    bool more; /* takes more than `least` operands */
};
struct cli_verbs {
    const char *command, *operands; /* "topic", and the operands shown after its verbs in help */
    const struct cli_verb *items;
    size_t count;
};
#define CLI_VERB(command, verb, function, table, form, operands, text_, notes_)                                        \
    {                                                                                                                  \
        .name = verb, .run = function, .syntax = {                                                                     \
            .usage = command " " verb " [<options>]" form,                                                             \
            .text = text_,                                                                                             \
            .options = table,                                                                                          \
            .option_count = sizeof(table) / sizeof *(table),                                                           \
            .http = true,                                                                                              \
            .least = operands,                                                                                         \
            .notes = notes_                                                                                            \
        }                                                                                                              \
    }
/* Shows help, or runs the verb named by argv[1] with its options filled in. Returns the exit status. */
int cli_run_verb(const struct cli_verbs *v, void *options, int argc, char **argv);

/* For commands that speak to a broker over tcp: `key` and `broker_key` are the offsets of their const char *. */
#define CLI_KEYS(key_field, broker_key_field)                                                                          \
    { "key", 0, CLI_TEXT, key_field, "file", "this client's secret key, for a broker that requires keys" },            \
    {                                                                                                                  \
        "broker-key", 0, CLI_TEXT, broker_key_field, "file", "the broker's public key"                                 \
    }

/* ---- signals */

/* From now on SIGINT and SIGTERM only make cli_stopped true, and end waits that are abortable. */
void cli_catch_signals(void);
bool cli_stopped(void);
int cli_signal_fd(void); /* readable once stopped; -1 when signals are not caught. Never read it. */
/* In a child, before exec: restores the signals. */
void cli_restore_signals(void);
/* Sleeps; false when a signal ended it early. */
bool cli_pause(int64_t ms);

/* ---- HTTP with libcurl, over one kept connection */

struct http_reply {
    long status;   /* 0: no answer */
    bool aborted;  /* a signal ended an abortable call */
    bool given_up; /* a signal ended another call, ten seconds later */
    bool sent;     /* with status 0: the request may have arrived */
    bool standby;  /* another session consumes the queue */
    char type[48]; /* content type */
    struct buf text;
    json_t *body; /* see http_json */
};
struct http_call {
    const char *method;
    bool operations; /* to the operations listener */
    bool abortable;  /* a signal ends it at once; otherwise after ten seconds */
    const char *path;
    const char *const *headers; /* "Name: value" lines ended by NULL, or NULL */
    const void *data;
    size_t size;
};
/* Sets --url and --ops-url. url NULL: SLUICE_URL, or http://127.0.0.1:8480. ops_url NULL: SLUICE_OPS_URL unless a
 * url was given, else the url if there is one, else http://127.0.0.1:9480. False with a message if one is empty. */
bool http_use(const char *url, const char *ops_url);
const char *http_url(bool operations);
/* Free with http_reply_free. */
struct http_reply http_do(const struct http_call *call);
void http_reply_free(struct http_reply *r);
/* The body as JSON; NULL if it is not JSON. Lives as long as the reply. */
const json_t *http_json(struct http_reply *r);
/* True if the status is 2xx; otherwise prints why not, unless a signal aborted the call. */
bool http_ok(struct http_reply *r);
/* Why the call failed, as a sentence. Lives as long as the reply, or until the next call. */
const char *http_error(struct http_reply *r);
/* The same for one item of a batch, whose problem is its item in the answer. */
const char *http_error_of(const json_t *problem, long status);
/* The broker or the sidecar cannot be reached: the same call may succeed later. */
bool http_away(const struct http_reply *r);
/* Writes "/v1/queues/", the percent-encoded name, and the formatted rest. */
void http_queue_path(struct buf *out, const char *queue, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The same with "/v1/topics/". */
void http_topic_path(struct buf *out, const char *topic, const char *format, ...) __attribute__((format(printf, 3, 4)));
void http_binding_path(struct buf *out, const char *topic, const char *queue); /* "/v1/topics/TOPIC/bindings/QUEUE" */
void http_subscription_path(struct buf *out, const char *subscription);
/* Appends "&name=value", the value percent-encoded. */
void http_add_parameter(struct buf *out, const char *name, const char *value);

/* Calls `each` for every one of "queues", "topics" or "subscriptions" (`kind`), fetching `limit` at a time. False
 * with a message on failure. */
typedef void http_each_fn(void *context, const json_t *one);
bool http_each(const char *kind, unsigned limit, const char *prefix, http_each_fn *each, void *context);
/* Prints the answer: its own bytes (as_json), or with `print`. Frees the reply and returns the exit status. */
int http_finish(struct http_reply *r, bool as_json, void (*print)(const json_t *));
/* The same for calls without a result; prints "deleted NAME". */
int http_finish_removal(struct http_reply *r, bool as_json, const char *done, const char *name);

/* ---- printing */

/* `key` of an object; 0, "" or false when it is absent. */
long long json_number_of(const json_t *o, const char *key);
const char *json_text_of(const json_t *o, const char *key);
/* "17 KiB" */
const char *cli_size(long long bytes, char out[16]);
void cli_print_json_line(const json_t *one);
/* Is it a terminal that can overwrite lines? */
bool cli_draws(int fd);
/* Makes bytes safe for a terminal: control characters and invalid UTF-8 become dots. Cut to `most` bytes, then
 * "...". */
void cli_add_plain(struct buf *out, struct span text, size_t most);
void cli_print_plain(struct span text, size_t most);

#endif

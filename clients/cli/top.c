/* sluice top: shows the queues and refreshes them. On a terminal it redraws its own screen; elsewhere it prints
 * tables. */
#include "base/clock.h"
#include "base/units.h"
#include "clients/cli/queue.h"
#include "clients/cli/screen.h"

#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct top_options {
    const char *interval, *prefix;
    unsigned long count;
    bool once, json, busy;
};

/* Lines besides the queues: the total, an empty one, the heading; the number not shown, and the keys. */
#define OTHER_LINES 5

#define FIELD(name) offsetof(struct top_options, name)
static const struct cli_option option_table[] = {
    { "interval", 'i', CLI_DURATION, FIELD(interval), "duration", "between two refreshes [1s]" },
    { "count", 'n', CLI_COUNT, FIELD(count), "n", "end after n refreshes" },
    { "once", '1', CLI_SWITCH, FIELD(once), NULL, "show the queues once and end" },
    { "prefix", 'p', CLI_TEXT, FIELD(prefix), "text", "only names with this prefix" },
    { "busy", 'b', CLI_SWITCH, FIELD(busy), NULL, "busiest queues first" },
    { "json", 0, CLI_SWITCH, FIELD(json), NULL, "print a JSON array on a line each time" },
};
static const struct cli_syntax syntax = {
    .usage = "top [<options>]",
    .text =
        "Shows the queues, refreshed every second: depth, fullness, rates, bytes, consumer. On a terminal, q ends, b\n"
        "sorts by rate or by name, and space refreshes at once.",
    .options = option_table,
    .option_count = sizeof option_table / sizeof *option_table,
    .http = true,
};

static void collect(void *context, const json_t *q)
{
    json_array_append(context, (json_t *)q);
}

static double traffic(const json_t *q)
{
    const json_t *rates = json_object_get(q, "rates");
    return json_number_value(json_object_get(rates, "in")) + json_number_value(json_object_get(rates, "out")) +
           1e-6 * (double)json_number_of(q, "backlog");
}

static int busier(const void *a, const void *b)
{
    double x = traffic(*(json_t *const *)a), y = traffic(*(json_t *const *)b);
    return (x < y) - (x > y);
}

static void sort_by_traffic(json_t *queues)
{
    size_t count = json_array_size(queues);
    json_t **list = calloc(count + 1, sizeof *list);
    for (size_t i = 0; list && i < count; i++)
        list[i] = json_incref(json_array_get(queues, i));
    if (list)
        qsort(list, count, sizeof *list, busier);
    for (size_t i = 0; list && i < count; i++)
        json_array_set_new(queues, i, list[i]);
    free(list);
}

static void print_total(const json_t *queues, int width)
{
    long long ready = 0, in_flight = 0, bytes = 0;
    double in = 0, out = 0;
    const json_t *q;
    size_t i;
    char size[16], text[256], clock[16];
    time_t now = time(NULL);
    struct tm tm;
    json_array_foreach (queues, i, q) {
        const json_t *rates = json_object_get(q, "rates");
        ready += json_number_of(q, "ready");
        in_flight += json_number_of(q, "in_flight");
        bytes += json_number_of(q, "bytes");
        in += json_number_value(json_object_get(rates, "in"));
        out += json_number_value(json_object_get(rates, "out"));
    }
    strftime(clock, sizeof clock, "%H:%M:%S", localtime_r(&now, &tm));
    snprintf(text, sizeof text, "%s  %zu queues  %lld ready  %lld in flight  %s  %.1f/s in  %.1f/s out", clock,
             json_array_size(queues), ready, in_flight, cli_size(bytes, size), in, out);
    queue_print_line(text, width);
    queue_print_line("", width);
}

static void draw_table(const json_t *queues, size_t rows, int width)
{
    print_total(queues, width);
    queue_print_heading(width);
    for (size_t i = 0; i < rows; i++)
        queue_print_row(json_array_get(queues, i), width);
}

/* Draws no more rows than the screen has: one more line would scroll it. */
static void draw_screen(const struct top_options *o, const json_t *queues)
{
    int height, width;
    char more[64];
    screen_size(&height, &width);
    size_t count = json_array_size(queues), room = height > OTHER_LINES ? (size_t)(height - OTHER_LINES) : 0;
    size_t rows = count < room ? count : room;
    screen_begin();
    draw_table(queues, rows, width);
    if (rows < count) {
        snprintf(more, sizeof more, "... and %zu more; --prefix selects", count - rows);
        queue_print_line(more, width);
    }
    printf("\033[J\033[%d;1H%.*s", height, width - 1, o->busy ? "q: end  b: by name" : "q: end  b: busiest first");
}

/* Fetches the queues; NULL with a message on failure. */
static json_t *fetch(const struct top_options *o)
{
    json_t *queues = json_array();
    if (http_each("queues", 1000, o->prefix, collect, queues))
        return queues;
    json_decref(queues);
    return NULL;
}

/* Takes over the fetched queues. */
static void show(const struct top_options *o, json_t *queues, bool screen)
{
    if (o->busy)
        sort_by_traffic(queues);
    if (o->json) {
        json_dumpf(queues, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
        putchar('\n');
    } else if (screen) {
        draw_screen(o, queues);
    } else {
        draw_table(queues, json_array_size(queues), 0);
        putchar('\n');
    }
    json_decref(queues);
}

/* False: the output cannot be written any more, which main reports at the end. */
static bool is_read(void)
{
    return fflush(stdout) == 0 && !ferror(stdout);
}

/* Waits until the next refresh is due; false to end. */
static bool wait_for_key(struct top_options *o, int64_t ms, bool screen)
{
    struct pollfd p[] = { { .fd = screen && isatty(0) ? 0 : -1, .events = POLLIN },
                          { .fd = cli_signal_fd(), .events = POLLIN },
                          { .fd = screen_stop_fd(), .events = POLLIN } };
    char key = 0;
    if (poll(p, 3, (int)ms) <= 0)
        return true;
    if (p[1].revents || (p[0].revents && read(0, &key, 1) != 1))
        return false;
    if (p[2].revents)
        screen_stop();
    o->busy ^= key == 'b';
    return key != 'q' && key != 'Q';
}

int cli_top(int argc, char **argv)
{
    struct top_options o = { .interval = "1s", .prefix = "" };
    struct cli_args a = cli_parse(&syntax, &o, argc, argv);
    int64_t interval_ms = 1000;
    if (!a.go)
        return a.code;
    if (a.count)
        return cli_usage("unexpected argument '%s'; --prefix selects queues by name", a.rest[0]);
    duration_parse(span_str(o.interval), &interval_ms);
    o.count = o.once ? 1 : o.count;
    bool screen = cli_draws(1) && !o.json && o.count != 1;
    json_t *queues = fetch(&o);
    if (!queues) /* before entering the screen, so that an error stays readable */
        return CLI_FAILED;
    cli_catch_signals();
    if (screen)
        screen_enter();
    for (unsigned long looks = 1; queues; looks++) {
        show(&o, queues, screen);
        if (!is_read())
            return CLI_OK;
        if ((o.count && looks == o.count) || !wait_for_key(&o, interval_ms < 50 ? 50 : interval_ms, screen))
            return CLI_OK;
        queues = fetch(&o);
    }
    return cli_stopped() ? CLI_OK : CLI_FAILED;
}

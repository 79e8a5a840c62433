#include "clients/cli/queue.h"

#include "base/units.h"
#include "base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* With these a line has 90 columns before its consumer: a screen of 100 shows all of it. What is full of a capacity is
 * shown, the capacity is not. */
#define HEADING "%-20s %8s %9s %8s %6s %5s %8s %8s %8s  %s"
#define ROW     "%-20s %8lld %9lld %8lld %6lld %4.0f%% %8.1f %8.1f %8s  %s%s%s%s"

/* Cuts a line by bytes, as no character has more columns than bytes. The last column stays free: there a terminal
 * would wrap. */
void queue_print_line(const char *line, int width)
{
    struct span all = span_str(line), shown = width ? utf8_cut(all, (size_t)width - 1) : all;
    cli_print_plain(shown, shown.size);
    puts(width ? "\033[K" : "");
}

void queue_print_heading(int width)
{
    char line[256];
    snprintf(line, sizeof line, HEADING, "QUEUE", "READY", "IN FLIGHT", "DELAYED", "DEAD", "FULL", "IN/S", "OUT/S",
             "BYTES", "CONSUMER");
    queue_print_line(line, width);
}

static double rate(const json_t *q, const char *key)
{
    return json_number_value(json_object_get(json_object_get(q, "rates"), key));
}

/* By events or bytes, whichever is nearer to its limit. */
static double fullness(const json_t *q)
{
    double events = (double)(json_number_of(q, "backlog") + json_number_of(q, "delayed")) /
                    (double)(json_number_of(q, "capacity") > 0 ? json_number_of(q, "capacity") : 1);
    double bytes = (double)json_number_of(q, "bytes") /
                   (double)(json_number_of(q, "capacity_bytes") > 0 ? json_number_of(q, "capacity_bytes") : 1);
    return events > bytes ? events : bytes;
}

void queue_print_row(const json_t *q, int width)
{
    char line[512], bytes[16];
    const char *consumer = json_text_of(q, "consumer");
    snprintf(line, sizeof line, ROW, json_text_of(q, "queue"), json_number_of(q, "ready"),
             json_number_of(q, "in_flight"), json_number_of(q, "delayed"), json_number_of(q, "dead"),
             floor(100 * fullness(q)), rate(q, "in"), rate(q, "out"), cli_size(json_number_of(q, "bytes"), bytes),
             *consumer ? consumer : "-", json_is_true(json_object_get(q, "paused")) ? " paused" : "",
             json_is_true(json_object_get(q, "closed")) ? " closed" : "",
             json_number_of(q, "waiting_publishers") ? " publishers wait" : "");
    queue_print_line(line, width);
}

/* Without exponents, and with few digits. */
static void print_real(double v)
{
    if (fabs(v) >= 1000)
        printf("%.0f", v);
    else
        printf("%.4g", v);
}

/* JSON as a text, escaped no more than JSON requires. */
static void print_document(const json_t *v)
{
    char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
    cli_print_plain(span_str(text ? text : ""), SIZE_MAX);
    free(text);
}

static void print_scalar(const json_t *v)
{
    if (json_is_string(v))
        cli_print_plain(span_of(json_string_value(v), json_string_length(v)), 200);
    else if (json_is_null(v))
        fputs("-", stdout);
    else if (json_is_boolean(v))
        fputs(json_is_true(v) ? "yes" : "no", stdout);
    else if (json_is_real(v))
        print_real(json_real_value(v));
    else
        print_document(v);
}

static void print_value(const json_t *v)
{
    print_scalar(v);
    putchar('\n');
}

/* Sizes are shown as they are written in settings: 64MiB, not 67108864. */
static void print_member(const char *key, const json_t *v)
{
    char size[24];
    if (strcmp(key, "capacity_bytes") == 0 && json_integer_value(v) > 0) {
        size_format((uint64_t)json_integer_value(v), size);
        fputs(size, stdout);
    } else {
        print_scalar(v);
    }
}

/* A list of objects, one per line: "shares.0  partition 0, ready 3, …". */
static void print_list(const char *name, const json_t *list)
{
    size_t i;
    json_t *one, *v;
    char label[80];
    json_array_foreach ((json_t *)list, i, one) {
        const char *key, *comma = "";
        snprintf(label, sizeof label, "%s.%zu", name, i);
        printf("%-22s ", label);
        json_object_foreach (one, key, v) {
            printf("%s%s ", comma, key);
            if (json_is_string(v))
                cli_print_plain(span_str(json_string_value(v)), 64);
            else if (json_is_null(v))
                putchar('-');
            else
                print_document(v);
            comma = ", ";
        }
        putchar('\n');
    }
}

/* Members of nested objects are shown as "rates.in". */
void queue_print_all(const json_t *q)
{
    const char *key, *inner;
    json_t *v, *w;
    char name[80];
    json_object_foreach ((json_t *)q, key, v) {
        if (json_is_array(v)) {
            print_list(key, v);
            continue;
        }
        if (!json_is_object(v)) {
            printf("%-22s ", key);
            print_member(key, v);
            putchar('\n');
            continue;
        }
        json_object_foreach (v, inner, w) {
            snprintf(name, sizeof name, "%s.%s", key, inner);
            printf("%-22s ", name);
            print_value(w);
        }
    }
}

static void print_setting(const json_t *q, const char *name)
{
    const json_t *v = json_object_get(q, name);
    if (!v)
        return;
    printf(", %s ", name);
    print_member(name, v);
}

void queue_print_declared(const json_t *q, bool made, char *const *named, int count)
{
    cli_print_plain(span_str(json_text_of(q, "queue")), 255);
    fputs(made ? ": made" : count ? ": changed" : ": was there", stdout);
    print_setting(q, "durability");
    print_setting(q, "capacity");
    for (int i = 0; i < count; i++) {
        if (strcmp(named[i], "durability") != 0 && strcmp(named[i], "capacity") != 0)
            print_setting(q, named[i]);
    }
    putchar('\n');
}

void queue_print_ledger(const json_t *l)
{
    static const char *const parts[] = { "acked", "dead_lettered", "expired", "purged", "dropped", "remaining" };
    printf("  %-14s %12lld\n", "accepted", json_number_of(l, "accepted"));
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        printf("%c %-14s %12lld\n", i ? '+' : '=', parts[i], json_number_of(l, parts[i]));
}

static void print_trouble(const json_t *t)
{
    const char *reason = json_text_of(t, "reason"), *error = json_text_of(t, "error");
    printf("          %s%sfailures %lld, crashes %lld, last %s", reason, *reason ? ": " : "",
           json_number_of(t, "failures"), json_number_of(t, "crashes"), json_text_of(t, "last"));
    if (json_number_of(t, "status"))
        printf(", status %lld", json_number_of(t, "status"));
    fputs(*error ? ": " : "", stdout);
    cli_print_plain(span_str(error), 250);
    putchar('\n');
}

/* Texts from the broker's clients may contain anything, so they are made plain. */
static void print_text(const json_t *o, const char *key)
{
    cli_print_plain(span_str(json_text_of(o, key)), 250);
}

/* The decoded size of base64. */
static size_t decoded_size(const char *base64)
{
    size_t size = strlen(base64), padding = 0;
    while (padding < size && padding < 2 && base64[size - 1 - padding] == '=')
        padding++;
    return size / 4 * 3 - padding;
}

static void print_event(const json_t *item)
{
    const json_t *event = json_object_get(item, "event"), *data = json_object_get(event, "data");
    printf("#%-8lld %-9s attempt %-3lld ", json_number_of(item, "sequence"), json_text_of(item, "state"),
           json_number_of(item, "attempt"));
    print_text(event, "type");
    fputs("  ", stdout);
    if (*json_text_of(item, "ready_at"))
        printf("until %s  ", json_text_of(item, "ready_at"));
    if (*json_text_of(item, "expires_at"))
        printf("expires %s  ", json_text_of(item, "expires_at"));
    if (json_number_of(item, "parked_behind"))
        printf("behind #%lld  ", json_number_of(item, "parked_behind"));
    if (data)
        print_value(data);
    else
        printf("(%zu bytes)\n", decoded_size(json_text_of(event, "data_base64")));
}

static void print_attempts(const json_t *e)
{
    const json_t *a;
    size_t i;
    if (json_number_of(e, "attempts_older"))
        printf("  %lld earlier attempts are not kept\n", json_number_of(e, "attempts_older"));
    json_array_foreach (json_object_get(e, "attempts"), i, a) {
        printf("  attempt %-3lld %s  %-15s after %.3f s", json_number_of(a, "attempt"), json_text_of(a, "delivered"),
               json_text_of(a, "outcome"), json_number_value(json_object_get(a, "latency_seconds")));
        if (json_number_of(a, "status"))
            printf(", status %lld", json_number_of(a, "status"));
        fputs(", ", stdout);
        print_text(a, "consumer");
        fputs(*json_text_of(a, "error") ? ": " : "", stdout);
        print_text(a, "error");
        putchar('\n');
    }
}

void queue_print_explained(const json_t *e)
{
    const json_t *next = json_object_get(e, "next");
    print_event(e);
    if (json_object_get(e, "trouble"))
        print_trouble(json_object_get(e, "trouble"));
    print_attempts(e);
    fputs("  ", stdout);
    cli_print_plain(span_str(json_text_of(e, "explanation")), SIZE_MAX);
    putchar('\n');
    if (json_object_get(e, "age_seconds"))
        printf("  accepted %s\n", json_text_of(e, "accepted"));
    if (*json_text_of(e, "consumer")) {
        fputs("  consumer ", stdout);
        print_text(e, "consumer");
        putchar('\n');
    }
    if (json_is_object(next))
        printf("  next     %s at %s\n", json_text_of(next, "what"), json_text_of(next, "at"));
}

void queue_print_events(const json_t *peeked)
{
    const json_t *item, *next = json_object_get(peeked, "next");
    size_t i;
    bool dead = false;
    json_array_foreach (json_object_get(peeked, "events"), i, item) {
        print_event(item);
        if (json_object_get(item, "trouble"))
            print_trouble(json_object_get(item, "trouble"));
        dead |= strcmp(json_text_of(item, "state"), "dead") == 0;
    }
    if (dead)
        puts("how each attempt ended: sluice queue explain QUEUE SEQUENCE");
    if (json_is_integer(next))
        printf("more: --from %lld\n", (long long)json_integer_value(next));
}

void queue_print_done(const json_t *answer)
{
    bool headed = json_object_get(answer, "queue") != NULL;
    if (headed) {
        queue_print_heading(0);
        queue_print_row(answer, 0);
    } else {
        queue_print_all(answer);
    }
}

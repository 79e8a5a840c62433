/* Filters from JSON and back to it. */
#include "base/units.h"
#include "proto/filter_priv.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const operators[] = { NULL, "exact", "prefix", "suffix", "all", "any", "not" };

#define OPERATOR_LIST "exact, prefix, suffix, all, any and not"

struct parsing {
    struct buf *out;
    struct error *why;
    unsigned tests;
};

static enum filter_op operator_named(const char *name)
{
    unsigned op = FILTER_NOT;
    while (op && strcmp(name, operators[op]) != 0)
        op--;
    return (enum filter_op)op;
}

/* A place within the filter, for messages; truncated when it gets long. */
struct place {
    char text[256];
};

static struct place within(const char *where, const char *op, size_t index, bool list)
{
    struct place p;
    if (list)
        snprintf(p.text, sizeof p.text, "%s.%s[%zu]", where, op, index);
    else
        snprintf(p.text, sizeof p.text, "%s.%s", where, op);
    return p;
}

static bool check_test(struct parsing *p, const char *where, struct span name, const json_t *value)
{
    int shown = (int)(name.size < 80 ? name.size : 80);
    if (!filter_name_valid(name))
        return error_set(p->why, "%s: '%.*s' is not an attribute name, which is 1 to %u lower-case letters and digits",
                         where, shown, (const char *)name.data, FILTER_NAME_MAX);
    if (!json_is_string(value) || json_string_length(value) == 0)
        return error_set(p->why, "%s.%.*s: the value to compare with must be a string that is not empty", where, shown,
                         (const char *)name.data);
    if (++p->tests > FILTER_TESTS_MAX)
        return error_set(p->why, "%s: a filter compares at most %u attributes", where, FILTER_TESTS_MAX);
    return true;
}

static void add_text(struct buf *out, struct span text)
{
    uint8_t *at = buf_reserve(out, 10);
    out->size += (size_t)(wire_put_varint(at, text.size) - at);
    buf_add(out, text.data, text.size);
}

static bool read_tests(struct parsing *p, const char *where, const char *op, const json_t *json)
{
    struct place place = within(where, op, 0, false);
    const char *name;
    json_t *value;
    if (json_object_size(json) == 0)
        return error_set(p->why, "%s: must be an object of one or more attributes, like {\"type\": \"order.placed\"}",
                         place.text);
    if (json_object_size(json) > FILTER_TESTS_MAX)
        return error_set(p->why, "%s: a filter compares at most %u attributes", place.text, FILTER_TESTS_MAX);
    buf_add_byte(p->out, (uint8_t)json_object_size(json));
    json_object_foreach ((json_t *)(uintptr_t)json, name, value) {
        if (!check_test(p, place.text, span_str(name), value))
            return false;
        add_text(p->out, span_str(name));
        add_text(p->out, span_of(json_string_value(value), json_string_length(value)));
    }
    return true;
}

static bool read_filter(struct parsing *p, const char *where, unsigned depth, const json_t *json);

static bool read_list(struct parsing *p, const char *where, const char *op, unsigned depth, const json_t *list)
{
    size_t count = json_array_size(list);
    if (count == 0 || count > FILTER_TESTS_MAX)
        return error_set(p->why, "%s.%s: must be a list of 1 to %u filters", where, op, FILTER_TESTS_MAX);
    buf_add_byte(p->out, (uint8_t)count);
    for (size_t i = 0; i < count; i++) {
        struct place place = within(where, op, i, true);
        if (!read_filter(p, place.text, depth + 1, json_array_get(list, i)))
            return false;
    }
    return true;
}

static bool read_filter(struct parsing *p, const char *where, unsigned depth, const json_t *json)
{
    void *only = json_object_iter((json_t *)(uintptr_t)json);
    if (depth > FILTER_DEPTH_MAX)
        return error_set(p->why, "%s: filters are nested at most %u deep", where, FILTER_DEPTH_MAX);
    if (json_object_size(json) != 1)
        return error_set(p->why,
                         "%s: a filter is an object with one operator, like {\"exact\": {\"type\": \"order.placed\"}}; "
                         "join several by all or any",
                         where);
    const char *name = json_object_iter_key(only);
    const json_t *operand = json_object_iter_value(only);
    enum filter_op op = operator_named(name);
    if (!op)
        return error_set(p->why, "%s: unknown operator '%.80s'; the operators are " OPERATOR_LIST, where, name);
    buf_add_byte(p->out, (uint8_t)op);
    if (op == FILTER_NOT) {
        struct place place = within(where, name, 0, false);
        return read_filter(p, place.text, depth + 1, operand);
    }
    return op <= FILTER_SUFFIX ? read_tests(p, where, name, operand) : read_list(p, where, name, depth, operand);
}

bool filter_from_json(const json_t *json, const char *where, struct buf *out, struct error *why)
{
    size_t before = out->size;
    struct parsing p = { .out = out, .why = why };
    buf_add_byte(out, FILTER_VERSION);
    bool fine = read_filter(&p, where, 1, json);
    if (fine && out->size - before > FILTER_SIZE_MAX)
        fine = error_set(why, "%s: the filter is too large, more than %u bytes", where, FILTER_SIZE_MAX);
    if (!fine)
        out->size = before;
    return fine;
}

bool filter_from_text(struct span text, const char *where, struct buf *out, struct error *why)
{
    json_error_t position;
    json_t *json = json_loadb((const char *)text.data, text.size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &position);
    bool fine =
        json ? filter_from_json(json, where, out, why) : error_set(why, "%s: is not JSON: %s", where, position.text);
    json_decref(json);
    return fine;
}

/* ------------------------------------------------------------------ to JSON */

static json_t *write_filter(struct wire_reader *r);

static json_t *write_tests(struct wire_reader *r, enum filter_op op, unsigned count)
{
    json_t *tests = json_object();
    struct filter_test test;
    char name[FILTER_NAME_MAX + 1];
    for (; count && filter_read_test(r, op, &test); count--) {
        memcpy(name, test.name.data, test.name.size);
        name[test.name.size] = '\0';
        json_object_set_new(tests, name, json_stringn((const char *)test.value.data, test.value.size));
    }
    return tests;
}

static json_t *write_list(struct wire_reader *r, unsigned count)
{
    json_t *list = json_array();
    for (; count; count--)
        json_array_append_new(list, write_filter(r));
    return list;
}

static json_t *write_filter(struct wire_reader *r)
{
    unsigned op = *r->at++;
    json_t *operand;
    if (op == FILTER_NOT) {
        operand = write_filter(r);
    } else {
        unsigned count = *r->at++;
        operand = op <= FILTER_SUFFIX ? write_tests(r, (enum filter_op)op, count) : write_list(r, count);
    }
    json_t *filter = json_object();
    json_object_set_new(filter, operators[op], operand);
    return filter;
}

json_t *filter_to_json(struct span filter)
{
    if (filter.size == 0)
        return NULL;
    struct wire_reader r = wire_open(span_of(filter.data + 1, filter.size - 1));
    return write_filter(&r);
}

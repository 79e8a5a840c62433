/* Fuzzes filters.
 * - JSON that is accepted as a filter must come back as the same JSON, and an encoded filter must come back from its
 *   JSON as the same bytes.
 * - For an event that decodes, a filter must decide the same as a simple interpreter of its JSON. */
#include "proto/event.h"
#include "proto/filter.h"

#include <jansson.h>
#include <stdlib.h>

#define ARENA (1u << 20)

static void must(bool holds)
{
    if (!holds)
        abort();
}

static bool test_passes(const char *op, struct span text, struct span value)
{
    if (text.size < value.size || !text.data)
        return false;
    if (op[0] == 'e')
        return span_equal(text, value);
    return span_equal(span_of(text.data + (op[0] == 's' ? text.size - value.size : 0), value.size), value);
}

static bool plain(json_t *filter, const struct event *e)
{
    void *only = json_object_iter(filter);
    const char *op = json_object_iter_key(only), *name;
    json_t *operand = json_object_iter_value(only), *value;
    bool all = true;
    size_t i;
    if (op[0] == 'n')
        return !plain(operand, e);
    if (json_is_array(operand)) {
        bool any = false;
        json_array_foreach (operand, i, value) {
            bool passes = plain(value, e);
            all &= passes;
            any |= passes;
        }
        return op[1] == 'l' ? all : any;
    }
    json_object_foreach (operand, name, value) {
        all &= test_passes(op, event_attribute(e, name), span_of(json_string_value(value), json_string_length(value)));
    }
    return all;
}

static void decide(struct span filter, json_t *json, struct span bytes)
{
    struct arena arena;
    struct event e;
    arena_init(&arena, ARENA);
    bool passes = filter_matches(filter, bytes);
    if (json && event_decode(bytes, &arena, &e, NULL))
        must(passes == plain(json, &e));
    arena_free(&arena);
}

/* An event with a repeated field is invalid, because its first and last value may differ; event_decode does not notice
 * this. */
static bool fields_come_once(struct span bytes)
{
    unsigned seen = 0;
    for (size_t i = 0; i + 1 < bytes.size; i += 2u + bytes.data[i + 1]) {
        unsigned tag = bytes.data[i] >> 3;
        if ((bytes.data[i] & 7) != 2 || tag > 5 || (tag < 5 && seen & 1u << tag) || bytes.data[i + 1] > 127)
            return false;
        seen |= 1u << tag;
    }
    return true;
}

static void check(struct span filter, struct span bytes)
{
    struct buf again = { 0 };
    struct error why;
    json_t *json = filter_to_json(filter);
    if (filter.size) {
        must(filter_from_json(json, "filter", &again, &why));
        must(span_equal(buf_span(&again), filter));
    }
    decide(filter, fields_come_once(bytes) ? json : NULL, bytes);
    json_decref(json);
    buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first byte says where the filter ends and the event begins. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf encoded = { 0 };
    struct error why;
    if (size == 0)
        return 0;
    size_t cut = data[0] < size - 1 ? data[0] : size - 1;
    struct span filter = span_of(data + 1, cut), event = span_of(data + 1 + cut, size - 1 - cut);
    if (filter_valid(filter))
        check(filter, event);
    if (filter_from_text(filter, "filter", &encoded, &why)) {
        must(filter_valid(buf_span(&encoded)));
        check(buf_span(&encoded), event);
    }
    buf_free(&encoded);
    return 0;
}

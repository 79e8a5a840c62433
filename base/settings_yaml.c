/* YAML into settings: nested mappings become dotted keys, scalars are values, sequences are lists. Anything more
 * (anchors, aliases, tags, several documents) is refused with its line: a configuration should mean what it shows. */
#include "base/settings_priv.h"

#include "base/buf.h"
#include "base/xalloc.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

#define PATH_MAX_SIZE 512u
#define FILE_MAX      (1u << 20)

struct reading {
    const struct settings *settings;
    void *options;
    const char *name;
    struct error *error;
    struct span text;
    yaml_parser_t parser;
    char path[PATH_MAX_SIZE];         /* dotted, of the mapping being read */
    size_t starts[SETTING_DEPTH_MAX]; /* where each key starts in it */
    void *seen;                       /* a tree (tsearch) of the keys read so far (mark_of), to refuse duplicates */
};

static bool fail_at(struct reading *r, size_t line, const char *what)
{
    return error_set(r->error, "%s:%zu: %s", r->name, line + 1, what);
}

/* Refuses what makes a value differ from its text: an anchor, a tag, a NUL that would end it early. */
static bool check_node(struct reading *r, const yaml_event_t *event)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;
    bool cut = false;
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
        cut = memchr(event->data.scalar.value, 0, event->data.scalar.length) != NULL;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
        break;
    default: return true;
    }
    const char *what = anchor ? "anchors are not supported"
                       : tag  ? "tags like !!str are not supported; write the plain value"
                       : cut  ? "a value cannot hold a byte 0"
                              : NULL;
    return !what || fail_at(r, event->start_mark.line, what);
}

/* libyaml's messages for the usual mistakes, and what is expected instead. */
static const char *expected(const char *problem)
{
    static const char *const table[][2] = {
        { "mapping values are not allowed in this context",
          "a second ': ' in one line, or a line that is indented deeper than the one it belongs to; put a value that "
          "holds ': ' "
          "in quotes, and begin the keys of one mapping in one column" },
        { "did not find expected key", "a 'key: value' is expected, which begins in the column of the keys before it; "
                                       "nothing may follow a value in quotes" },
        { "found unexpected end of stream", "a quote is not closed" },
        { "found character that cannot start any token", "a value cannot begin with this character; put it in quotes" },
        { "did not find expected ',' or '}'", "a ',' or a '}' is expected: a '{' is not closed" },
        { "did not find expected ',' or ']'", "a ',' or a ']' is expected: a '[' is not closed" },
        { "found unknown escape character", "this is not an escape in double quotes; put the value in single quotes" },
        { "could not find expected ':'", "a ':' and a space are expected behind the key" },
    };
    for (size_t i = 0; problem && i < sizeof table / sizeof *table; i++) {
        if (strcmp(problem, table[i][0]) == 0)
            return table[i][1];
    }
    return NULL;
}

static bool refuse_syntax(struct reading *r)
{
    const yaml_parser_t *p = &r->parser;
    char what[400];
    const char *known = expected(p->problem);
    size_t line = p->problem_mark.line, from = p->context_mark.line;
    int size = known ? snprintf(what, sizeof what, "%s", known)
                     : snprintf(what, sizeof what, "%s%s%s", p->problem ? p->problem : "not readable as YAML",
                                p->context ? " " : "", p->context ? p->context : "");
    if (p->context && from < line)
        snprintf(what + size, sizeof what - (size_t)size, " (it began in line %zu)", from + 1);
    return fail_at(r, line, what);
}

static bool next_event(struct reading *r, yaml_event_t *event)
{
    if (yaml_parser_parse(&r->parser, event)) {
        if (check_node(r, event))
            return true;
        yaml_event_delete(event);
        return false;
    }
    size_t at = r->parser.problem_mark.index;
    if (at < r->text.size && r->text.data[at] == '\t')
        return fail_at(r, r->parser.problem_mark.line, "a tab cannot indent a line; use spaces");
    return refuse_syntax(r);
}

static const struct setting_section *section_of(const struct reading *r, const char *key)
{
    for (size_t i = 0; i < r->settings->section_count; i++) {
        const struct setting_section *s = &r->settings->sections[i];
        size_t size = strlen(s->key);
        if (strncmp(key, s->key, size) == 0 && (key[size] == '.' || key[size] == '\0'))
            return s;
    }
    return NULL;
}

/* Is any known key below this one? */
static bool is_group(const struct reading *r, const char *key)
{
    size_t size = strlen(key);
    for (size_t i = 0; i < r->settings->count; i++) {
        if (strncmp(r->settings->rows[i].key, key, size) == 0 && r->settings->rows[i].key[size] == '.')
            return true;
    }
    return section_of(r, key) != NULL;
}

static bool is_within_section(const struct reading *r)
{
    const struct setting_section *section = section_of(r, r->path);
    return section && r->path[strlen(section->key)] != '\0';
}

/* Is a mapping here too deep? A section has values only at this depth: a mapping's keys would look like parts of a
 * dotted name. */
static bool is_too_deep(const struct reading *r, unsigned depth)
{
    const struct setting_section *section = section_of(r, r->path);
    return section && section->depth && depth > section->depth;
}

/* Splits the path into the keys below the section's. */
static bool read_section(const struct reading *r, const struct setting_section *section, unsigned depth,
                         const char *value, int line, struct error *e)
{
    char path[PATH_MAX_SIZE];
    const char *keys[SETTING_DEPTH_MAX];
    memcpy(path, r->path, sizeof path);
    for (unsigned i = 1; i < depth; i++) {
        path[r->starts[i] - 1] = '\0';
        keys[i - 1] = path + r->starts[i];
    }
    if (strcmp(path, section->key) != 0) /* the section's key and one below it written as one key */
        return settings_refuse_key(r->settings, path, e);
    return section->scalar(section->context, keys, depth - 1, value, line, e);
}

/* `depth`: the number of keys above the value. */
static bool read_scalar(struct reading *r, unsigned depth, const char *value, size_t line)
{
    struct error inner = { "" };
    const struct setting_section *section = section_of(r, r->path);
    bool fine = section ? read_section(r, section, depth, value, (int)line + 1, &inner)
                        : settings_set(r->settings, r->options, r->path, value, &inner);
    return fine || fail_at(r, line, inner.text);
}

static bool read_sequence(struct reading *r, size_t line)
{
    const struct setting *row = settings_find(r->settings, r->path);
    if (!row || row->type != SETTING_STRINGS)
        return fail_at(r, line, "a list is not expected here");
    settings_list_clear(row, r->options);
    for (;;) {
        yaml_event_t event;
        if (!next_event(r, &event))
            return false;
        yaml_event_type_t type = event.type;
        if (type == YAML_SCALAR_EVENT)
            settings_list_add(row, r->options, (const char *)event.data.scalar.value);
        size_t at = event.start_mark.line;
        yaml_event_delete(&event);
        if (type == YAML_SEQUENCE_END_EVENT)
            return true;
        if (type != YAML_SCALAR_EVENT)
            return fail_at(r, at, "a list holds plain values only");
    }
}

static bool read_mapping(struct reading *r, unsigned depth);

static bool read_value(struct reading *r, unsigned depth)
{
    yaml_event_t event;
    if (!next_event(r, &event))
        return false;
    size_t line = event.start_mark.line;
    bool fine;
    switch (event.type) {
    case YAML_SCALAR_EVENT: fine = read_scalar(r, depth, (const char *)event.data.scalar.value, line); break;
    case YAML_SEQUENCE_START_EVENT: fine = read_sequence(r, line); break;
    case YAML_MAPPING_START_EVENT: {
        struct error inner;
        if (is_too_deep(r, depth))
            fine = fail_at(r, line, "a plain value is expected here, not a mapping");
        else if (is_group(r, r->path))
            fine = read_mapping(r, depth + 1);
        else if (settings_find(r->settings, r->path))
            fine = fail_at(r, line, "a plain value is expected here, not a mapping");
        else
            fine = settings_refuse_key(r->settings, r->path, &inner) || fail_at(r, line, inner.text);
        break;
    }
    default: fine = fail_at(r, line, "aliases are not supported");
    }
    yaml_event_delete(&event);
    return fine;
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(a, b);
}

#define MARK_MAX_SIZE (PATH_MAX_SIZE + 8 * SETTING_DEPTH_MAX)

/* What identifies a key: the path, and in a section also where its keys start, because a name may have dots: a queue
 * named "orders.lease" is not the lease of "orders". */
static void mark_of(const struct reading *r, unsigned depth, char out[MARK_MAX_SIZE])
{
    size_t size = 0;
    for (unsigned i = 1; section_of(r, r->path) && i < depth; i++)
        size += (size_t)snprintf(out + size, MARK_MAX_SIZE - size, "%zu:", r->starts[i]);
    snprintf(out + size, MARK_MAX_SIZE - size, "%s", r->path);
}

/* Appends the key to the path and records it. False if it was read before. */
static bool enter_key(struct reading *r, unsigned depth, const char *key, size_t line)
{
    char mark[MARK_MAX_SIZE];
    size_t size = strlen(r->path);
    int written = snprintf(r->path + size, sizeof r->path - size, "%s%s", size ? "." : "", key);
    if (written < 0 || (size_t)written >= sizeof r->path - size)
        return fail_at(r, line, "this key is too long");
    char what[600];
    mark_of(r, depth, mark);
    if (tfind(mark, &r->seen, compare_keys)) {
        snprintf(what, sizeof what, "'%s' is given twice", r->path);
        return fail_at(r, line, what);
    }
    tsearch(xstrdup(mark), &r->seen, compare_keys);
    return true;
}

static bool read_mapping(struct reading *r, unsigned depth)
{
    bool empty = true;
    if (depth > SETTING_DEPTH_MAX)
        return fail_at(r, r->parser.mark.line, "mappings nest too deep");
    size_t outer = strlen(r->path);
    r->starts[depth - 1] = outer ? outer + 1 : 0;
    for (;;) {
        yaml_event_t event;
        if (!next_event(r, &event))
            return false;
        size_t line = event.start_mark.line;
        if (event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            return !empty || !is_within_section(r) || read_scalar(r, depth - 1, "", line);
        }
        empty = false;
        bool fine = event.type == YAML_SCALAR_EVENT ? enter_key(r, depth, (const char *)event.data.scalar.value, line)
                                                    : fail_at(r, line, "a key must be plain text");
        yaml_event_delete(&event);
        if (!fine || !read_value(r, depth))
            return false;
        r->path[outer] = '\0';
    }
}

static bool read_document(struct reading *r)
{
    for (unsigned documents = 0;;) {
        yaml_event_t event;
        if (!next_event(r, &event))
            return false;
        yaml_event_type_t type = event.type;
        size_t line = event.start_mark.line;
        bool empty = type == YAML_SCALAR_EVENT && event.data.scalar.length == 0;
        yaml_event_delete(&event);
        if (type == YAML_STREAM_END_EVENT)
            return true;
        if (type == YAML_DOCUMENT_START_EVENT && ++documents > 1)
            return fail_at(r, line, "one document is expected: remove the '---'");
        if (type == YAML_MAPPING_START_EVENT) {
            if (!read_mapping(r, 1))
                return false;
        } else if (type == YAML_SCALAR_EVENT || type == YAML_SEQUENCE_START_EVENT) {
            if (!empty)
                return fail_at(r, line, "'key: value' lines are expected, with a space behind the colon");
        } else if (type == YAML_ALIAS_EVENT) {
            return fail_at(r, line, "aliases are not supported");
        }
    }
}

bool settings_read_text(const struct settings *s, void *options, const char *name, struct span text, struct error *e)
{
    struct reading r = { .settings = s, .options = options, .name = name, .error = e, .text = text };
    if (text.size > FILE_MAX)
        return error_set(e, "%s: larger than 1 MiB", name);
    if (!yaml_parser_initialize(&r.parser))
        return error_set(e, "%s: out of memory", name);
    yaml_parser_set_input_string(&r.parser, text.data ? text.data : (const unsigned char *)"", text.size);
    bool fine = read_document(&r);
    yaml_parser_delete(&r.parser);
    tdestroy(r.seen, free);
    return fine;
}

bool settings_read_file(const struct settings *s, void *options, const char *path, struct error *e)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return error_set(e, "cannot read %s: %s", path, strerror(errno));
    struct buf b = { 0 };
    size_t got;
    do {
        got = fread(buf_reserve(&b, 4096), 1, 4096, f);
        b.size += got;
    } while (got > 0 && b.size <= FILE_MAX);
    bool fine = !ferror(f) || error_set(e, "cannot read %s: %s", path, strerror(errno));
    fclose(f);
    fine = fine && settings_read_text(s, options, path, buf_span(&b), e);
    buf_free(&b);
    return fine;
}

/* Fuzzes configuration files and the units in them. An accepted value must be in its range; a refusal must say why. */
#include "base/settings.h"
#include "base/units.h"
#include "base/utf8.h"
#include "proto/queue_settings.h"

#include <stdlib.h>

#include "tests/base/sample_settings.h"

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* A section like the broker's `queues`: keys are NAME, SETTING. */
static bool take_scalar(void *context, const char *const *keys, size_t count, const char *value, int line,
                        struct error *e)
{
    struct queue_settings *queue = context;
    must(line > 0 && count <= 2);
    if (count < 2 || !name_valid(span_str(keys[0])))
        return error_set(e, "no setting of a queue");
    return queue_settings_parse(queue, span_str(keys[1]), span_str(value), e);
}

static void read_yaml(struct span text)
{
    struct queue_settings queue = { 0 };
    const struct setting_section section = { "queues", take_scalar, &queue, 2 };
    const struct settings settings = { sample_rows, sizeof sample_rows / sizeof *sample_rows, &section, 1, NULL, NULL };
    struct sample options;
    struct error e = { "" };
    settings_defaults(&settings, &options);
    if (!settings_read_text(&settings, &options, "fuzz.yaml", text, &e))
        must(strncmp(e.text, "fuzz.yaml:", 10) == 0);
    must(options.max_queues >= 1 && options.max_queues <= 100000);
    must(options.heartbeat >= 100 && options.heartbeat <= 60000);
    must(queue_settings_check(&queue, &e));
    settings_free(&settings, &options);
}

static void read_units(struct span text)
{
    int64_t ms, again = -1;
    uint64_t bytes;
    char out[24];
    if (duration_parse(text, &ms)) {
        duration_format(ms, out);
        must(ms >= 0 && duration_parse(span_str(out), &again) && again == ms);
    }
    if (size_parse(text, &bytes))
        must(text.data[0] >= '0' && text.data[0] <= '9'); /* no sign, no space */
    if (name_valid(text))
        must(utf8_valid(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_yaml(span_of(data, size));
    read_units(span_of(data, size));
    return 0;
}

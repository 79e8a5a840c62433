/* sluice config check: reads a configuration file as the program itself would, without starting it. */
#include "broker/options.h"
#include "clients/cli/cli.h"
#include "sidecar/options.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

struct config_options {
    const char *data;
    struct cli_list set;
    bool json;
};

static const struct cli_option option_table[] = {
    { "data", 0, CLI_TEXT, offsetof(struct config_options, data), "dir",
      "the broker's --data, which overrides the file" },
    { "set", 's', CLI_LIST, offsetof(struct config_options, set), "key=value",
      "another flag or variable, which overrides the file, like\ninsecure=true; may be repeated" },
    { "json", 0, CLI_SWITCH, offsetof(struct config_options, json), NULL, "print {\"fine\",\"error\"} as JSON" },
};
static const struct cli_syntax syntax = {
    .usage = "config check [<options>] (broker | sidecar) <file>",
    .text =
        "Checks a configuration file as the broker or the sidecar would read it. A mistake is reported with its line,\n"
        "an unknown key with the one that was probably meant. The environment is ignored.",
    .options = option_table,
    .option_count = sizeof option_table / sizeof *option_table,
    .notes = "  sluice config check broker broker.yaml --data /var/lib/sluice",
};

/* Settings given here override the file, as flags do. */
static bool add_flags(const struct settings *settings, void *options, const struct config_options *o, struct error *e)
{
    if (o->data && !settings_set(settings, options, "data", o->data, e))
        return false;
    for (size_t i = 0; i < o->set.count; i++) {
        const char *given = o->set.items[i], *equals = strchr(given, '=');
        char key[64];
        if (!equals || (size_t)(equals - given) >= sizeof key)
            return error_set(e, "--set: '%s' is not key=value, like log.level=debug", given);
        snprintf(key, sizeof key, "%.*s", (int)(equals - given), given);
        if (!settings_set(settings, options, key, equals + 1, e))
            return false;
    }
    return true;
}

static bool check(bool broker, const char *file, const struct config_options *o, struct error *e)
{
    struct broker_options b;
    struct sidecar_options s;
    char *token = NULL;
    const struct settings *settings = broker ? broker_settings(&b) : sidecar_settings(&s);
    void *options = broker ? (void *)&b : (void *)&s;
    settings_defaults(settings, options);
    bool fine = settings_read_file(settings, options, file, e) && add_flags(settings, options, o, e) &&
                (broker ? broker_options_check(&b, e) : sidecar_options_check(&s, &token, e));
    free(token);
    if (broker)
        broker_options_free(&b);
    else
        sidecar_options_free(&s);
    return fine;
}

static void print_json(bool fine, const char *error)
{
    json_t *answer = json_pack("{s:b, s:s?}", "fine", fine, "error", fine ? NULL : error);
    json_dumpf(answer, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(answer);
}

int cli_config(int argc, char **argv)
{
    struct config_options o = { 0 };
    struct error e = { "" };
    struct cli_args a = cli_parse(&syntax, &o, argc, argv);
    if (!a.go)
        return a.code;
    bool broker = a.count > 1 && strcmp(a.rest[1], "broker") == 0;
    if (a.count != 3 || strcmp(a.rest[0], "check") != 0 || !(broker || strcmp(a.rest[1], "sidecar") == 0))
        return cli_usage("write: sluice config check broker FILE, or sluice config check sidecar FILE");
    bool fine = check(broker, a.rest[2], &o, &e);
    if (o.json)
        print_json(fine, e.text);
    else if (fine)
        printf("%s is fine\n", a.rest[2]);
    else
        cli_fail("%s", e.text);
    return fine ? CLI_OK : CLI_FAILED;
}

/* sluice drain. */
#include "clients/cli/cli.h"

#include <stddef.h>
#include <stdio.h>

struct drain_options {
    bool json;
};

static const struct cli_option option_table[] = {
    { "json", 0, CLI_SWITCH, offsetof(struct drain_options, json), NULL, "print the answer as JSON (always done)" },
};
static const struct cli_syntax syntax = {
    .usage = "drain [<options>]",
    .text =
        "Tells the sidecar to finish what it holds and take no more. Returns when that is done, at the latest after\n"
        "the sidecar's drain_limit. Publishing stays open. For preStop hooks.",
    .options = option_table,
    .option_count = 1,
    .http = true,
};

int cli_drain(int argc, char **argv)
{
    struct drain_options o = { 0 };
    struct cli_args a = cli_parse(&syntax, &o, argc, argv);
    if (!a.go)
        return a.code;
    if (a.count)
        return cli_usage("unexpected argument '%s'", a.rest[0]);
    struct http_reply r = http_do(&(struct http_call){ .method = "POST", .operations = true, .path = "/v1/drain" });
    bool fine = http_ok(&r);
    if (fine)
        fwrite(r.text.data, 1, r.text.size, stdout);
    http_reply_free(&r);
    return fine ? CLI_OK : CLI_FAILED;
}

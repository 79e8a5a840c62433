/* sluice keygen: a pair of CURVE keys. */
#include "base/curve.h"
#include "clients/cli/cli.h"

#include <stdio.h>

static const struct cli_syntax syntax = {
    .usage = "keygen [<dir>/]<name>",
    .text =
        "Writes <name>.key, the secret key (mode 0600), and <name>.pub, the public key, and prints the public key.\n"
        "A broker needs its own <name>.key as curve.secret_key_file and the clients' *.pub as curve.clients. A client\n"
        "needs its own <name>.key as curve.secret_key_file and the broker's <name>.pub as curve.broker_key_file.",
    .least = 1,
};

int cli_keygen(int argc, char **argv)
{
    struct curve_keys keys;
    struct error e;
    struct cli_args a = cli_parse(&syntax, NULL, argc, argv);
    if (!a.go)
        return a.code;
    if (a.count > 1 || !*a.rest[0])
        return cli_usage("give one name: keygen makes one pair of keys. See 'sluice help keygen'.");
    if (!curve_generate(a.rest[0], &keys, &e))
        return cli_fail("%s", e.text);
    fprintf(stderr, "sluice: made %s.key, the secret, and %s.pub, the public key, which is:\n", a.rest[0], a.rest[0]);
    puts(keys.public);
    return CLI_OK;
}

/* sluice keygen: a pair of CURVE keys. */
#include "base/curve.h"
#include "clients/cli/cli.h"

#include <stdio.h>

static const char usage[] =
    "usage: sluice keygen [DIR/]NAME\n\n"
    "Writes NAME.key, the secret (mode 0600), and NAME.pub, the public key, and prints the public key. A broker gets\n"
    "its own NAME.key as curve.secret_key_file and the clients' *.pub as curve.clients; a client its own NAME.key as\n"
    "curve.secret_key_file and the broker's NAME.pub as curve.broker_key_file.\n";

int cli_keygen(int argc, char **argv)
{
    struct curve_keys keys;
    struct error e;
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
        return fputs(usage, stdout), CLI_OK;
    if (argc != 2 || argv[1][0] == '-' || argv[1][0] == '\0')
        return fputs(usage, stderr), CLI_USAGE;
    if (!curve_generate(argv[1], &keys, &e))
        return cli_fail("%s", e.text);
    puts(keys.public);
    return CLI_OK;
}

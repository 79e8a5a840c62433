/* sluice completion: the script asks the program itself for the words, so they are never out of date. */
#include "clients/cli/cli.h"

#include <stdio.h>

static const struct cli_syntax syntax = {
    .usage = "completion (bash | zsh)",
    .text = "Prints the completion script of a shell: commands, verbs, options, and the names of queues, topics and "
            "subscriptions.",
    .least = 1,
    .notes = "  source <(sluice completion bash)      # in ~/.bashrc\n"
             "  source <(sluice completion zsh)       # in ~/.zshrc, after compinit",
};

static const char bash_script[] =
    "_sluice() {\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} verb=${COMP_WORDS[2]} words= verbs= "
    "bin=${COMP_WORDS[0]}\n"
    "    case $command in queue|topic|subscription) verbs=yes ;; esac\n"
    "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
    "        words=\"help $($bin help 2>/dev/null | sed -n 's/^   \\([a-z]*\\) .*/\\1/p')\"\n"
    "    elif [ \"$command\" = help ]; then\n"
    "        words=$($bin help 2>/dev/null | sed -n 's/^   \\([a-z]*\\) .*/\\1/p')\n"
    "    elif [ -n \"$verbs\" ] && [ \"$COMP_CWORD\" -eq 2 ]; then\n"
    "        words=$($bin $command --help 2>/dev/null | sed -n 's/^   \\([a-z]*\\) .*/\\1/p')\n"
    "    elif [ \"${cur#-}\" != \"$cur\" ]; then\n"
    "        [ -n \"$verbs\" ] && command=\"$command $verb\"\n"
    "        words=$($bin $command --help 2>/dev/null | sed -n 's/^    ....\\(--[a-z-]*\\).*/\\1/p')\n"
    "    elif [ \"$command\" = pub ] || [ \"$command\" = sub ] || [ \"$command\" = queue ]; then\n"
    "        words=$($bin queue list --names 2>/dev/null)\n"
    "    elif [ \"$command\" = topic ]; then\n"
    "        words=$($bin \"$([ \"$COMP_CWORD\" -eq 3 ] && echo topic || echo queue)\" list --names 2>/dev/null)\n"
    "    elif [ \"$command\" = subscription ]; then\n"
    "        words=$($bin subscription list --names 2>/dev/null)\n"
    "    elif [ \"$command\" = config ]; then\n"
    "        words=$(printf 'check broker sidecar' | cut -d' ' -f\"$([ \"$COMP_CWORD\" -eq 2 ] && echo 1 || echo "
    "2-3)\")\n"
    "        [ \"$COMP_CWORD\" -lt 4 ] || words=\n"
    "    elif [ \"$command\" = completion ]; then\n"
    "        words='bash zsh'\n"
    "    fi\n"
    "    COMPREPLY=()\n"
    "    while IFS= read -r word; do COMPREPLY+=(\"$word\"); done < <(compgen -W \"$words\" -- \"$cur\")\n"
    "}\n"
    "complete -o default -F _sluice sluice\n";

int cli_completion(int argc, char **argv)
{
    struct cli_args a = cli_parse(&syntax, NULL, argc, argv);
    if (!a.go)
        return a.code;
    bool zsh = strcmp(a.rest[0], "zsh") == 0;
    if (!zsh && strcmp(a.rest[0], "bash") != 0)
        return cli_usage("there is a completion script for bash and for zsh, not for '%s'", a.rest[0]);
    if (zsh)
        puts("autoload -Uz bashcompinit && bashcompinit");
    fputs(bash_script, stdout);
    return CLI_OK;
}

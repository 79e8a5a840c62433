/* Runs a command for each event. Its input is a file in memory, so that a command that does not read it blocks
 * nobody. */
#include "base/clock.h"
#include "clients/cli/sub.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

static void set_variable(const char *name, struct span value)
{
    char *text = value.size ? strndup((const char *)value.data, value.size) : NULL;
    if (text)
        setenv(name, text, 1);
    free(text);
}

/* Searches as execvp does. */
bool sub_can_run(const char *program)
{
    char *path = strdup(getenv("PATH") ? getenv("PATH") : "/bin:/usr/bin"), *rest = path, *folder;
    bool found = strchr(program, '/') && access(program, X_OK) == 0;
    int why = strchr(program, '/') ? errno : ENOENT;
    while (path && !strchr(program, '/') && !found && (folder = strsep(&rest, ":")) != NULL) {
        char file[4096];
        snprintf(file, sizeof file, "%s/%s", *folder ? folder : ".", program);
        found = access(file, X_OK) == 0;
    }
    free(path);
    if (!found)
        cli_fail("cannot run '%s': %s", program, strerror(why));
    return found;
}

static int make_input(struct span data)
{
    int fd = memfd_create("event", MFD_CLOEXEC);
    while (fd >= 0 && data.size) {
        ssize_t written = write(fd, data.data, data.size);
        if (written <= 0)
            return close(fd), -1;
        data = span_of(data.data + written, data.size - (size_t)written);
    }
    if (fd >= 0)
        lseek(fd, 0, SEEK_SET);
    return fd;
}

/* Keeps our descriptors from the command, because libcurl opens its sockets without close-on-exec. Otherwise a
 * command that outlives its `sluice sub` would hold open the connection of a waiting take, and the sidecar would
 * send that an event which nobody reads. */
static void keep_ours(const struct sub *s)
{
    if (close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC) != 0)
        return; /* a kernel before 5.11 */
    for (size_t i = 0; i < s->inherited_count; i++)
        fcntl(s->inherited[i], F_SETFD, 0);
}

void sub_find_inherited(struct sub *s)
{
    DIR *folder = opendir("/proc/self/fd");
    const struct dirent *entry;
    while (folder && (entry = readdir(folder)) != NULL && s->inherited_count < SUB_INHERITED_MAX) {
        int fd = atoi(entry->d_name), flags = fcntl(fd, F_GETFD);
        if (fd > STDERR_FILENO && flags >= 0 && !(flags & FD_CLOEXEC))
            s->inherited[s->inherited_count++] = fd;
    }
    if (folder)
        closedir(folder);
}

static void become(const struct sub *s, const struct sub_item *item, int input)
{
    dup2(input, 0);
    keep_ours(s);
    set_variable("SLUICE_QUEUE", span_str(s->queue));
    set_variable("SLUICE_ID", item->id);
    set_variable("SLUICE_SOURCE", item->source);
    set_variable("SLUICE_TYPE", item->type);
    set_variable("SLUICE_SUBJECT", item->subject);
    set_variable("SLUICE_CONTENT_TYPE", item->content_type);
    set_variable("SLUICE_SEQUENCE", item->sequence);
    set_variable("SLUICE_ATTEMPT", item->attempt);
    cli_restore_signals();
    execvp(s->command[0], s->command);
    fprintf(stderr, "sluice: cannot run '%s': %s\n", s->command[0], strerror(errno));
    _exit(127);
}

static int wait_for(struct sub *s, pid_t child, void (*extend)(struct sub *s))
{
    int status = -1, timeout = s->lease_ms ? (int)(s->lease_ms / 3) : -1;
    struct pollfd p = { .fd = pidfd_open(child, 0), .events = POLLIN };
    while (p.fd >= 0 && poll(&p, 1, timeout) == 0)
        extend(s);
    if (p.fd >= 0)
        close(p.fd);
    return waitpid(child, &status, 0) == child ? status : -1;
}

static void say_failed(const struct sub *s, const struct sub_item *item, int status)
{
    bool killed = WIFSIGNALED(status);
    const char *delay = s->options.retry_delay;
    cli_fail("'%s' %s %d for event #%.*s, attempt %.*s; nacked%s%s", s->command[0],
             killed ? "was ended by signal" : "ended with status", killed ? WTERMSIG(status) : WEXITSTATUS(status),
             (int)item->sequence.size, (const char *)item->sequence.data, (int)item->attempt.size,
             (const char *)item->attempt.data, delay ? ", to be redelivered in " : "", delay ? delay : "");
}

static void keep_failure(struct sub *s, int status)
{
    bool killed = WIFSIGNALED(status);
    snprintf(s->failure, sizeof s->failure, "%s %d", killed ? "signal" : "exit status",
             killed ? WTERMSIG(status) : WEXITSTATUS(status));
}

bool sub_run_command(struct sub *s, const struct sub_item *item, void (*extend)(struct sub *s))
{
    int input = make_input(item->data);
    fflush(stdout);
    pid_t child = input < 0 ? -1 : fork();
    if (child == 0)
        become(s, item, input);
    if (input >= 0)
        close(input);
    snprintf(s->failure, sizeof s->failure, "it could not be run");
    if (child < 0)
        return cli_fail("cannot run a command: %s", strerror(errno)), false;
    int status = wait_for(s, child, extend);
    bool done = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    keep_failure(s, status);
    if (!done && !cli_stopped())
        say_failed(s, item, status);
    return done;
}

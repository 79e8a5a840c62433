/* A program's start, run in a child process: what it prints, how it exits, which source wins. */
#include "base/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/base/sample_settings.h"

#define ARGUMENTS 8

static char config[64]; /* a file with max_queues: 2, heartbeat: 2s, listen: file, allow.hosts: [file] */
static char output[8192];

/* Prints what the program would run with; the child's whole job. */
static void child(int argc, char **argv)
{
    static struct sample options;
    settings_main(&sample_settings, &options, "sluice-sample", "A program that tests its start.", argc, argv);
    printf("listen=%s name=%s strict=%d queues=%llu heartbeat=%lld hosts=", options.listen,
           options.app_name ? options.app_name : "-", options.strict, (unsigned long long)options.max_queues,
           (long long)options.heartbeat);
    for (size_t i = 0; i < options.hosts.count; i++)
        printf("%s,", options.hosts.items[i]);
    settings_free(&sample_settings, &options);
}

/* Exits before the sanitizers check for leaks: what a process holds at its end is none. */
static void leave(int status, void *unused)
{
    (void)unused;
    fflush(NULL);
    _exit(status);
}

/* Runs it with these flags and this variable ("NAME=VALUE", or NULL); both of its streams go to `output`. */
static int run(const char *variable, int argc, const char *const *flags)
{
    char *argv[ARGUMENTS + 2] = { (char[]){ "sluice-sample" } }, text[ARGUMENTS][128];
    int fd = memfd_create("output", MFD_CLOEXEC), status;
    assert_true(fd >= 0 && argc <= ARGUMENTS);
    for (int i = 0; i < argc; i++) {
        snprintf(text[i], sizeof text[i], "%s", flags[i]);
        argv[i + 1] = text[i];
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        if (clearenv() != 0 || (variable && putenv((char *)(uintptr_t)variable) != 0) || dup2(fd, 1) < 0 ||
            dup2(fd, 2) < 0 || on_exit(leave, NULL) != 0)
            _exit(99);
        child(argc + 1, argv);
        exit(0);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    ssize_t size = pread(fd, output, sizeof output - 1, 0);
    assert_true(size >= 0);
    output[size] = '\0';
    close(fd);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

#define RUN(variable, ...)                                                                                             \
    run(variable, (int)(sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *)), (const char *[]){ __VA_ARGS__ })

static void assert_output_has(const char *what)
{
    if (!strstr(output, what))
        fail_msg("'%s' is not in \"%s\"", what, output);
}

static int write_config(void **state)
{
    (void)state;
    snprintf(config, sizeof config, "/tmp/sluice-settings-main-XXXXXX");
    int fd = mkstemp(config);
    static const char text[] = "max_queues: 2\nheartbeat: 2s\nlisten: file\nallow:\n  hosts: [file, file2]\n";
    if (fd < 0 || write(fd, text, sizeof text - 1) != (ssize_t)sizeof text - 1)
        return -1;
    return close(fd);
}

static int remove_config(void **state)
{
    (void)state;
    return unlink(config);
}

static void without_anything_the_defaults_hold(void **state)
{
    (void)state;
    assert_int_equal(run(NULL, 0, NULL), 0);
    assert_string_equal(output, "listen=tcp://127.0.0.1:7400 name=- strict=1 queues=1000 heartbeat=3000 hosts=");
}

static void flags_win_over_the_environment_which_wins_over_the_file(void **state)
{
    (void)state;
    assert_int_equal(RUN("SLUICE_HEARTBEAT=4s", "--config", config, "--listen", "flag"), 0);
    assert_string_equal(output, "listen=flag name=- strict=1 queues=2 heartbeat=4000 hosts=file,file2,");
    assert_int_equal(RUN("SLUICE_HEARTBEAT=4s", "--heartbeat=5s"), 0);
    assert_output_has("heartbeat=5000");
}

static void the_environment_may_name_the_file(void **state)
{
    (void)state;
    char variable[100];
    snprintf(variable, sizeof variable, "SLUICE_CONFIG=%s", config);
    assert_int_equal(run(variable, 0, NULL), 0);
    assert_string_equal(output, "listen=file name=- strict=1 queues=2 heartbeat=2000 hosts=file,file2,");
}

static void dots_and_underscores_are_dashes_in_flags(void **state)
{
    (void)state;
    assert_int_equal(RUN(NULL, "--app-name", "shop", "--max-queues=9", "--strict=false"), 0);
    assert_output_has("name=shop strict=0 queues=9");
    assert_int_equal(RUN("SLUICE_STRICT=false", "--strict"), 0);
    assert_output_has("strict=1");
}

static void repeated_flags_make_a_list_that_replaces_the_files(void **state)
{
    (void)state;
    assert_int_equal(RUN(NULL, "--config", config, "--allow-hosts", "a", "--allow-hosts=b"), 0);
    assert_output_has("hosts=a,b,");
    assert_null(strstr(output, "file,"));
}

static void help_lists_every_flag_with_its_default(void **state)
{
    (void)state;
    assert_int_equal(RUN(NULL, "--help"), 0);
    static const char *const wanted[] = { "usage: sluice-sample",
                                          "A program that tests its start.",
                                          "--listen ENDPOINT",
                                          "[tcp://127.0.0.1:7400]",
                                          "--app-name",
                                          "--strict",
                                          "--max-queues",
                                          "[1000]",
                                          "[1MiB]",
                                          "--heartbeat",
                                          "[3s]",
                                          "--memory-budget",
                                          "--allow-hosts",
                                          "--config FILE",
                                          "--check-config",
                                          "--version",
                                          "Groups of the file: app: {name}, allow: {hosts}.\n" };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        assert_output_has(wanted[i]);
    assert_output_has("refuse doubtful input [true; append =false to turn it off]\n");
    assert_output_has("say everything\n");
}

static void the_version_is_printed(void **state)
{
    (void)state;
    assert_int_equal(RUN(NULL, "--version"), 0);
    assert_string_equal(output, "sluice-sample " SLUICE_VERSION "\n");
}

static void a_check_says_that_the_settings_are_fine(void **state)
{
    (void)state;
    assert_int_equal(RUN(NULL, "--check-config", "--config", config), 0);
    assert_string_equal(output, "sluice-sample: the settings are fine\n");
    assert_int_equal(RUN(NULL, "--check-config", "--max-queues", "0"), 2);
}

/* The environment may have variables of other programs: they alone are no mistake. */
static void a_check_takes_a_slip_in_a_variable_s_name_for_a_mistake(void **state)
{
    (void)state;
    assert_int_equal(RUN("SLUICE_LISTNE=x", "--check-config"), 2);
    assert_output_has("sluice-sample: SLUICE_LISTNE in the environment is not known; did you mean 'SLUICE_LISTEN'?");
    assert_int_equal(RUN("SLUICE_LISTNE=x", "--strict"), 0);
    assert_int_equal(RUN("SLUICE_ANOTHER_ONE=x", "--check-config"), 0);
    assert_output_has("sluice-sample: the settings are fine\n");
    assert_int_equal(RUN("SLUICE_LISTEN=x", "--check-config"), 0);
}

static void mistakes_are_reported_and_exit_with_2(void **state)
{
    (void)state;
    assert_int_equal(RUN(NULL, "--heartbeat", "soon"), 2);
    assert_output_has("sluice-sample: 'heartbeat' must be a duration");
    assert_int_equal(RUN("SLUICE_MAX_QUEUES=x", "--strict"), 2);
    assert_output_has("sluice-sample: SLUICE_MAX_QUEUES in the environment: ");
    assert_int_equal(RUN(NULL, "--no-such-flag"), 2);
    assert_output_has("no-such-flag");
    assert_output_has("try --help");
    assert_null(strstr(output, "did you mean"));
    assert_int_equal(RUN(NULL, "--max-queus=3"), 2);
    assert_output_has("did you mean '--max-queues'?");
    assert_int_equal(RUN(NULL, "--lisen", "x"), 2);
    assert_output_has("did you mean '--listen'?");
    assert_int_equal(RUN(NULL, "-x"), 2);
    assert_null(strstr(output, "did you mean"));
    assert_int_equal(RUN(NULL, "stray"), 2);
    assert_output_has("unexpected argument 'stray'");
    assert_int_equal(RUN(NULL, "--config", "/nonexistent/broker.yaml"), 2);
    assert_output_has("cannot read /nonexistent/broker.yaml");
    assert_int_equal(RUN(NULL, "--listen"), 2); /* its value is missing */
}

static void unknown_variables_warn_but_not_those_kubernetes_injects(void **state)
{
    (void)state;
    assert_int_equal(run("SLUICE_MAX_QUEUE=3", 0, NULL), 0);
    assert_output_has("the environment variable SLUICE_MAX_QUEUE is not known and has no effect; did you mean "
                      "'SLUICE_MAX_QUEUES'?");
    assert_int_equal(run("SLUICE_NOTHING_LIKE_IT=3", 0, NULL), 0);
    assert_output_has("the environment variable SLUICE_NOTHING_LIKE_IT is not known and has no effect\"");
    static const char *const silent[] = { "SLUICE_PORT=tcp://10.0.0.1:7400",
                                          "SLUICE_SERVICE_HOST=10.0.0.1",
                                          "SLUICE_PORT_7400_TCP=tcp://10.0.0.1:7400",
                                          "SLUICE_APP_NAME=x",
                                          "SLUICE_URL=http://127.0.0.1",
                                          "SLUICE_TOKEN=0123456789abcdef",
                                          "SLUICE_BROKER=tcp://127.0.0.1:7400" };
    for (size_t i = 0; i < sizeof silent / sizeof *silent; i++) {
        assert_int_equal(run(silent[i], 0, NULL), 0);
        assert_null(strstr(output, "not known"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_anything_the_defaults_hold),
        cmocka_unit_test(flags_win_over_the_environment_which_wins_over_the_file),
        cmocka_unit_test(the_environment_may_name_the_file),
        cmocka_unit_test(dots_and_underscores_are_dashes_in_flags),
        cmocka_unit_test(repeated_flags_make_a_list_that_replaces_the_files),
        cmocka_unit_test(help_lists_every_flag_with_its_default),
        cmocka_unit_test(the_version_is_printed),
        cmocka_unit_test(a_check_says_that_the_settings_are_fine),
        cmocka_unit_test(a_check_takes_a_slip_in_a_variable_s_name_for_a_mistake),
        cmocka_unit_test(mistakes_are_reported_and_exit_with_2),
        cmocka_unit_test(unknown_variables_warn_but_not_those_kubernetes_injects),
    };
    return cmocka_run_group_tests(tests, write_config, remove_config);
}

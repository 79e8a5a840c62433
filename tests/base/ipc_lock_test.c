/* One process at a time binds an ipc path; a directory of its own for each test. */
#include "base/ipc_lock.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64], path[100], lock_file[160];

static int begin(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/sluice-lock-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/broker", folder);
    snprintf(lock_file, sizeof lock_file, "%s.lock", path);
    return 0;
}

static int end(void **state)
{
    (void)state;
    unlink(path);
    unlink(lock_file);
    return rmdir(folder);
}

/* Leaves what a process leaves that bound the path and crashed. */
static void leave_socket(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)(void *)&address, sizeof address), 0);
    close(fd);
}

static bool exists(const char *name)
{
    struct stat st;
    return stat(name, &st) == 0;
}

static void a_second_holder_is_refused_until_the_first_lets_go(void **state)
{
    (void)state;
    struct error e = { "" };
    struct ipc_lock first = { 0 }, second = { 0 };
    assert_true(ipc_lock_take(&first, path, &e));
    assert_string_equal(e.text, "");
    assert_false(ipc_lock_take(&second, path, &e));
    assert_non_null(strstr(e.text, path));
    assert_non_null(strstr(e.text, "in use by another process; stop it or choose another path"));
    ipc_lock_release(&second); /* it holds nothing: the first one's stays */
    assert_false(ipc_lock_take(&second, path, &e));
    ipc_lock_release(&first);
    assert_true(ipc_lock_take(&second, path, &e));
    ipc_lock_release(&second);
}

static void letting_go_removes_the_socket_and_the_lock(void **state)
{
    (void)state;
    struct ipc_lock lock = { 0 };
    assert_true(ipc_lock_take(&lock, path, NULL));
    leave_socket();
    assert_true(exists(path) && exists(lock_file));
    ipc_lock_release(&lock);
    assert_false(exists(path) || exists(lock_file));
    assert_null(lock.path);
    ipc_lock_release(&lock);
}

static void only_user_and_group_may_open_the_lock(void **state)
{
    (void)state;
    struct ipc_lock lock = { 0 };
    struct stat st;
    assert_true(ipc_lock_take(&lock, path, NULL));
    assert_int_equal(stat(lock_file, &st), 0);
    assert_int_equal(st.st_mode & 07007, 0);
    ipc_lock_release(&lock);
}

static void the_lock_of_a_killed_process_is_free(void **state)
{
    (void)state;
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct ipc_lock held = { 0 };
        char word = ipc_lock_take(&held, path, NULL) ? 'y' : 'n';
        if (write(ready[1], &word, 1) == 1)
            pause();
        _exit(0);
    }
    char word = 0;
    assert_int_equal(read(ready[0], &word, 1), 1);
    assert_int_equal(word, 'y');
    struct ipc_lock lock = { 0 };
    assert_false(ipc_lock_take(&lock, path, NULL));
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_true(exists(lock_file)); /* the file exists, but is not locked */
    leave_socket();
    assert_true(ipc_lock_take(&lock, path, NULL));
    ipc_lock_release(&lock);
    close(ready[0]);
    close(ready[1]);
}

static void a_file_that_is_not_a_socket_is_left_alone(void **state)
{
    (void)state;
    struct error e = { "" };
    struct ipc_lock lock = { 0 };
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("precious", f);
    fclose(f);
    assert_false(ipc_lock_take(&lock, path, &e));
    assert_non_null(strstr(e.text, "exists and is not a socket; choose another path"));
    ipc_lock_release(&lock);
    assert_true(exists(path));
    assert_false(exists(lock_file));
}

static void a_folder_that_is_not_there_is_named(void **state)
{
    (void)state;
    struct error e = { "" };
    struct ipc_lock lock = { 0 };
    char nowhere[160];
    snprintf(nowhere, sizeof nowhere, "%s/none/broker", folder);
    assert_false(ipc_lock_take(&lock, nowhere, &e));
    assert_non_null(strstr(e.text, nowhere));
    assert_non_null(strstr(e.text, "No such file or directory"));
    assert_null(lock.path);
}

/* Makes a lock file as a crash left it, that many seconds ago. */
static void leave(const char *suffix, time_t age)
{
    char name[160];
    struct timespec times[2] = { { .tv_sec = time(NULL) - age }, { .tv_sec = time(NULL) - age } };
    snprintf(name, sizeof name, "%s.%s.lock", path, suffix);
    int fd = open(name, O_CREAT | O_RDWR, 0660);
    assert_true(fd >= 0 && futimens(fd, times) == 0);
    close(fd);
}

static void leftovers_of_a_crash_are_removed_and_nothing_else(void **state)
{
    (void)state;
    struct ipc_lock held = { 0 };
    char bound[120], held_path[120];
    snprintf(bound, sizeof bound, "%s.0123456789abcdef", path);
    snprintf(held_path, sizeof held_path, "%s.00000000000000ff", path);
    leave("0123456789abcdef", 61);
    FILE *f = fopen(bound, "w");
    assert_non_null(f);
    fclose(f);
    assert_true(ipc_lock_take(&held, held_path, NULL));
    leave("00000000000000ff", 61);
    leave("fedcba9876543210", 30);
    leave("ingress", 61);
    leave("0123456789abcde", 61);
    leave("0123456789abcdeff", 61);
    ipc_lock_sweep(path);
    assert_false(exists(bound));
    strcat(bound, ".lock");
    assert_false(exists(bound));
    strcat(held_path, ".lock");
    assert_true(exists(held_path));
    ipc_lock_release(&held);
    static const char *const stay[] = { "fedcba9876543210", "ingress", "0123456789abcde", "0123456789abcdeff" };
    for (size_t i = 0; i < 4; i++) {
        snprintf(bound, sizeof bound, "%s.%s.lock", path, stay[i]);
        assert_int_equal(unlink(bound), 0); /* it was there */
    }
    ipc_lock_sweep("/nowhere/at/all");
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, begin, end)
    const struct CMUnitTest tests[] = {
        T(a_second_holder_is_refused_until_the_first_lets_go),
        T(letting_go_removes_the_socket_and_the_lock),
        T(only_user_and_group_may_open_the_lock),
        T(the_lock_of_a_killed_process_is_free),
        T(a_file_that_is_not_a_socket_is_left_alone),
        T(leftovers_of_a_crash_are_removed_and_nothing_else),
        T(a_folder_that_is_not_there_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

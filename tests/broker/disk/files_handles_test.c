/* Open files that threads share: whoever has taken one keeps it; whoever comes after its name was given away does not
 * get it. */
#include "broker/disk/files_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static char top[] = "/tmp/sluice-handles-XXXXXX";

static void put(int dir, const char *name, const char *byte)
{
    int fd = openat(dir, name, O_CREAT | O_WRONLY | O_TRUNC, FILE_MODE);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, byte, 1), 1);
    assert_int_equal(close(fd), 0);
}

static char byte_of(const struct handle *one)
{
    char byte = 0;
    assert_int_equal(pread(one->fd, &byte, 1, 0), 1);
    return byte;
}

static void a_dropped_handle_stays_with_its_users(void **state)
{
    (void)state;
    struct handles h = { 0 };
    struct handle *old, *same, *new;
    assert_non_null(mkdtemp(top));
    int dir = open(top, O_RDONLY | O_DIRECTORY);
    assert_true(dir >= 0);
    handles_init(&h, dir, false);
    put(dir, "a", "o");
    assert_int_equal(handles_take(&h, "a", &old), 0);
    assert_int_equal(handles_take(&h, "a", &same), 0);
    assert_ptr_equal(old, same);
    put(dir, "b", "n");
    assert_int_equal(renameat(dir, "b", dir, "a"), 0);
    assert_int_equal(handles_drop(&h, "a"), 0);
    assert_int_equal(handles_take(&h, "a", &new), 0);
    assert_int_equal(byte_of(new), 'n');
    assert_int_equal(byte_of(old), 'o');
    int fd = old->fd;
    assert_int_equal(handles_give(&h, old), 0);
    assert_int_equal(byte_of(same), 'o');
    assert_int_equal(handles_give(&h, same), 0); /* the last one closes it */
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    assert_int_equal(handles_give(&h, new), 0);
    assert_int_equal(h.count, 1);
    assert_int_equal(handles_drop(&h, "a"), 0);
    assert_int_equal(h.count, 0);
    assert_int_equal(handles_take(&h, "b", &new), ENOENT);
    assert_int_equal(handles_close(&h), 0);
    assert_int_equal(unlinkat(dir, "a", 0), 0);
    assert_int_equal(close(dir), 0);
    assert_int_equal(rmdir(top), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dropped_handle_stays_with_its_users),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

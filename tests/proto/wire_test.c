/* The sizes of nested messages, which are filled in when they end. */
#include "proto/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST (UINT64_C(256) << 20) /* fits into no size of 4 bytes */

/* Gives the open message that size. Its bytes are not touched, so they take no memory. */
static void grow(struct buf *b, size_t mark, size_t size)
{
    buf_reserve(b, mark + size - b->size);
    b->size = mark + size;
}

static void a_large_message_may_have_256_MiB(void **state)
{
    (void)state;
    struct buf b = { 0 };
    size_t mark = wire_begin_large(&b, 7);
    grow(&b, mark, MOST);
    wire_end_large(&b, mark);
    wire_add_number(&b, 8, 9);
    struct wire_reader r = wire_open(buf_span(&b));
    struct wire_field f = { 0 };
    assert_true(wire_next(&r, &f) && f.tag == 7 && f.bytes.size == MOST);
    assert_true(wire_next(&r, &f) && f.tag == 8 && f.number == 9);
    assert_true(wire_done(&r));
    buf_free(&b);
}

static void any_other_has_less(void **state)
{
    (void)state;
    struct buf b = { 0 };
    size_t mark = wire_begin(&b, 7);
    grow(&b, mark, MOST - 1);
    wire_end(&b, mark);
    struct wire_reader r = wire_open(buf_span(&b));
    struct wire_field f = { 0 };
    assert_true(wire_next(&r, &f) && f.tag == 7 && f.bytes.size == MOST - 1);
    buf_free(&b);
}

static void a_size_is_never_cut_off(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        struct buf b = { 0 };
        signal(SIGABRT, SIG_DFL);
        size_t mark = wire_begin(&b, 7);
        grow(&b, mark, MOST);
        wire_end(&b, mark);
        _exit(0);
    }
    int status = 0;
    assert_true(child > 0 && waitpid(child, &status, 0) == child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_large_message_may_have_256_MiB),
        cmocka_unit_test(any_other_has_less),
        cmocka_unit_test(a_size_is_never_cut_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

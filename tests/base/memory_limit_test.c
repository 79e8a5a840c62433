/* Memory limits, read from control group files in a folder made by the test. */
#include "base/memory_limit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char root[64], own[80];

static int make_root(void **state)
{
    (void)state;
    strcpy(root, "/tmp/memory_limit_test.XXXXXX");
    assert_non_null(mkdtemp(root));
    snprintf(own, sizeof own, "%s/own", root);
    return 0;
}

static int remove_root(void **state)
{
    char command[100];
    (void)state;
    snprintf(command, sizeof command, "rm -r '%s'", root);
    return system(command);
}

/* Writes a file below the root, making the folders that it needs. */
static void put(const char *path, const char *text)
{
    char whole[256];
    snprintf(whole, sizeof whole, "%s/%s", root, path);
    for (char *slash = whole + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL; *slash++ = '/') {
        *slash = '\0';
        mkdir(whole, 0700);
    }
    FILE *f = fopen(whole, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void a_service_has_its_own_limit(void **state)
{
    (void)state;
    put("own", "0::/system.slice/sluice.service\n");
    put("system.slice/sluice.service/memory.max", "268435456\n");
    put("system.slice/memory.max", "max\n");
    assert_int_equal(memory_limit(own, root), 256 << 20);
}

static void the_lowest_limit_of_all_groups_above_applies(void **state)
{
    (void)state;
    put("own", "0::/a/b/c\n");
    put("a/b/c/memory.max", "max\n");
    put("a/b/memory.max", "100000000\n");
    put("a/memory.max", "300000000\n");
    assert_int_equal(memory_limit(own, root), 100000000);
}

static void a_container_sees_its_group_as_the_root(void **state)
{
    (void)state;
    put("own", "0::/\n");
    put("memory.max", "536870912\n");
    assert_int_equal(memory_limit(own, root), 512 << 20);
    /* groups that are not mounted are skipped */
    put("own", "0::/kubepods/pod1/c1\n");
    assert_int_equal(memory_limit(own, root), 512 << 20);
}

static void version_1_has_a_hierarchy_for_memory(void **state)
{
    (void)state;
    put("own", "9:name=systemd:/x\n4:cpu,memory:/docker/abc\n3:memoryless:/y\n0::/\n");
    put("memory/docker/abc/memory.limit_in_bytes", "200000000\n");
    put("memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("memory/y/memory.limit_in_bytes", "5\n");
    assert_int_equal(memory_limit(own, root), 200000000);
}

static void without_groups_there_is_no_limit(void **state)
{
    (void)state;
    assert_int_equal(memory_limit(own, root), 0);
    put("own", "0::/user.slice\nnonsense\n7:memory:\n:::\n");
    put("user.slice/memory.max", "max\n");
    assert_int_equal(memory_limit(own, root), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_root, remove_root)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_service_has_its_own_limit),
        TEST(the_lowest_limit_of_all_groups_above_applies),
        TEST(a_container_sees_its_group_as_the_root),
        TEST(version_1_has_a_hierarchy_for_memory),
        TEST(without_groups_there_is_no_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

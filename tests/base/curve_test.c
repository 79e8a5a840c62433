/* Keys in files, as people write them; a directory of its own for each test. */
#include "base/curve.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include <cmocka.h>

#define KEYS 20u

static char folder[64];
static struct curve_keys pairs[KEYS];

static int begin(void **state)
{
    (void)state;
    if (!zmq_has("curve"))
        return -1;
    for (unsigned i = 0; i < KEYS; i++)
        zmq_curve_keypair(pairs[i].public, pairs[i].secret);
    snprintf(folder, sizeof folder, "/tmp/sluice-curve-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int end(void **state)
{
    char command[100];
    (void)state;
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command);
}

/* The path of that name; valid until the third call from here. */
static const char *at(const char *name)
{
    static char paths[3][200];
    static unsigned next;
    char *path = paths[next++ % 3];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static const char *put(const char *name, const char *before, const char *key, const char *after)
{
    FILE *f = fopen(at(name), "w");
    assert_non_null(f);
    fprintf(f, "%s%s%s", before, key, after);
    assert_int_equal(fclose(f), 0);
    return at(name);
}

static void a_key_may_have_comments_around_it_and_any_end_of_its_line(void **state)
{
    (void)state;
    struct curve_keys keys;
    char public[CURVE_KEY_SIZE];
    static const char *const around[][2] = {
        { "", "" },
        { "", "\n" },
        { "", "\r\n" },
        { "# of the shop\n\n", "\n# and nobody else's\n" },
    };
    for (size_t i = 0; i < sizeof around / sizeof *around; i++) {
        assert_true(curve_read_secret(put("it", around[i][0], pairs[0].secret, around[i][1]), &keys, NULL));
        assert_string_equal(keys.secret, pairs[0].secret);
        assert_string_equal(keys.public, pairs[0].public);
        assert_true(curve_read_public(put("it", around[i][0], pairs[1].public, around[i][1]), public, NULL));
        assert_string_equal(public, pairs[1].public);
    }
}

/* '#' is one of the characters of a key. */
static void a_key_may_have_a_hash_within(void **state)
{
    (void)state;
    char public[CURVE_KEY_SIZE], key[CURVE_KEY_SIZE];
    strcpy(key, pairs[0].public);
    key[6] = '#';
    assert_true(curve_read_public(put("it", "", key, "\n"), public, NULL));
    assert_string_equal(public, key);
}

static void a_malformed_key_is_named(void **state)
{
    (void)state;
    struct error e = { "" };
    char public[CURVE_KEY_SIZE], longer[CURVE_KEY_SIZE + 5], shorter[CURVE_KEY_SIZE];
    snprintf(longer, sizeof longer, "%s12345", pairs[0].public); /* Z85 goes by fives */
    snprintf(shorter, sizeof shorter, "%.35s", pairs[0].public);
    const char *const cases[] = { "", "not a key", longer, shorter };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_false(curve_read_public(put("it", "", cases[i], "\n"), public, &e));
        assert_non_null(strstr(e.text, "/it holds no public key of 40 characters"));
    }
    assert_false(curve_read_public(at("none"), public, &e));
    assert_non_null(strstr(e.text, "No such file"));
}

static void a_set_has_the_keys_of_its_file_and_no_other(void **state)
{
    (void)state;
    struct curve_set set = { 0 };
    FILE *f = fopen(at("all"), "w");
    for (unsigned i = 0; i < KEYS - 1; i++)
        fprintf(f, "# number %u\n%s\n\n", i, pairs[i].public);
    fclose(f);
    assert_true(curve_read_set(at("all"), &set, NULL));
    assert_int_equal(set.count, KEYS - 1);
    for (unsigned i = 0; i < KEYS; i++) {
        assert_int_equal(curve_set_has(&set, pairs[i].public), i < KEYS - 1);
        assert_false(curve_set_has(&set, pairs[i].secret));
    }
    curve_set_free(&set);
    assert_false(curve_set_has(&set, pairs[0].public));
}

static void a_set_has_the_pub_files_of_its_folder(void **state)
{
    (void)state;
    struct curve_set set = { 0 };
    char name[32];
    put("pub", "", "of that name it is none", "");
    put("note.txt", "", "nor is this", "");
    for (unsigned i = 0; i < KEYS; i++) {
        snprintf(name, sizeof name, "%u.%s", i, i % 2 ? "pub" : "key");
        put(name, "", i % 2 ? pairs[i].public : pairs[i].secret, "\n");
    }
    assert_true(curve_read_set(folder, &set, NULL));
    assert_int_equal(set.count, KEYS / 2);
    for (unsigned i = 0; i < KEYS; i++)
        assert_int_equal(curve_set_has(&set, pairs[i].public), i % 2);
    curve_set_free(&set);
}

static void a_set_that_cannot_be_read_whole_changes_nothing(void **state)
{
    (void)state;
    struct error e = { "" };
    struct curve_set set = { 0 };
    assert_true(curve_read_set(put("fine.pub", "", pairs[0].public, "\n"), &set, NULL));
    put("wrong.pub", "# first\n", pairs[1].public, "\nnonsense\n");
    assert_false(curve_read_set(at("wrong.pub"), &set, &e));
    assert_non_null(strstr(e.text, "wrong.pub: 'nonsense' is not a public key"));
    assert_false(curve_read_set(folder, &set, &e));
    assert_non_null(strstr(e.text, "'nonsense'"));
    assert_false(curve_read_set(at("none"), &set, &e));
    assert_true(set.count == 1 && curve_set_has(&set, pairs[0].public));
    curve_set_free(&set);
}

static void the_wrong_half_of_a_pair_is_found_beside_the_other(void **state)
{
    (void)state;
    struct error e = { "" };
    struct curve_keys keys;
    struct curve_set set = { 0 };
    char public[CURVE_KEY_SIZE];
    put("a.key", "", pairs[0].public, "\n");
    put("a.pub", "", pairs[0].secret, "\n");
    assert_false(curve_read_secret(at("a.key"), &keys, &e));
    assert_non_null(strstr(e.text, "holds the public key of its pair, but the secret key is needed"));
    assert_false(curve_read_public(at("a.pub"), public, &e));
    assert_non_null(strstr(e.text, "holds the secret key of its pair, but the public key is needed"));
    assert_false(curve_read_set(folder, &set, &e));
    put("a.pub", "", pairs[1].public, "\n"); /* of another pair: nothing can be said */
    assert_true(curve_read_secret(at("a.key"), &keys, &e));
    assert_true(curve_read_set(folder, &set, &e));
    curve_set_free(&set);
}

static void a_new_pair_overwrites_no_existing_file(void **state)
{
    (void)state;
    struct error e = { "" };
    struct curve_keys made, read;
    struct stat st;
    char public[CURVE_KEY_SIZE];
    assert_true(curve_generate(at("me"), &made, &e));
    assert_true(curve_read_secret(at("me.key"), &read, &e));
    assert_memory_equal(&made, &read, sizeof made);
    assert_true(curve_read_public(at("me.pub"), public, &e));
    assert_string_equal(public, made.public);
    assert_int_equal(stat(at("me.key"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    for (unsigned i = 0; i < 2; i++) { /* one half is there: the other is not made */
        const char *there = i ? "me.key" : "me.pub", *gone = i ? "me.pub" : "me.key";
        assert_int_equal(unlink(at(gone)), 0);
        assert_false(curve_generate(at("me"), &read, &e));
        assert_non_null(strstr(e.text, "exists already"));
        assert_non_null(strstr(e.text, there));
        assert_int_not_equal(access(at(gone), F_OK), 0);
        put(gone, "", i ? made.public : made.secret, "\n");
    }
    assert_false(curve_generate(at("no/where"), &read, &e));
    assert_non_null(strstr(e.text, "cannot write"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_key_may_have_comments_around_it_and_any_end_of_its_line, begin, end),
        cmocka_unit_test_setup_teardown(a_key_may_have_a_hash_within, begin, end),
        cmocka_unit_test_setup_teardown(a_malformed_key_is_named, begin, end),
        cmocka_unit_test_setup_teardown(a_set_has_the_keys_of_its_file_and_no_other, begin, end),
        cmocka_unit_test_setup_teardown(a_set_has_the_pub_files_of_its_folder, begin, end),
        cmocka_unit_test_setup_teardown(a_set_that_cannot_be_read_whole_changes_nothing, begin, end),
        cmocka_unit_test_setup_teardown(the_wrong_half_of_a_pair_is_found_beside_the_other, begin, end),
        cmocka_unit_test_setup_teardown(a_new_pair_overwrites_no_existing_file, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

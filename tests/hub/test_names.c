/* tests/hub/test_names.c: what may become part of a path or an address. */
#include "hub/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define N(a) (sizeof(a) / sizeof(a)[0])

static void test_ids(void **state)
{
    (void)state;
    static const char *const good[] = {"gpt2", "org/name", "HuggingFaceTB/SmolLM2-135M", "a/b", "a_b/c.d-e_f",
                                       "0x/1", "a/b.git.x"};
    static const char *const bad[] = {"",       "/",    "a/",      "/a",         "a/b/c",  "../x", "a/..",  "a--b/c",
                                      "a/b..c", "a/.b", "a/b.",    "-a/b",       "a/b-",   "a b",  "a/b\n", "a%2fb",
                                      "a\\b",   "C:x",  "a/b.git", "\xc3\xa9/x", "--flag", "a/-"};
    for (size_t i = 0; i < N(good); i++)
        if (!mica_hub_is_id(good[i])) fail_msg("'%s' is refused", good[i]);
    for (size_t i = 0; i < N(bad); i++)
        if (mica_hub_is_id(bad[i])) fail_msg("'%s' is accepted", bad[i]);
    char name[128];
    memset(name, 'a', sizeof name);
    name[96] = 0;
    assert_true(mica_hub_is_id(name));
    name[96] = 'a';
    name[97] = 0;
    assert_false(mica_hub_is_id(name));
    assert_false(mica_hub_is_id(NULL));
}

static void test_paths(void **state)
{
    (void)state;
    static const char *const good[] = {"a",    "a/b/c.json", ".gitattributes", "a/.hidden", "x y",  "\xc3\xbc", "a..b",
                                       "...x", "console",    "com10",          "nula",      "aux_", "lpt"};
    static const char *const bad[] = {"",      "/a",      "a/",    "a//b", ".",      "..",   "../a",  "a/../b",
                                      "a/./b", "a/..",    "a\\b",  "C:a",  "a:b",    "a\nb", "a\x7f", "\xff",
                                      "nul",   "NUL.txt", "a/con", "COM1", "lpt9.x", "aux ", ".. ",   "..."};
    for (size_t i = 0; i < N(good); i++)
        if (!mica__hub_path_is_safe(mica__str_from(good[i]))) fail_msg("'%s' is refused", good[i]);
    for (size_t i = 0; i < N(bad); i++)
        if (mica__hub_path_is_safe(mica__str_from(bad[i]))) fail_msg("'%s' is accepted", bad[i]);
    assert_false(mica__hub_path_is_safe((mica__str){"a\0b", 3}));
}

static void test_revisions_and_hashes(void **state)
{
    (void)state;
    assert_true(mica__hub_revision_is_safe("main"));
    assert_true(mica__hub_revision_is_safe("refs/pr/3"));
    assert_true(mica__hub_revision_is_safe("v1.0"));
    static const char *const bad[] = {"", "/main", "a/", "../x", "a..b", "-x", "a.lock", "a b/../c"};
    for (size_t i = 0; i < N(bad); i++)
        if (mica__hub_revision_is_safe(bad[i])) fail_msg("'%s' is accepted", bad[i]);
    const char *commit = "0123456789abcdef0123456789abcdef01234567";
    assert_true(mica__hub_is_commit(mica__str_from(commit)));
    assert_true(mica__hub_is_hash(mica__str_from(commit)));
    assert_false(mica__hub_is_commit((mica__str){commit, 39}));
    assert_false(mica__hub_is_commit(MICA_STR("0123456789ABCDEF0123456789abcdef01234567")));
    assert_false(mica__hub_is_hash(MICA_STR("../../../../../../../../../../../../etc/x")));
}

static void test_patterns(void **state)
{
    (void)state;
    assert_true(mica__hub_matches("*.json", "a/b.json"));
    assert_true(mica__hub_matches("original/", "original/a/b"));
    assert_false(mica__hub_matches("original/", "original"));
    assert_true(mica__hub_matches("a\\b", "a\\b"));
    assert_false(mica__hub_matches("*.json", "a.JSON"));
    const char *const include[] = {"*.json"}, *const exclude[] = {"a/*"};
    assert_true(mica__hub_wanted("b.json", include, 1, exclude, 1));
    assert_false(mica__hub_wanted("a/b.json", include, 1, exclude, 1));
    assert_true(mica__hub_wanted("x", NULL, 0, exclude, 1));
}

static void test_encoding(void **state)
{
    (void)state;
    mica__buf out = {0};
    mica__hub_append_encoded(&out, MICA_STR("refs/pr/1 \xc3\xbc%"), false);
    assert_string_equal(out.p, "refs%2Fpr%2F1%20%C3%BC%25");
    mica__buf_clear(&out);
    mica__hub_append_encoded(&out, MICA_STR("a/b?c#d"), true);
    assert_string_equal(out.p, "a/b%3Fc%23d");
    mica__buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ids), cmocka_unit_test(test_paths),
                                       cmocka_unit_test(test_revisions_and_hashes), cmocka_unit_test(test_patterns),
                                       cmocka_unit_test(test_encoding)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/err.h"

static void test_set(void **state)
{
    (void)state;
    static const enum err_action actions[] = {ERR_RETRY_NOW, ERR_RETRY_LATER, ERR_GIVE_UP};
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
        struct err err;
        memset(&err, 'x', sizeof err);
        assert_int_equal(err_set(&err, actions[i], "UID %u: %s", 7u, "gone"), -1);
        assert_int_equal(err.action, actions[i]);
        assert_string_equal(err.text, "UID 7: gone");
        /* Nothing of what was there, or on the stack: the whole field may go to another process. */
        for (size_t at = strlen(err.text); at < sizeof err.text; at++)
            assert_int_equal(err.text[at], 0);
    }
}

static void test_null(void **state)
{
    (void)state;
    assert_int_equal(err_set(NULL, ERR_GIVE_UP, "%s", "x"), -1);
    assert_int_equal(err_prefix(NULL, "%s", "x"), -1);
}

static void test_prefix(void **state)
{
    (void)state;
    struct err err = {0};
    err_set(&err, ERR_RETRY_LATER, "refused");
    assert_int_equal(err_prefix(&err, "connect to %s", "mx"), -1);
    assert_int_equal(err_prefix(&err, "trap1"), -1);
    assert_int_equal(err.action, ERR_RETRY_LATER);
    assert_string_equal(err.text, "trap1: connect to mx: refused");
}

/* A text may be wrapped into itself. */
static void test_own_text(void **state)
{
    (void)state;
    struct err err = {0};
    err_set(&err, ERR_GIVE_UP, "inner");
    err_set(&err, ERR_RETRY_NOW, "<%s|%s>", err.text, err.text);
    assert_string_equal(err.text, "<inner|inner>");
    err_prefix(&err, "%s", err.text);
    assert_string_equal(err.text, "<inner|inner>: <inner|inner>");
}

static void test_cut(void **state)
{
    (void)state;
    struct err err;
    char longer[sizeof err.text + 100];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    memset(&err, 0x55, sizeof err);
    err_set(&err, ERR_GIVE_UP, "%s", longer);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    err_prefix(&err, "%s", longer);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    err_prefix(&err, "what");
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    assert_memory_equal(err.text, "what: xxx", 9);
}

static void test_errno_text(void **state)
{
    (void)state;
    assert_non_null(strstr(err_errno_text(EMFILE), "too many open files: raise the limit of this"));
    assert_non_null(strstr(err_errno_text(ENFILE), "in the whole system: raise fs.file-max"));
    assert_string_equal(err_errno_text(ENOENT), "No such file or directory");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set),    cmocka_unit_test(test_null),
        cmocka_unit_test(test_prefix), cmocka_unit_test(test_own_text),
        cmocka_unit_test(test_cut),    cmocka_unit_test(test_errno_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"

static void test_allocation(void **state)
{
    (void)state;
    char *nothing = mem_alloc(0);
    assert_non_null(nothing);
    free(nothing);
    uint8_t *zeros = mem_zalloc(1000);
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(zeros[i], 0);
    free(zeros);
    struct pair {
        int a;
        char *b;
    } *pair = mem_new(struct pair);
    assert_int_equal(pair->a, 0);
    assert_null(pair->b);
    free(pair);
}

static void test_growing(void **state)
{
    (void)state;
    uint32_t *numbers = mem_realloc_array(NULL, 2, sizeof *numbers);
    numbers[0] = 1;
    numbers[1] = 2;
    numbers = mem_realloc_array(numbers, 1000, sizeof *numbers);
    assert_int_equal(numbers[0], 1);
    assert_int_equal(numbers[1], 2);
    numbers = mem_realloc_array(numbers, 0, sizeof *numbers);
    free(numbers);
}

static void test_strings(void **state)
{
    (void)state;
    assert_null(mem_strdup(NULL));
    char *copy = mem_strdup("text");
    assert_string_equal(copy, "text");
    free(copy);
    copy = mem_strdup("");
    assert_string_equal(copy, "");
    free(copy);
    copy = mem_strndup("a\0b\xFF", 4);
    assert_memory_equal(copy, "a\0b\xFF\0", 5);
    free(copy);
    copy = mem_strndup(NULL, 0);
    assert_string_equal(copy, "");
    free(copy);
    copy = mem_printf("%s-%03d", "x", 7);
    assert_string_equal(copy, "x-007");
    free(copy);
}

static void test_secrets(void **state)
{
    (void)state;
    char secret[] = "secret";
    mem_wipe(secret, 3);
    assert_memory_equal(secret, "\0\0\0ret", 7);
    mem_wipe(NULL, 0);
    mem_free_secret(NULL);
    mem_free_secret(mem_strdup("secret"));
}

static volatile size_t mem_half = SIZE_MAX / 2 + 2; /* times 2 it is 2 */

static void mem_overflow(void)
{
    free(mem_realloc_array(NULL, mem_half, 2));
}

/* Aborts, rather than giving memory that is smaller than asked for. */
static void test_overflow_aborts(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        close(STDERR_FILENO);
        (void)open("/dev/null", O_WRONLY);
        mem_overflow();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allocation),      cmocka_unit_test(test_growing),
        cmocka_unit_test(test_strings),         cmocka_unit_test(test_secrets),
        cmocka_unit_test(test_overflow_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

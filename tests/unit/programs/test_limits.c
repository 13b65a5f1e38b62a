/* Who is warned of what does not fit. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/log.h"
#include "programs/collector_limits.h"

static char *limits_log;
static size_t limits_log_len;

static int limits_begin(void **state)
{
    FILE *out = open_memstream(&limits_log, &limits_log_len);
    log_setup(LOG_LEVEL_INFO, LOG_FORMAT_TEXT, out);
    *state = out;
    return 0;
}

static int limits_end(void **state)
{
    fclose(*state);
    free(limits_log);
    return 0;
}

/* What was logged behind the time and the level, of one line. */
static const char *limits_said(void **state)
{
    fflush(*state);
    const char *at = limits_log_len ? strstr(limits_log, "warning ") : NULL;
    return at ? at + strlen("warning ") : "";
}

static struct conf limits_conf(struct conf_mailbox *mailboxes, size_t count)
{
    static struct conf_host_limits hosts[] = {{"small", 2, 1}, {NULL, 0, 50}};
    for (size_t i = 0; i < count; i++) {
        mailboxes[i].folder_count = 1;
        mailboxes[i].max_connections = 2;
        mailboxes[i].host = "h";
    }
    return (struct conf){.mailboxes = mailboxes,
                         .mailbox_count = count,
                         .limits = {.hosts = hosts, .host_count = 2}};
}

static void test_raise(void **state)
{
    (void)state;
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = 100;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(limits_raise(NULL), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(limit.rlim_cur, limit.rlim_max);
}

static void test_files(void **state)
{
    struct conf_mailbox mailboxes[20] = {0};
    struct conf conf = limits_conf(mailboxes, 20);
    struct rlimit limit, before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    limit = before;
    limit.rlim_cur = 64 + 20;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    limits_check(&conf);
    assert_string_equal(limits_said(state), "");
    /* A folder more takes a connection more, as long as there may be one. */
    mailboxes[0].folder_count = 9;
    limits_check(&conf);
    assert_string_equal(limits_said(state),
                        "20 mailboxes may need 85 open files, and only 84 are allowed: raise the "
                        "limit (LimitNOFILE= of the service, `ulimit -Hn` of a shell), or lower "
                        "max_connections\n");
    setrlimit(RLIMIT_NOFILE, &before);
}

static void test_hosts(void **state)
{
    struct conf_mailbox mailboxes[6] = {0};
    struct conf conf = limits_conf(mailboxes, 6);
    mailboxes[1].host = "small";
    mailboxes[5].host = "SMALL";
    limits_check(&conf);
    assert_string_equal(limits_said(state), "");
    mailboxes[3].host = "Small";
    limits_check(&conf);
    assert_non_null(strstr(limits_said(state), "3 mailboxes at "));
    assert_non_null(strstr(limits_said(state),
                           " share 2 connections and take turns, so that new mail waits: if the "
                           "server allows more, raise connections_per_host of this host (limits, "
                           "hosts)\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_raise, limits_begin, limits_end),
        cmocka_unit_test_setup_teardown(test_files, limits_begin, limits_end),
        cmocka_unit_test_setup_teardown(test_hosts, limits_begin, limits_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

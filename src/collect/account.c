#include "collect/account.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* The copy and its texts are one piece of memory: there are ten thousands of them. */
struct collect_account_copy {
    struct collect_account account; /* first */
    size_t size;
    char memory[];
};

static size_t account_text_size(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

static const char *account_put(char **at, const char *text)
{
    if (!text)
        return NULL;
    char *copy = *at;
    memcpy(copy, text, strlen(text) + 1);
    *at += strlen(text) + 1;
    return copy;
}

struct collect_account *collect_account_copy(const struct collect_account *account)
{
    size_t size = account->folder_count * sizeof *account->folders;
    for (size_t i = 0; i < account->folder_count; i++)
        size += account_text_size(account->folders[i]);
    size += account_text_size(account->label) + account_text_size(account->host) +
            account_text_size(account->user) + account_text_size(account->password) +
            account_text_size(account->after_name);

    struct collect_account_copy *copy = mem_alloc(sizeof *copy + size);
    copy->size = size;
    copy->account = *account;
    const char **folders = (const char **)(void *)copy->memory;
    char *at = (char *)(folders + account->folder_count);
    for (size_t i = 0; i < account->folder_count; i++)
        folders[i] = account_put(&at, account->folders[i]);
    copy->account.folders = folders;
    copy->account.label = account_put(&at, account->label);
    copy->account.host = account_put(&at, account->host);
    copy->account.user = account_put(&at, account->user);
    copy->account.password = account_put(&at, account->password);
    copy->account.after_name = account_put(&at, account->after_name);
    if (account->tls)
        net_tls_ref(account->tls);
    if (account->tokens)
        token_keeper_ref(account->tokens);
    return &copy->account;
}

static bool account_same_text(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

bool collect_account_equal(const struct collect_account *a, const struct collect_account *b)
{
    if (a->folder_count != b->folder_count)
        return false;
    for (size_t i = 0; i < a->folder_count; i++)
        if (strcmp(a->folders[i], b->folders[i]) != 0)
            return false;
    return account_same_text(a->label, b->label) && account_same_text(a->host, b->host) &&
           a->port == b->port && a->tls == b->tls && a->security == b->security &&
           a->auth == b->auth && account_same_text(a->user, b->user) &&
           account_same_text(a->password, b->password) && a->tokens == b->tokens &&
           a->after == b->after && account_same_text(a->after_name, b->after_name) &&
           a->idle == b->idle && a->poll_interval == b->poll_interval &&
           a->idle_refresh == b->idle_refresh && a->max_connections == b->max_connections;
}

void collect_account_free(struct collect_account *account)
{
    if (!account)
        return;
    struct collect_account_copy *copy = (struct collect_account_copy *)account;
    net_tls_unref(account->tls);
    token_keeper_unref(account->tokens);
    mem_wipe(copy->memory, copy->size);
    free(copy);
}

void collect_report_release(struct collect_report *report)
{
    free(report->err);
    free(report->check);
    *report = (struct collect_report){0};
}

/* conf/file.h: one configuration file while it is read, and what is said about it. Internal. */
#ifndef CONF_FILE_H
#define CONF_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "conf/pool.h"
#include "conf/report.h"

struct conf_secrets;
struct conf_yaml;

struct conf_file {
    char *path;      /* as given */
    char *shown;     /* escaped, for messages */
    char *directory; /* where relative paths in it start: with a "/" at its end, or "" */
    unsigned order;  /* 0: comes first in the report */
    struct buf content;
    unsigned mode;                        /* permissions; 0 when they say nothing (a pipe) */
    const struct conf_yaml *first_secret; /* a secret that stands in the file itself */
    struct conf_report *report;
    struct conf_pool *pool; /* of the configuration */
    struct conf_secrets *secrets;
};

/* `path` is copied. */
void conf_file_init(struct conf_file *file, const char *path, unsigned order);
/* What is left of the content is wiped. */
void conf_file_release(struct conf_file *file);
/* Reads the content and checks it. Returns -1, reported, when it cannot be read or is too large. */
int conf_file_read(struct conf_file *file);
/* Takes a byte order mark off the content. Returns -1, reported, when it is not UTF-8 text. */
int conf_file_check(struct conf_file *file);
/* A path of the file's text, made one that can be opened: relative ones start at the file's
 * directory, "~/" is the home directory, "${NAME}" what the environment has of that name. The
 * caller frees it; NULL: reported at `at`, it has nothing. */
char *conf_file_resolve(const struct conf_file *file, const struct conf_yaml *at, const char *path);
/* Secrets that stand in a file which everyone can read are worth a warning. */
void conf_file_check_mode(struct conf_file *file);

/* "path:line:column: text"; `at` NULL is the file as a whole. */
void conf_file_error(const struct conf_file *file, const struct conf_yaml *at, const char *format,
                     ...) __attribute__((format(printf, 3, 4)));
void conf_file_warning(const struct conf_file *file, const struct conf_yaml *at, const char *format,
                       ...) __attribute__((format(printf, 3, 4)));
void conf_file_error_at(const struct conf_file *file, unsigned line, unsigned column,
                        const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif

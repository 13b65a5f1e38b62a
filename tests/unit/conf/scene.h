/* A directory of its own to load configurations from, and what came of it as text.
 *
 * The feed's file is "f.yml", the mailboxes' "m.yml", both 0600. Every secret in the tests has
 * "hunter2" in it: scene_load() fails when a problem repeats it. */
#ifndef TESTS_CONF_SCENE_H
#define TESTS_CONF_SCENE_H

#include <stdbool.h>
#include <stddef.h>

#include "conf/conf.h"

/* cmocka's setup and teardown of a group. */
int scene_setup(void **state);
int scene_teardown(void **state);

void scene_write(const char *name, const void *content, size_t len, unsigned mode);
void scene_write_text(const char *name, const char *text);
void scene_remove(const char *name);
/* Runs conf_load() over the files that are there: first the problems, a line each, warnings after
 * "warning: "; then, unless there are errors, what was loaded. free() it. */
char *scene_load(const char *feed, const char *mailboxes, bool delete_after);
/* The same over these texts; NULL stands for a file without fault, of which nothing is shown. */
char *scene_load_texts(const char *feed, const char *mailboxes);
/* What was loaded, as scene_load() shows it. free() it. */
char *scene_show(const struct conf *conf);

/* Fails, and says which case it is, when the texts differ. */
void scene_expect(const char *what, const char *got, const char *expected);

#endif

/* base/mem.h: allocation that cannot fail.
 *
 * Out of memory aborts. Hostile input never gets that far, because every parser and queue has a
 * limit of its own, and after an abort nothing is lost: the mailbox is the queue. All memory is
 * released with free(). */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

void *mem_alloc(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_zalloc(size_t size) __attribute__((malloc, returns_nonnull));
/* count * size is checked for overflow. */
void *mem_realloc_array(void *ptr, size_t count, size_t size) __attribute__((returns_nonnull));
/* NULL gives NULL. */
char *mem_strdup(const char *text);
/* `len` bytes and a NUL behind them. */
char *mem_strndup(const char *text, size_t len) __attribute__((malloc, returns_nonnull));
char *mem_printf(const char *format, ...) __attribute__((format(printf, 1, 2), returns_nonnull));

/* For who passes large pieces on, one after the other: pieces of up to 16 MiB and 32 MiB of free
 * memory are kept. Else each piece goes back to the kernel when it is freed, and comes with a page
 * fault for each 4 kB again. Call it first of all. */
void mem_keep_large(void);

/* Overwrites what a compiler may not drop as dead: for secrets, before free(). */
void mem_wipe(void *ptr, size_t len);
/* mem_wipe() over the string, then free(). NULL does nothing. */
void mem_free_secret(char *secret);

/* free() that wipes all of the allocation first: for libraries that take an allocator and would
 * leave secrets behind. NULL does nothing. */
void mem_free_wiped(void *ptr);

/* A zeroed struct: struct x *x = mem_new(struct x); */
#define mem_new(type) ((type *)mem_zalloc(sizeof(type)))

#endif

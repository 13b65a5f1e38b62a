#include "scratch.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

void scratch_make(struct scratch *scratch)
{
    /* In memory, where there is such a place: no test waits for a disk, and none needs one. */
    const char *parent = access("/dev/shm", R_OK | W_OK | X_OK) == 0 ? "/dev/shm" : "/tmp";
    char *dir = mem_printf("%s/imap-collector-test-XXXXXX", parent);
    assert_non_null(mkdtemp(dir));
    char *real = realpath(dir, NULL);
    assert_non_null(real);
    snprintf(scratch->dir, sizeof scratch->dir, "%s", real);
    free(real);
    free(dir);
    snprintf(scratch->path, sizeof scratch->path, "%s/state.db", scratch->dir);
}

static int scratch_remove_one(const char *path, const struct stat *status, int type,
                              struct FTW *ftw)
{
    (void)status;
    (void)type;
    (void)ftw;
    return remove(path);
}

void scratch_remove(struct scratch *scratch)
{
    assert_int_equal(nftw(scratch->dir, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

uint8_t *scratch_read(const char *path, size_t *ret_len)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    struct stat status;
    assert_int_equal(fstat(fileno(file), &status), 0);
    uint8_t *data = mem_alloc((size_t)status.st_size);
    *ret_len = fread(data, 1, (size_t)status.st_size, file);
    assert_int_equal(*ret_len, status.st_size);
    fclose(file);
    return data;
}

void scratch_write(const char *path, const void *data, size_t len)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

void scratch_copy(const char *from, const char *to)
{
    size_t len;
    uint8_t *data = scratch_read(from, &len);
    scratch_write(to, data, len);
    free(data);
}

long scratch_size(const char *path, const char *suffix)
{
    char *whole = mem_printf("%s%s", path, suffix);
    struct stat status;
    int result = stat(whole, &status);
    free(whole);
    return result < 0 ? -1 : (long)status.st_size;
}

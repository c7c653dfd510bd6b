#include "host/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct entry {
    char *name;
    char *temp;
    bool named; /* `temp` has become `name` */
};

struct stamp_files {
    int dir;
    const char *path;
    struct entry *entry;
    size_t n;
    size_t size;
};

static enum stamp_err failed(const struct stamp_files *f, const char *verb,
                             const char *name, int code, struct stamp_error *err)
{
    const char *dir = strcmp(f->path, ".") == 0 ? "" : f->path;
    const char *slash = dir[0] == '\0' || name[0] == '\0' ? "" : "/";

    if (code == EEXIST) {
        return stamp_error_set(err, STAMP_E_EXISTS, code, "'%s%s%s' exists already", dir,
                               slash, name);
    }
    return stamp_error_set(err, STAMP_E_IO, code, "cannot %s '%s%s%s': %s", verb, dir,
                           slash, name, strerror(code));
}

/* The process whose temporary file this is, as new_entry() names it; 0 = it is none. */
static pid_t owner_of(const char *name)
{
    static const char tail[] = ".tmp";
    size_t len = strlen(name);
    const char *number;
    char *end;
    long pid;

    if (name[0] != '.' || len <= sizeof tail ||
        strcmp(name + len - (sizeof tail - 1), tail) != 0) {
        return 0;
    }
    number = name + len - (sizeof tail - 1);
    while (number > name && number[-1] >= '0' && number[-1] <= '9') {
        number--;
    }
    if (number == name || number[-1] != '.' || number[0] < '1' || number[0] > '9') {
        return 0;
    }
    pid = strtol(number, &end, 10);
    return strcmp(end, tail) == 0 && pid <= INT32_MAX ? (pid_t)pid : 0;
}

/* A process that was killed could not remove its files, and they hold private keys. */
static void sweep(int dir)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *e;

    if (d == NULL) {
        if (fd >= 0) {
            (void)close(fd);
        }
        return;
    }
    while ((e = readdir(d)) != NULL) {
        pid_t pid = owner_of(e->d_name);

        if (pid > 0 && kill(pid, 0) != 0 && errno == ESRCH) {
            (void)unlinkat(dir, e->d_name, 0);
        }
    }
    (void)closedir(d);
}

enum stamp_err stamp_files_new(const char *dir, struct stamp_files **out,
                               struct stamp_error *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    *out = NULL;
    if (fd < 0) {
        return stamp_error_set(err, STAMP_E_IO, errno, "cannot write to '%s': %s", dir,
                               strerror(errno));
    }
    *out = calloc(1, sizeof **out);
    if (*out == NULL) {
        (void)close(fd);
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    (*out)->dir = fd;
    (*out)->path = dir;
    sweep(fd);
    return STAMP_OK;
}

static struct entry *new_entry(struct stamp_files *f, const char *name)
{
    struct entry *e;

    if (f->n == f->size) {
        size_t size = f->size == 0 ? 64 : 2 * f->size;
        struct entry *more = reallocarray(f->entry, size, sizeof *more);

        if (more == NULL) {
            return NULL;
        }
        f->entry = more;
        f->size = size;
    }
    e = &f->entry[f->n];
    memset(e, 0, sizeof *e);
    e->name = strdup(name);
    if (e->name == NULL || asprintf(&e->temp, ".%s.%ld.tmp", name, (long)getpid()) < 0) {
        free(e->name);
        return NULL;
    }
    f->n++;
    return e;
}

static int write_all(int fd, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n == 0 ? ENOSPC : errno;
        }
        bytes += n;
        len -= (size_t)n;
    }
    return 0;
}

enum stamp_err stamp_files_add(struct stamp_files *f, const char *name, const void *bytes,
                               size_t len, mode_t mode, struct stamp_error *err)
{
    struct entry *e;
    int code;
    int fd;

    if (faccessat(f->dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        return failed(f, "write", name, EEXIST, err); /* early; the rename decides */
    }
    e = new_entry(f, name);
    if (e == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    (void)unlinkat(f->dir, e->temp, 0); /* left by a dead process of our number */
    fd = openat(f->dir, e->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return failed(f, "write", name, errno, err);
    }
    code = write_all(fd, bytes, len);
    if (code == 0 && fchmod(fd, mode) != 0) {
        code = errno;
    }
    if (close(fd) != 0 && code == 0) {
        code = errno;
    }
    return code == 0 ? STAMP_OK : failed(f, "write", name, code, err);
}

/* One wait for the disk. A single file is synced alone, not with all of its disk. */
static int sync_entries(const struct stamp_files *f)
{
    int code = 0;
    int fd;

    if (f->n != 1) {
        return syncfs(f->dir) == 0 ? 0 : errno;
    }
    fd = openat(f->dir, f->entry[0].temp, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return errno;
    }
    if (fsync(fd) != 0) {
        code = errno;
    }
    (void)close(fd);
    return code;
}

static int take_name(const struct stamp_files *f, struct entry *e)
{
    if (renameat2(f->dir, e->temp, f->dir, e->name, RENAME_NOREPLACE) == 0) {
        e->named = true;
        return 0;
    }
    if (errno != EINVAL && errno != ENOSYS) {
        return errno;
    }
    /* a file system that cannot rename without replacing */
    if (linkat(f->dir, e->temp, f->dir, e->name, 0) != 0) {
        return errno;
    }
    (void)unlinkat(f->dir, e->temp, 0);
    e->named = true;
    return 0;
}

enum stamp_err stamp_files_commit(struct stamp_files *f, struct stamp_error *err)
{
    int code = f->n == 0 ? 0 : sync_entries(f);

    if (code != 0) {
        stamp_files_remove(f);
        return failed(f, "sync the directory", "", code, err);
    }
    for (size_t i = 0; i < f->n; i++) {
        code = take_name(f, &f->entry[i]);
        if (code != 0) {
            enum stamp_err rc = failed(f, "write", f->entry[i].name, code, err);

            stamp_files_remove(f);
            return rc;
        }
    }
    if (fsync(f->dir) != 0 && errno != EINVAL) {
        enum stamp_err rc = failed(f, "sync the directory", "", errno, err);

        stamp_files_remove(f);
        return rc;
    }
    for (size_t i = 0; i < f->n; i++) {
        free(f->entry[i].temp);
        f->entry[i].temp = NULL; /* committed: stamp_files_free() keeps it */
    }
    return STAMP_OK;
}

void stamp_files_remove(struct stamp_files *f)
{
    for (size_t i = 0; i < f->n; i++) {
        struct entry *e = &f->entry[i];

        (void)unlinkat(f->dir, e->named ? e->name : e->temp, 0);
        free(e->name);
        free(e->temp);
    }
    f->n = 0;
}

void stamp_files_free(struct stamp_files **p)
{
    struct stamp_files *f = *p;

    if (f == NULL) {
        return;
    }
    for (size_t i = 0; i < f->n; i++) {
        struct entry *e = &f->entry[i];

        if (e->temp != NULL) {
            (void)unlinkat(f->dir, e->named ? e->name : e->temp, 0);
        }
        free(e->name);
        free(e->temp);
    }
    (void)close(f->dir);
    free(f->entry);
    free(f);
    *p = NULL;
}

#include "host/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMP_TRIES 16

/* Where the bytes go before they take their name. */
struct target {
    const char *path;
    char dir[PATH_MAX];  /* the directory that holds both */
    char temp[PATH_MAX]; /* "" = none was made */
    int fd;
};

static enum stamp_err failed(const char *verb, const char *path, int code,
                             struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_IO, code, "cannot %s '%s': %s", verb, path,
                           strerror(code));
}

static enum stamp_err exists(const char *path, struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_EXISTS, EEXIST, "'%s' exists already", path);
}

static enum stamp_err split(struct target *t, const char *path, struct stamp_error *err)
{
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - path) + 1;

    if (path[len] == '\0') {
        return failed("write", path, EISDIR, err);
    }
    /* ".", NAME, ".", 8 digits, ".tmp" and a NUL */
    if (strlen(path) + 15 > sizeof t->temp) {
        return failed("write", path, ENAMETOOLONG, err);
    }
    t->path = path;
    t->fd = -1;
    t->temp[0] = '\0';
    if (len == 0) {
        memcpy(t->dir, "./", 3);
    } else {
        memcpy(t->dir, path, len);
        t->dir[len] = '\0';
    }
    return STAMP_OK;
}

/* What stands under the name already; a device or a pipe must not be replaced by a file.
 */
static enum stamp_err check_old(const char *path, bool overwrite, struct stamp_error *err)
{
    struct stat st;

    if (lstat(path, &st) != 0) {
        return errno == ENOENT ? STAMP_OK : failed("write", path, errno, err);
    }
    if (S_ISDIR(st.st_mode)) {
        return failed("write", path, EISDIR, err);
    }
    if (!overwrite) {
        return exists(path, err);
    }
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode)) {
        return stamp_error_set(err, STAMP_E_IO, EINVAL,
                               "cannot write '%s': it is not a regular file", path);
    }
    return STAMP_OK;
}

static enum stamp_err open_temp(struct target *t, struct stamp_error *err)
{
    const char *slash = strrchr(t->path, '/');
    const char *name = slash == NULL ? t->path : slash + 1;

    for (int i = 0; i < TEMP_TRIES; i++) {
        uint32_t tag;
        int n;

        if (RAND_bytes((unsigned char *)&tag, sizeof tag) != 1) {
            return stamp_error_set(err, STAMP_E_CRYPTO, 0, "the random generator failed");
        }
        n = snprintf(t->temp, sizeof t->temp, "%s.%s.%08x.tmp", t->dir, name, tag);
        if (n < 0 || (size_t)n >= sizeof t->temp) {
            t->temp[0] = '\0';
            return failed("write", t->path, ENAMETOOLONG, err);
        }
        t->fd = open(t->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (t->fd >= 0) {
            return STAMP_OK;
        }
        if (errno != EEXIST) {
            break;
        }
    }
    t->temp[0] = '\0';
    return failed("write", t->path, errno, err);
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

/* Fill the temporary file and close it; some file systems report a full disk only at the
 * close. */
static int fill_temp(struct target *t, const void *bytes, size_t len, mode_t mode)
{
    int code = write_all(t->fd, bytes, len);

    if (code == 0 && (fchmod(t->fd, mode) != 0 || fsync(t->fd) != 0)) {
        code = errno;
    }
    if (close(t->fd) != 0 && code == 0) {
        code = errno;
    }
    t->fd = -1;
    return code;
}

/* The temporary file takes the name. Without `overwrite` the name must still be free. */
static int take_name(struct target *t, bool overwrite)
{
    if (!overwrite) {
        /* Some file systems cannot rename without replacing; all but FAT can link. */
        if (renameat2(AT_FDCWD, t->temp, AT_FDCWD, t->path, RENAME_NOREPLACE) == 0) {
            t->temp[0] = '\0';
            return 0;
        }
        if (errno != EINVAL && errno != ENOSYS) {
            return errno;
        }
        return link(t->temp, t->path) == 0 ? 0 : errno;
    }
    if (rename(t->temp, t->path) != 0) {
        return errno;
    }
    t->temp[0] = '\0';
    return 0;
}

/* The name itself is durable only when its directory is. */
static int sync_dir(const char *dir)
{
    int code = 0;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        /* A directory that may be written but not read cannot be synced by us. */
        return errno == EACCES ? 0 : errno;
    }
    if (fsync(fd) != 0 && errno != EINVAL) {
        code = errno;
    }
    (void)close(fd);
    return code;
}

enum stamp_err stamp_file_write(const char *path, const void *bytes, size_t len,
                                mode_t mode, bool overwrite, struct stamp_error *err)
{
    struct target t;
    int code;
    enum stamp_err rc = split(&t, path, err);

    if (rc == STAMP_OK) {
        rc = check_old(path, overwrite, err);
    }
    if (rc == STAMP_OK) {
        rc = open_temp(&t, err);
    }
    if (rc != STAMP_OK) {
        stamp_error_state(err, "nothing was written");
        return rc;
    }
    code = fill_temp(&t, bytes, len, mode);
    if (code == 0) {
        code = take_name(&t, overwrite);
    }
    if (t.temp[0] != '\0') {
        (void)unlink(t.temp);
    }
    if (code != 0) {
        rc = code == EEXIST ? exists(path, err) : failed("write", path, code, err);
        stamp_error_state(err, "nothing was written");
        return rc;
    }
    code = sync_dir(t.dir);
    return code == 0 ? STAMP_OK : failed("sync the directory of", path, code, err);
}

/* Read until the end of `fd` or until one byte more than `max`; the caller wipes and
 * frees. */
static enum stamp_err read_all(int fd, const char *path, size_t max, uint8_t **buf,
                               size_t *size, size_t *len, struct stamp_error *err)
{
    struct stat st;

    if (fstat(fd, &st) != 0) {
        return failed("read", path, errno, err);
    }
    if (S_ISREG(st.st_mode) && (uintmax_t)st.st_size > max) {
        return stamp_error_set(err, STAMP_E_SPACE, 0, "'%s' is longer than %zu bytes",
                               path, max);
    }
    /* A pipe has no size: room for all that is allowed, and no moves that would leave
     * copies. */
    *size = S_ISREG(st.st_mode) ? (size_t)st.st_size + 2 : max + 2;
    *buf = calloc(1, *size);
    if (*buf == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    for (;;) {
        ssize_t n = read(fd, *buf + *len, *size - 1 - *len);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return failed("read", path, errno, err);
        }
        if (n == 0) {
            break;
        }
        *len += (size_t)n;
        if (*len == *size - 1) {
            /* More than fstat() said: the file grew under our hands, or it is too long.
             */
            return stamp_error_set(err, STAMP_E_SPACE, 0, "'%s' is longer than %zu bytes",
                                   path, *size - 2);
        }
    }
    (*buf)[*len] = '\0';
    return STAMP_OK;
}

static enum stamp_err read_path(const char *path, size_t max, bool secret, uint8_t **buf,
                                size_t *size, size_t *len, struct stamp_error *err)
{
    enum stamp_err rc;
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    *buf = NULL;
    *size = 0;
    *len = 0;
    if (fd < 0) {
        return failed("read", path, errno, err);
    }
    if (secret && (fstat(fd, &st) != 0 || (st.st_mode & 077) != 0)) {
        rc = stamp_error_set(err, STAMP_E_IO, EACCES,
                             "'%s' holds a secret that other users may read", path);
        stamp_error_hint(err, "chmod 600 '%s'", path);
    } else {
        rc = read_all(fd, path, max, buf, size, len, err);
    }
    (void)close(fd);
    if (rc != STAMP_OK) {
        if (*buf != NULL) {
            OPENSSL_cleanse(*buf, *size);
        }
        free(*buf);
        *buf = NULL;
        *len = 0;
    }
    return rc;
}

enum stamp_err stamp_file_read(const char *path, size_t max, uint8_t **buf, size_t *len,
                               struct stamp_error *err)
{
    size_t size;

    return read_path(path, max, false, buf, &size, len, err);
}

enum stamp_err stamp_file_read_secret(const char *path, size_t max,
                                      struct stamp_secret **out, struct stamp_error *err)
{
    uint8_t *buf;
    size_t size;
    size_t len;
    enum stamp_err rc = read_path(path, max, true, &buf, &size, &len, err);

    *out = NULL;
    if (rc != STAMP_OK) {
        return rc;
    }
    rc = stamp_secret_new(out, buf, len, err);
    OPENSSL_cleanse(buf, size);
    free(buf);
    return rc;
}

/* ---- mapped ---- */

enum stamp_err stamp_file_map(const char *path, struct stamp_slice *out,
                              struct stamp_error *err)
{
    struct stat st;
    void *map = MAP_FAILED;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    const char *why = fd < 0 ? strerror(errno) : "it is empty";

    *out = (struct stamp_slice){NULL, 0};
    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0) {
        map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        why = strerror(errno);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    if (map == MAP_FAILED) {
        return stamp_error_set(err, STAMP_E_IO, errno, "cannot read '%s': %s", path, why);
    }
    *out = (struct stamp_slice){map, (size_t)st.st_size};
    return STAMP_OK;
}

void stamp_file_unmap(struct stamp_slice *file)
{
    if (file->p != NULL) {
        (void)munmap((void *)(uintptr_t)file->p, file->len);
        *file = (struct stamp_slice){NULL, 0};
    }
}

#include "host/registry_backup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/registry_own.h"

#define PART ".part" /* behind the name of what is not whole yet */

extern char **environ;

static const char only_ours[] = "--schema=" STAMPI_PG_SCHEMA;

static enum stamp_err io_failed(const char *verb, const char *path,
                                struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_IO, errno, "cannot %s '%s': %s", verb, path,
                           strerror(errno));
}

/* ---- files that get their name once they are whole ---- */

static enum stamp_err begin_part(const char *path, char part[PATH_MAX],
                                 struct stamp_error *err)
{
    int fd;

    if (access(path, F_OK) == 0) {
        return stamp_error_set(err, STAMP_E_EXISTS, EEXIST, "'%s' exists already", path);
    }
    if (snprintf(part, PATH_MAX, "%s" PART, path) >= PATH_MAX) {
        return stamp_error_set(err, STAMP_E_RANGE, 0, "the path is too long");
    }
    fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return io_failed("make", part, err);
    }
    (void)close(fd);
    return STAMP_OK;
}

static bool sync_file(const char *path, int flags)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | flags);
    bool ok = fd >= 0 && fsync(fd) == 0;

    if (fd >= 0) {
        (void)close(fd);
    }
    return ok;
}

static bool sync_folder(const char *path)
{
    char *folder = strdup(path);
    char *slash = folder == NULL ? NULL : strrchr(folder, '/');
    bool ok = folder != NULL;

    if (slash != NULL) {
        slash[slash == folder ? 1 : 0] = '\0';
    }
    ok = ok && sync_file(slash == NULL ? "." : folder, O_DIRECTORY);
    free(folder);
    return ok;
}

/* @param rc  how it went so far: what is not whole goes away */
static enum stamp_err end_part(const char *path, const char *part, enum stamp_err rc,
                               struct stamp_error *err)
{
    if (rc == STAMP_OK && !sync_file(part, 0)) {
        rc = io_failed("force to the disk", part, err);
    }
    if (rc == STAMP_OK &&
        renameat2(AT_FDCWD, part, AT_FDCWD, path, RENAME_NOREPLACE) != 0) {
        rc = errno == EEXIST ? stamp_error_set(err, STAMP_E_EXISTS, errno,
                                               "'%s' exists already", path)
                             : io_failed("make", path, err);
    }
    if (rc != STAMP_OK) {
        (void)unlink(part);
        return rc;
    }
    return sync_folder(path) ? STAMP_OK : io_failed("force to the disk", path, err);
}

/* ---- PostgreSQL's own programs ---- */

/* What they say goes to standard error, as it is. */
static enum stamp_err run_tool(const char *const *argv, struct stamp_error *err)
{
    pid_t pid;
    int status = 0;
    int rc =
        posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *)(uintptr_t)argv, environ);

    if (rc != 0) {
        stamp_error_hint(err, "it comes with PostgreSQL's client");
        return stamp_error_set(err, rc == ENOENT ? STAMP_E_MISSING : STAMP_E_IO, rc,
                               "cannot run %s: %s", argv[0], strerror(rc));
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0
               ? STAMP_OK
               : stamp_error_set(err, STAMP_E_DATABASE, status, "%s failed", argv[0]);
}

/* ---- backup ---- */

static enum stamp_err dump(const char *url, const char *part, struct stamp_error *err)
{
    const char *const argv[] = {"pg_dump", "--format=custom", only_ours, "--file",
                                part,      "--dbname",        url,       NULL};

    return run_tool(argv, err);
}

enum stamp_err stamp_registry_backup(const char *where, const char *path,
                                     struct stamp_error *err)
{
    char part[PATH_MAX];
    enum stamp_err rc = begin_part(path, part, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    rc = stamp_registry_is_url(where) ? dump(where, part, err)
                                      : stampi_sqlite_backup(where, part, err);
    return end_part(path, part, rc, err);
}

/* ---- restore ---- */

enum kind { NO_BACKUP, OF_SQLITE, OF_POSTGRES };

static enum stamp_err look(const char *path, enum kind *kind, struct stamp_error *err)
{
    char head[16] = "";
    FILE *f = fopen(path, "rbe");

    *kind = NO_BACKUP;
    if (f == NULL) {
        return io_failed("read", path, err);
    }
    if (fread(head, 1, sizeof head, f) == sizeof head) {
        *kind = memcmp(head, "SQLite format 3", sizeof head) == 0 ? OF_SQLITE
                : memcmp(head, "PGDMP", 5) == 0                   ? OF_POSTGRES
                                                                  : NO_BACKUP;
    }
    (void)fclose(f);
    return STAMP_OK;
}

static enum stamp_err copy(const char *from, const char *to, struct stamp_error *err)
{
    char bytes[65536];
    FILE *in = fopen(from, "rbe");
    FILE *out = fopen(to, "wbe");
    enum stamp_err rc = STAMP_OK;
    size_t n;

    if (in == NULL || out == NULL) {
        rc = io_failed(in == NULL ? "read" : "write", in == NULL ? from : to, err);
    }
    while (rc == STAMP_OK && (n = fread(bytes, 1, sizeof bytes, in)) > 0) {
        if (fwrite(bytes, 1, n, out) != n) {
            rc = io_failed("write", to, err);
        }
    }
    if (rc == STAMP_OK && ferror(in) != 0) {
        rc = io_failed("read", from, err);
    }
    if (in != NULL) {
        (void)fclose(in);
    }
    if (out != NULL && fclose(out) != 0 && rc == STAMP_OK) {
        rc = io_failed("write", to, err);
    }
    return rc;
}

static enum stamp_err restore_file(const char *path, const char *to,
                                   struct stamp_error *err)
{
    char part[PATH_MAX];
    enum stamp_err rc = begin_part(to, part, err);

    return rc == STAMP_OK ? end_part(to, part, copy(path, part, err), err) : rc;
}

/* In one transaction, into a database without books. */
static enum stamp_err restore_database(const char *path, const char *url,
                                       struct stamp_error *err)
{
    const char *const argv[] = {"pg_restore",
                                "--single-transaction",
                                "--exit-on-error",
                                "--no-owner",
                                "--dbname",
                                url,
                                path,
                                NULL};
    struct stampi_db *db = NULL;
    int64_t version = 0;
    enum stamp_err rc = stampi_pg_open(url, &db, err);

    if (rc == STAMP_OK) {
        rc = db->ops->version(db, false, &version, err);
    }
    if (db != NULL) {
        db->ops->close(&db);
    }
    if (rc == STAMP_OK && version != 0) {
        rc = stamp_error_set(err, STAMP_E_EXISTS, 0,
                             "there is a registry in this database already");
    }
    return rc == STAMP_OK ? run_tool(argv, err) : rc;
}

/* Are they books, of a version that is known? */
static enum stamp_err try_books(const char *to, struct stamp_error *err)
{
    STAMP_REGISTRY_AUTO *r = NULL;

    return stamp_registry_open(to, &r, err);
}

enum stamp_err stamp_registry_restore(const char *path, const char *to,
                                      struct stamp_error *err)
{
    bool url = stamp_registry_is_url(to);
    enum kind kind;
    enum stamp_err rc = look(path, &kind, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    if (kind == NO_BACKUP || (kind == OF_POSTGRES) != url) {
        return stamp_error_set(
            err, STAMP_E_FORMAT, 0,
            kind == NO_BACKUP ? "'%s' is no backup of a registry"
            : url             ? "'%s' is a backup of a file, and not of PostgreSQL"
                  : "'%s' is a backup of PostgreSQL: restore it to postgres://...",
            path);
    }
    rc = url ? restore_database(path, to, err) : restore_file(path, to, err);
    if (rc != STAMP_OK) {
        return rc;
    }
    rc = try_books(to, err);
    if (rc != STAMP_OK && !url) {
        stampi_sqlite_remove(to);
    }
    return rc;
}

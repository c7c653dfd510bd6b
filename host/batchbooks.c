/* Books of a batch file: opened, asked, and who writes in them. SPEC 12.1. */
#include "host/batchbooks.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/batchbooks_own.h"

static void default_author(struct stamp_books *b)
{
    const struct passwd *user = getpwuid(getuid());

    (void)snprintf(b->who, sizeof b->who, "%s", user == NULL ? "" : user->pw_name);
    if (gethostname(b->where, sizeof b->where) != 0) {
        b->where[0] = '\0';
    }
    b->where[sizeof b->where - 1] = '\0';
}

void stamp_books_author(struct stamp_books *b, const char *who, const char *where)
{
    if (who != NULL) {
        (void)snprintf(b->who, sizeof b->who, "%s", who);
    }
    if (where != NULL) {
        (void)snprintf(b->where, sizeof b->where, "%s", where);
    }
}

/* The journal key is in it: what others may read or write is no one's signature. */
static enum stamp_err check_file(const char *path, struct stamp_error *err)
{
    struct stat st;

    if (lstat(path, &st) != 0) {
        if (errno == ENOENT) {
            (void)stamp_error_set(err, STAMP_E_MISSING, errno, "there are no books '%s'",
                                  path);
            stamp_error_hint(err, "stamp batch next makes them");
            return STAMP_E_MISSING;
        }
        return stamp_error_set(err, STAMP_E_IO, errno, "cannot open '%s': %s", path,
                               strerror(errno));
    }
    if (!S_ISREG(st.st_mode)) {
        return stamp_error_set(err, STAMP_E_IO, 0, "'%s' is not a regular file", path);
    }
    if ((st.st_mode & 077) != 0) {
        (void)stamp_error_set(err, STAMP_E_IO, EACCES,
                              "others may read or write '%s', which holds a key", path);
        stamp_error_hint(err, "chmod 600 the file");
        return STAMP_E_IO;
    }
    /* SQLite would open it all the same, to read, and fail later. */
    if (access(path, W_OK) != 0) {
        (void)stamp_error_set(err, STAMP_E_IO, errno, "cannot write '%s': %s", path,
                              strerror(errno));
        stamp_error_hint(err, "books and batch file go where both can be written");
        return STAMP_E_IO;
    }
    return STAMP_OK;
}

static enum stamp_err open_books(struct stamp_books *b, bool make,
                                 struct stamp_error *err)
{
    struct stampi_books_head head;
    struct stamp_error why = STAMP_ERROR_INIT;
    enum stamp_err rc = check_file(b->path, make ? &why : err);

    if (rc == STAMP_E_MISSING && make) {
        rc = stampi_books_make(b, err);
        if (rc == STAMP_OK) {
            rc = check_file(b->path, err);
        }
    } else if (rc != STAMP_OK && make) {
        (void)stamp_error_set(err, rc, why.native, "%s", why.what);
        stamp_error_hint(err, "%s", why.hint);
    }
    if (rc == STAMP_OK) {
        rc = stampi_books_connect(b, b->path, SQLITE_OPEN_READWRITE, err);
    }
    return rc == STAMP_OK ? stampi_books_head(b, &head, err) : rc;
}

static struct stamp_books *new_books(const char *path, struct stamp_batch *batch)
{
    struct stamp_books *b = calloc(1, sizeof *b);
    size_t size = strlen(path) + sizeof STAMP_BOOKS_SUFFIX;

    if (b != NULL) {
        b->batch = batch;
        b->path = malloc(size);
        if (b->path == NULL) {
            free(b);
            return NULL;
        }
        (void)snprintf(b->path, size, "%s" STAMP_BOOKS_SUFFIX, path);
        default_author(b);
    }
    return b;
}

enum stamp_err stamp_books_open(const char *path, struct stamp_batch *batch, bool make,
                                struct stamp_books **out, struct stamp_error *err)
{
    struct stamp_books *b = new_books(path, batch);
    enum stamp_err rc;

    *out = NULL;
    if (b == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    rc = open_books(b, make, err);
    if (rc != STAMP_OK) {
        stamp_books_free(&b);
    }
    *out = b;
    return rc;
}

void stamp_books_free(struct stamp_books **p)
{
    struct stamp_books *b = *p;

    if (b == NULL) {
        return;
    }
    for (size_t i = 0; i < STAMPI_BOOKS_SQL_COUNT; i++) {
        (void)sqlite3_finalize(b->statement[i]);
    }
    (void)sqlite3_close(b->db);
    free(b->path);
    free(b);
    *p = NULL;
}

enum stamp_err stamp_books_state(struct stamp_books *b, struct stamp_books_state *out,
                                 struct stamp_error *err)
{
    struct stampi_books_head head;
    sqlite3_stmt *s = NULL;
    enum stamp_err rc = stampi_books_head(b, &head, err);

    *out = head.state;
    if (rc == STAMP_OK) {
        s = stampi_books_sql(b, STAMPI_BOOKS_RESULTS, err);
        rc = s == NULL ? STAMP_E_DATABASE : stampi_books_row(b, s, err);
    }
    out->due = out->results + 1;
    if (rc == STAMP_OK && sqlite3_column_int64(s, 1) == out->events) {
        out->due = out->results; /* nothing happened since */
    }
    (void)sqlite3_reset(s);
    return rc == STAMP_E_MISSING ? STAMP_OK : rc;
}

enum stamp_err stamp_books_list(struct stamp_books *b, enum stamp_books_result result,
                                uint32_t from, struct stamp_books_line *lines, size_t max,
                                size_t *n, struct stamp_error *err)
{
    struct stamp_batch_entry entry;
    sqlite3_stmt *s = stampi_books_sql(b, STAMPI_BOOKS_LIST, err);
    enum stamp_err rc = s == NULL ? STAMP_E_DATABASE : STAMP_OK;

    *n = 0;
    if (rc == STAMP_OK) {
        (void)sqlite3_bind_int(s, 1, (int)result);
        (void)sqlite3_bind_int64(s, 2, from);
        (void)sqlite3_bind_int64(s, 3, (sqlite3_int64)max);
    }
    while (rc == STAMP_OK && *n < max) {
        rc = stampi_books_row(b, s, err);
        if (rc == STAMP_OK) {
            stampi_books_take_line(s, &lines[*n]);
            rc = stamp_batch_entry(b->batch, lines[*n].index, &entry, err);
        }
        if (rc == STAMP_OK) {
            memcpy(lines[*n].serial, entry.serial, sizeof entry.serial);
            (*n)++;
        }
    }
    (void)sqlite3_reset(s);
    return rc == STAMP_E_MISSING ? STAMP_OK : rc;
}

/* ---- whom to trust ---- */

enum stamp_err stamp_books_pin(struct stamp_books *b, const X509 *anchor,
                               struct stamp_error *err)
{
    sqlite3_stmt *s = stampi_books_sql(b, STAMPI_BOOKS_ANCHOR, err);
    unsigned char *der = NULL;
    enum stamp_err rc = s == NULL ? STAMP_E_DATABASE : stampi_books_row(b, s, err);
    int len;

    if (rc != STAMP_OK || sqlite3_column_type(s, 0) != SQLITE_NULL) {
        (void)sqlite3_reset(s);
        return rc;
    }
    (void)sqlite3_reset(s);
    len = i2d_X509(anchor, &der);
    s = stampi_books_sql(b, STAMPI_BOOKS_ANCHOR_ADD, err);
    if (len <= 0 || s == NULL) {
        OPENSSL_free(der);
        return s == NULL ? STAMP_E_DATABASE
                         : stamp_openssl_failed(err, "cannot encode a certificate");
    }
    (void)sqlite3_bind_blob(s, 1, der, len, SQLITE_STATIC);
    rc = stampi_books_run(b, s, err);
    (void)sqlite3_clear_bindings(s);
    OPENSSL_free(der);
    return rc;
}

enum stamp_err stamp_books_anchor(const char *path, X509 **out, struct stamp_error *err)
{
    STAMP_BOOKS_AUTO *b = new_books(path, NULL);
    sqlite3_stmt *s = NULL;
    enum stamp_err rc;

    *out = NULL;
    if (b == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    rc = check_file(b->path, err);
    if (rc == STAMP_OK) {
        rc = stampi_books_connect(b, b->path, SQLITE_OPEN_READWRITE, err);
    }
    if (rc == STAMP_OK) {
        s = stampi_books_sql(b, STAMPI_BOOKS_ANCHOR, err);
        rc = s == NULL ? STAMP_E_DATABASE : stampi_books_row(b, s, err);
    }
    if (rc == STAMP_OK) {
        const unsigned char *p = sqlite3_column_blob(s, 0);

        *out = p == NULL ? NULL : d2i_X509(NULL, &p, sqlite3_column_bytes(s, 0));
        rc = *out == NULL ? STAMP_E_MISSING : STAMP_OK;
    }
    if (rc == STAMP_E_MISSING) {
        (void)stamp_error_set(err, rc, 0, "'%s' name nobody to trust", b->path);
    }
    return rc;
}

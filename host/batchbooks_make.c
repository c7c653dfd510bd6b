/*
 * New books: an id, a journal key, and the voucher by which headquarters knows that who
 * made them could open the batch file (SPEC 12-1, 12-3). They are made whole under
 * another name first: of several programs at once, one's books get the name.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/batchbooks_own.h"
#include "host/key.h"

static const char schema[] =
    "PRAGMA journal_mode = WAL;"
    "CREATE TABLE books (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT "
    "NULL, id BLOB NOT NULL, manifest BLOB NOT NULL, count INTEGER NOT NULL, voucher "
    "BLOB "
    "NOT NULL, voucher_signature BLOB NOT NULL, journal BLOB NOT NULL, anchor BLOB, next "
    "INTEGER NOT NULL DEFAULT 0 CHECK (next <= count), in_doubt INTEGER NOT NULL DEFAULT "
    "0 CHECK (in_doubt >= 0), struck INTEGER NOT NULL DEFAULT 0 CHECK (struck >= 0), "
    "scrapped INTEGER NOT NULL DEFAULT 0, events INTEGER NOT NULL DEFAULT 0, last_at "
    "INTEGER NOT NULL, closed_at INTEGER, results INTEGER NOT NULL DEFAULT 0, CHECK "
    "(next "
    "= in_doubt + struck + scrapped)) STRICT;"
    "CREATE TABLE handed (number INTEGER PRIMARY KEY, at INTEGER NOT NULL, result "
    "INTEGER "
    "NOT NULL, reported_at INTEGER, chip TEXT, who TEXT, place TEXT, reason TEXT) STRICT;"
    "CREATE INDEX handed_result ON handed (result, number);"
    "CREATE UNIQUE INDEX handed_chip ON handed (chip) WHERE chip IS NOT NULL;"
    "CREATE TABLE results (number INTEGER PRIMARY KEY, events INTEGER NOT NULL, made_at "
    "INTEGER NOT NULL, previous BLOB NOT NULL, digest BLOB NOT NULL, signature BLOB NOT "
    "NULL) STRICT;"
    "CREATE TRIGGER results_number AFTER INSERT ON results BEGIN UPDATE books SET "
    "results "
    "= NEW.number; END";

struct birth {
    uint8_t id[STAMP_BOOKS_ID_SIZE];
    uint8_t journal[STAMP_SCALAR_SIZE];
    uint8_t voucher[STAMPI_VOUCHER_MAX];
    size_t voucher_len;
    uint8_t signature[STAMP_SIG_SIZE];
    time_t at;
};

enum stamp_err stampi_books_manifest(const struct stamp_batch *batch,
                                     uint8_t digest[STAMP_BATCH_DIGEST_SIZE],
                                     struct stamp_error *err)
{
    struct stamp_slice cms = stamp_batch_manifest_cms(batch);

    return EVP_Digest(cms.p, cms.len, digest, NULL, EVP_sha256(), NULL) == 1
               ? STAMP_OK
               : stamp_openssl_failed(err, "cannot compute a digest");
}

/* SPEC 12-3. */
static enum stamp_err put_voucher(const struct stamp_batch_manifest *m,
                                  const uint8_t point[STAMP_POINT_SIZE], struct birth *n,
                                  struct stamp_error *err)
{
    struct stamp_cbor_out o;

    stamp_cbor_out_init(&o, n->voucher, sizeof n->voucher);
    stamp_cbor_put_head(&o, STAMP_CBOR_MAP, 5);
    stamp_cbor_put_head(&o, STAMP_CBOR_UINT, 1);
    stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, m->id, sizeof m->id);
    stamp_cbor_put_head(&o, STAMP_CBOR_UINT, 2);
    stamp_cbor_put_head(&o, STAMP_CBOR_UINT, m->volume);
    stamp_cbor_put_head(&o, STAMP_CBOR_UINT, 3);
    stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, n->id, sizeof n->id);
    stamp_cbor_put_head(&o, STAMP_CBOR_UINT, 4);
    stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, point, STAMP_POINT_SIZE);
    stamp_cbor_put_head(&o, STAMP_CBOR_UINT, 5);
    stamp_cbor_put_head(&o, STAMP_CBOR_UINT, (uint32_t)n->at);
    if (!stamp_cbor_out_ok(&o)) {
        STAMP_BUG("a voucher does not fit");
    }
    n->voucher_len = o.len;
    return n->at >= 0 && n->at <= (time_t)UINT32_MAX
               ? STAMP_OK
               : stamp_error_set(err, STAMP_E_RANGE, 0, "the clock is wrong");
}

/* Key and voucher. SPEC 12-1. */
static enum stamp_err draw(const struct stamp_batch *batch, struct birth *n,
                           struct stamp_error *err)
{
    STAMP_PKEY_AUTO *voucher = NULL;
    STAMP_PKEY_AUTO *journal = NULL;
    uint8_t point[STAMP_POINT_SIZE];
    enum stamp_err rc = stamp_batch_voucher(batch, &voucher, err);

    n->at = time(NULL);
    if (rc == STAMP_OK && RAND_bytes(n->id, sizeof n->id) != 1) {
        rc = stamp_openssl_failed(err, "no random bytes");
    }
    if (rc == STAMP_OK) {
        rc = stamp_key_generate(&journal, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_key_point(journal, point, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_key_scalar(journal, n->journal, err);
    }
    if (rc == STAMP_OK) {
        rc = put_voucher(stamp_batch_manifest(batch), point, n, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_sig_make(voucher, STAMP_LABEL_BOOKS, n->voucher, n->voucher_len,
                            n->signature, err);
    }
    return rc;
}

static enum stamp_err insert(struct stamp_books *b, const struct birth *n,
                             struct stamp_error *err)
{
    uint8_t manifest[STAMP_BATCH_DIGEST_SIZE];
    sqlite3_stmt *s = stampi_books_sql(b, STAMPI_BOOKS_HEAD_ADD, err);
    enum stamp_err rc = stampi_books_manifest(b->batch, manifest, err);

    if (s == NULL || rc != STAMP_OK) {
        return s == NULL ? STAMP_E_DATABASE : rc;
    }
    (void)sqlite3_bind_blob(s, 1, n->id, sizeof n->id, SQLITE_STATIC);
    (void)sqlite3_bind_blob(s, 2, manifest, sizeof manifest, SQLITE_STATIC);
    (void)sqlite3_bind_int64(s, 3, stamp_batch_manifest(b->batch)->count);
    (void)sqlite3_bind_blob(s, 4, n->voucher, (int)n->voucher_len, SQLITE_STATIC);
    (void)sqlite3_bind_blob(s, 5, n->signature, sizeof n->signature, SQLITE_STATIC);
    (void)sqlite3_bind_blob(s, 6, n->journal, sizeof n->journal, SQLITE_STATIC);
    (void)sqlite3_bind_int64(s, 7, n->at);
    rc = stampi_books_run(b, s, err);
    (void)sqlite3_clear_bindings(s);
    return rc;
}

static enum stamp_err fill(struct stamp_books *b, const struct birth *n,
                           struct stamp_error *err)
{
    enum stamp_err rc;

    if (sqlite3_exec(b->db, schema, NULL, NULL, NULL) != SQLITE_OK) {
        return stampi_books_failed(b, "make", err);
    }
    rc = stampi_books_begin(b, err);
    return rc == STAMP_OK ? stampi_books_end(b, insert(b, n, err), err) : rc;
}

/* Closed, it is one file, and all of it is on the disk. */
static enum stamp_err fill_file(struct stamp_books *b, const char *temp,
                                const struct birth *n, struct stamp_error *err)
{
    struct stamp_books making = {.path = b->path, .batch = b->batch};
    enum stamp_err rc = stampi_books_connect(&making, temp, SQLITE_OPEN_READWRITE, err);

    if (rc == STAMP_OK) {
        rc = fill(&making, n, err);
    }
    for (size_t i = 0; i < STAMPI_BOOKS_SQL_COUNT; i++) {
        (void)sqlite3_finalize(making.statement[i]);
    }
    if (sqlite3_close(making.db) != SQLITE_OK) {
        STAMP_BUG("a database is in use");
    }
    return rc;
}

static int sync_path(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int code = fd < 0 || fsync(fd) != 0 ? errno : 0;

    if (fd >= 0) {
        (void)close(fd);
    }
    return code;
}

/* link() never replaces; whose books were first stay. */
static enum stamp_err name_it(const struct stamp_books *b, const char *temp,
                              struct stamp_error *err)
{
    char *copy = strdup(b->path);
    int code = copy == NULL ? ENOMEM : sync_path(temp);

    if (code == 0 && link(temp, b->path) != 0 && errno != EEXIST) {
        code = errno;
    }
    if (code == 0) {
        code = sync_path(dirname(copy));
        code = code == EINVAL || code == EACCES ? 0 : code;
    }
    free(copy);
    return code == 0 ? STAMP_OK
                     : stamp_error_set(err, STAMP_E_IO, code, "cannot make '%s': %s",
                                       b->path, strerror(code));
}

static void remove_temp(const char *temp)
{
    static const char *const tails[] = {"", "-wal", "-shm", "-journal"};
    char name[PATH_MAX + 16];

    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        (void)snprintf(name, sizeof name, "%s%s", temp, tails[i]);
        (void)unlink(name);
    }
}

enum stamp_err stampi_books_make(struct stamp_books *b, struct stamp_error *err)
{
    struct birth n = {.at = 0};
    char temp[PATH_MAX];
    int fd;
    enum stamp_err rc;

    if ((size_t)snprintf(temp, sizeof temp, "%s.XXXXXX.tmp", b->path) >= sizeof temp) {
        return stamp_error_set(err, STAMP_E_RANGE, 0, "the path is too long");
    }
    rc = draw(b->batch, &n, err);
    fd = rc == STAMP_OK ? mkostemps(temp, 4, O_CLOEXEC) : -1; /* mode 0600 */
    if (rc == STAMP_OK && fd < 0) {
        rc = stamp_error_set(err, STAMP_E_IO, errno, "cannot make '%s': %s", b->path,
                             strerror(errno));
    }
    if (fd >= 0) {
        (void)close(fd);
        rc = fill_file(b, temp, &n, err);
        if (rc == STAMP_OK) {
            rc = name_it(b, temp, err);
        }
        remove_temp(temp);
    }
    OPENSSL_cleanse(&n, sizeof n);
    return rc;
}

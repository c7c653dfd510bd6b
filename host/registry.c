#include "host/registry.h"

#include <errno.h>
#include <openssl/rand.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/registry_walk.h"

/* ---- values ---- */

struct stampi_value stampi_text(const char *text)
{
    return text == NULL ? (struct stampi_value){STAMPI_NULL, 0, NULL, 0}
                        : (struct stampi_value){STAMPI_TEXT, 0, text, strlen(text)};
}

struct stampi_value stampi_blob(const void *p, size_t len)
{
    return p == NULL ? (struct stampi_value){STAMPI_NULL, 0, NULL, 0}
                     : (struct stampi_value){STAMPI_BLOB, 0, p, len};
}

void stampi_get_text(const struct stampi_value *v, char *out, size_t size)
{
    size_t len = v->type == STAMPI_TEXT ? v->len : 0;

    len = len < size ? len : size - 1;
    if (len > 0) {
        memcpy(out, v->p, len);
    }
    out[len] = '\0';
}

void stampi_get_blob(const struct stampi_value *v, void *out, size_t size)
{
    if (v->type == STAMPI_BLOB && v->len == size) {
        memcpy(out, v->p, size);
    } else {
        memset(out, 0, size);
    }
}

enum stamp_err stampi_take_number(void *number, const struct stampi_value *v,
                                  struct stamp_error *err)
{
    int64_t *out = number;

    (void)err;
    *out = v[0].number;
    return STAMP_OK;
}

/* ---- transactions ---- */

enum stamp_err stampi_begin(struct stamp_registry *r, struct stamp_error *err)
{
    return r->db->ops->begin(r->db, err);
}

enum stamp_err stampi_finish(struct stamp_registry *r, enum stamp_err rc,
                             struct stamp_error *err)
{
    if (rc == STAMP_OK) {
        rc = stampi_leaves_write(r, err);
    }
    if (rc == STAMP_OK) {
        rc = r->db->ops->commit(r->db, err);
    }
    if (rc != STAMP_OK) {
        r->db->ops->rollback(r->db);
    }
    stampi_leaves_clear(r);
    return rc;
}

enum stamp_err stampi_count_on(struct stamp_registry *r, const char *name, uint64_t n,
                               int64_t *was, struct stamp_error *err)
{
    *was = 0;
    enum stamp_err rc = STAMPI_RUN(r, STAMPI_COUNTER_ADD, stampi_take_number, was, NULL,
                                   err, stampi_int((int64_t)n), stampi_text(name));

    return rc == STAMP_OK && *was < 1
               ? stamp_error_set(err, STAMP_E_DATABASE, 0,
                                 "the registry lacks its counter '%s'", name)
               : rc;
}

/* A prefix that no other block has: certificate serials are unique by construction. */
enum stamp_err stampi_new_block(struct stamp_registry *r, int64_t first, uint64_t n,
                                uint8_t prefix[STAMPI_PREFIX_LEN],
                                struct stamp_error *err)
{
    if (RAND_bytes(prefix, (int)STAMPI_PREFIX_LEN) != 1) {
        return stamp_error_set(err, STAMP_E_CRYPTO, 0, "the random generator failed");
    }
    prefix[0] = (uint8_t)((prefix[0] & 0x3Fu) | 0x40u); /* positive, of one length */
    return STAMPI_RUN(r, STAMPI_BLOCK_ADD, NULL, NULL, NULL, err,
                      stampi_blob(prefix, STAMPI_PREFIX_LEN), stampi_int(first),
                      stampi_int((int64_t)n));
}

void stamp_registry_certificate_serial(const uint8_t prefix[STAMPI_PREFIX_LEN],
                                       uint32_t index,
                                       uint8_t out[STAMP_CERTIFICATE_SERIAL_SIZE])
{
    memcpy(out, prefix, STAMPI_PREFIX_LEN);
    for (unsigned b = 0; b < 4; b++) {
        out[STAMPI_PREFIX_LEN + b] = (uint8_t)(index >> (24u - 8u * b));
    }
}

bool stampi_is_text(const char *text)
{
    return stamp_text_ok((const uint8_t *)text, strlen(text), false);
}

enum stamp_err stampi_check_text(const char *text, size_t max, const char *what,
                                 struct stamp_error *err)
{
    if (!stampi_is_text(text)) {
        return stamp_error_set(err, STAMP_E_RANGE, 0,
                               "the %s is not UTF-8 without control characters", what);
    }
    return strlen(text) <= max
               ? STAMP_OK
               : stamp_error_set(err, STAMP_E_RANGE, 0, "the %s is longer than %zu bytes",
                                 what, max);
}

/* ---- tallies ---- */

enum stamp_err stampi_tally(struct stampi_tally *t, uint32_t batch, int what, int64_t n,
                            struct stamp_error *err)
{
    for (size_t i = t->n; i > 0; i--) { /* mostly the last ones */
        if (t->cell[i - 1].batch == batch && t->cell[i - 1].what == what) {
            t->cell[i - 1].n += n;
            return STAMP_OK;
        }
    }
    if (t->n == t->room) {
        size_t room = t->room == 0 ? 8 : 2 * t->room;
        void *p = realloc(t->cell, room * sizeof *t->cell);

        if (p == NULL) {
            return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
        }
        t->cell = p;
        t->room = room;
    }
    t->cell[t->n].batch = batch;
    t->cell[t->n].what = what;
    t->cell[t->n].n = n;
    t->n++;
    return STAMP_OK;
}

/* In one order, so that two transactions never wait for each other's. */
static int by_cell(const void *a, const void *b)
{
    const struct stampi_cell *x = a;
    const struct stampi_cell *y = b;

    if (x->what != y->what) {
        return x->what < y->what ? -1 : 1;
    }
    return x->batch < y->batch ? -1 : x->batch > y->batch;
}

static enum stamp_err write_cell(struct stamp_registry *r, const struct stampi_cell *c,
                                 struct stamp_error *err)
{
    int64_t changed = 1;
    enum stamp_err rc = STAMP_OK;

    if (c->n > 0) {
        rc = STAMPI_RUN(r, STAMPI_TALLY_ADD, NULL, NULL, NULL, err, stampi_int(c->what),
                        stampi_int(c->batch), stampi_int(c->n));
    } else if (c->n < 0) {
        rc = STAMPI_RUN(r, STAMPI_TALLY_TAKE, NULL, NULL, &changed, err,
                        stampi_int(-c->n), stampi_int(c->what), stampi_int(c->batch));
    }
    return rc == STAMP_OK && changed != 1
               ? stamp_error_set(err, STAMP_E_DATABASE, 0,
                                 "the registry's tallies do not add up")
               : rc;
}

enum stamp_err stampi_tally_write(struct stamp_registry *r, struct stampi_tally *t,
                                  struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    if (t->n > 1) {
        qsort(t->cell, t->n, sizeof *t->cell, by_cell);
    }
    for (size_t i = 0; i < t->n && rc == STAMP_OK; i++) {
        rc = write_cell(r, &t->cell[i], err);
    }
    return rc;
}

void stampi_tally_free(struct stampi_tally *t)
{
    free(t->cell);
    memset(t, 0, sizeof *t);
}

/* ---- opening ---- */

bool stamp_registry_is_url(const char *where)
{
    return strncmp(where, "postgres://", 11) == 0 ||
           strncmp(where, "postgresql://", 13) == 0;
}

/* In a transaction. */
static enum stamp_err migrate(struct stampi_db *db, int64_t version,
                              struct stamp_error *err)
{
    enum stamp_err rc = db->ops->set_version(db, STAMPI_MIGRATIONS, err);

    for (int64_t i = version; rc == STAMP_OK && i < STAMPI_MIGRATIONS; i++) {
        const char *const *script = (*db->ops->migrations)[i];

        for (size_t k = 0; rc == STAMP_OK && k < STAMPI_SCRIPTS && script[k]; k++) {
            rc = db->ops->script(db, script[k], err);
        }
    }
    return rc;
}

static enum stamp_err check_version(int64_t version, struct stamp_error *err)
{
    if (version > STAMPI_MIGRATIONS) {
        (void)stamp_error_set(err, STAMP_E_VERSION, 0,
                              "the registry is of a newer devstamp");
        stamp_error_hint(err, "use a newer devstamp");
        return STAMP_E_VERSION;
    }
    return version > 0 ? STAMP_OK
                       : stamp_error_set(err, STAMP_E_DATABASE, 0,
                                         "there is no registry in this database");
}

/* The usual case takes no lock. */
static enum stamp_err bring_up(struct stamp_registry *r, struct stamp_error *err)
{
    struct stampi_db *db = r->db;
    int64_t version;
    enum stamp_err rc = db->ops->version(db, false, &version, err);

    if (rc == STAMP_OK) {
        rc = check_version(version, err);
    }
    if (rc != STAMP_OK || version == STAMPI_MIGRATIONS) {
        return rc;
    }
    rc = stampi_begin(r, err);
    if (rc != STAMP_OK) {
        return rc;
    }
    rc = db->ops->version(db, true, &version, err);
    if (rc == STAMP_OK) {
        rc = check_version(version, err);
    }
    if (rc == STAMP_OK && version < STAMPI_MIGRATIONS) {
        rc = migrate(db, version, err);
        if (rc == STAMP_OK && version < STAMPI_LOG_VERSION) {
            rc = stampi_take_over(r, err);
        }
    }
    return stampi_finish(r, rc, err);
}

/* Names of users and machines may be anything; what is cut may not be text any more. */
static void copy_text(char *out, const char *text)
{
    struct stampi_value v = stampi_text(text);

    stampi_get_text(&v, out, STAMP_REGISTRY_TEXT_SIZE);
    for (size_t len = strlen(out); !stampi_is_text(out); len--) {
        out[len - 1] = '\0';
    }
}

static void default_author(struct stamp_registry *r)
{
    struct passwd entry;
    struct passwd *found = NULL;
    char buf[1024];
    char host[STAMP_REGISTRY_TEXT_SIZE] = "";

    copy_text(r->who, "");
    if (getpwuid_r(getuid(), &entry, buf, sizeof buf, &found) == 0 && found != NULL) {
        copy_text(r->who, found->pw_name);
    }
    if (gethostname(host, sizeof host - 1) == 0) {
        copy_text(r->where, host);
    }
}

static enum stamp_err new_handle(struct stamp_registry **out, struct stamp_error *err)
{
    *out = calloc(1, sizeof **out);
    if (*out == NULL) {
        (void)stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
        return STAMP_E_NOMEM;
    }
    default_author(*out);
    return STAMP_OK;
}

/* All in one transaction: the tables are there with the purpose, or not at all. */
static enum stamp_err lay_out(struct stamp_registry *r, uint8_t purpose, time_t now,
                              struct stamp_error *err)
{
    int64_t version = 0;
    enum stamp_err rc = stampi_begin(r, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    rc = r->db->ops->version(r->db, true, &version, err);
    if (rc == STAMP_OK && version != 0) {
        rc = stamp_error_set(err, STAMP_E_EXISTS, 0,
                             "there is a registry in this database already");
    }
    if (rc == STAMP_OK) {
        rc = migrate(r->db, 0, err);
    }
    if (rc == STAMP_OK) {
        rc = STAMPI_RUN(r, STAMPI_WORKSPACE_ADD, NULL, NULL, NULL, err,
                        stampi_int(purpose), stampi_int((int64_t)now));
    }
    return stampi_finish(r, rc, err);
}

enum stamp_err stamp_registry_create(const char *where, uint8_t purpose,
                                     struct stamp_error *err)
{
    STAMP_REGISTRY_AUTO *r = NULL;
    bool url = stamp_registry_is_url(where);
    enum stamp_err rc = new_handle(&r, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    rc = url ? stampi_pg_open(where, &r->db, err)
             : stampi_sqlite_create(where, &r->db, err);
    if (rc != STAMP_OK) {
        return rc;
    }
    rc = lay_out(r, purpose, time(NULL), err);
    if (rc != STAMP_OK && !url) {
        stamp_registry_close(&r);
        stampi_sqlite_remove(where);
    }
    return rc;
}

static enum stamp_err open_all(struct stamp_registry *r, const char *where,
                               struct stamp_error *err)
{
    int64_t purpose = -1;
    enum stamp_err rc = stamp_registry_is_url(where)
                            ? stampi_pg_open(where, &r->db, err)
                            : stampi_sqlite_open(where, &r->db, err);

    if (rc == STAMP_OK) {
        rc = bring_up(r, err);
    }
    if (rc == STAMP_OK) {
        rc = r->db->ops->run(r->db, STAMPI_WORKSPACE, NULL, 0, stampi_take_number,
                             &purpose, NULL, err);
    }
    if (rc == STAMP_OK && purpose < 0) {
        rc = stamp_error_set(err, STAMP_E_DATABASE, 0, "there is no registry in it");
    }
    r->purpose = (uint8_t)purpose;
    return rc;
}

enum stamp_err stamp_registry_open(const char *where, struct stamp_registry **out,
                                   struct stamp_error *err)
{
    enum stamp_err rc = new_handle(out, err);

    if (rc == STAMP_OK) {
        rc = open_all(*out, where, err);
    }
    if (rc != STAMP_OK) {
        stamp_registry_close(out);
    }
    return rc;
}

void stamp_registry_close(struct stamp_registry **p)
{
    if (*p != NULL && (*p)->db != NULL) {
        (*p)->db->ops->close(&(*p)->db);
    }
    if (*p != NULL) {
        free((*p)->leaves.bytes);
    }
    free(*p);
    *p = NULL;
}

uint8_t stamp_registry_purpose(const struct stamp_registry *r)
{
    return r->purpose;
}

void stamp_registry_author(struct stamp_registry *r, const char *who, const char *where)
{
    copy_text(r->who, who);
    copy_text(r->where, where);
}

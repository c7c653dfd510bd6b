/*
 * What the registry needs of a database, and what its files share. The statements are
 * the same text for both databases (host/registry_sql.h), so all that the books mean is
 * written once.
 */
#ifndef HOST_REGISTRY_DB_H
#define HOST_REGISTRY_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/error.h"
#include "host/registry_sql.h"

#define STAMPI_COLUMNS_MAX 16u

enum stampi_type { STAMPI_NULL, STAMPI_INT, STAMPI_TEXT, STAMPI_BLOB };

/** A parameter or a column. Bytes are borrowed: of a column, until the next row. */
struct stampi_value {
    enum stampi_type type;
    int64_t number;
    const void *p;
    size_t len;
};

static inline struct stampi_value stampi_int(int64_t number)
{
    return (struct stampi_value){STAMPI_INT, number, NULL, 0};
}

struct stampi_value stampi_text(const char *text); /* NULL = NULL */
struct stampi_value stampi_blob(const void *p, size_t len);

/** Copy a text column; "" where it is NULL, cut where it is longer. */
void stampi_get_text(const struct stampi_value *v, char *out, size_t size);
/** Copy a column of `size` bytes; zeros where it has not so many. */
void stampi_get_blob(const struct stampi_value *v, void *out, size_t size);

/** Called with each row; anything but STAMP_OK ends the query and is returned. */
typedef enum stamp_err (*stampi_row)(void *ctx, const struct stampi_value *v,
                                     struct stamp_error *err);

struct stampi_db;

struct stampi_ops {
    /* A transaction that writes; SQLite admits one at a time. */
    enum stamp_err (*begin)(struct stampi_db *db, struct stamp_error *err);
    enum stamp_err (*commit)(struct stampi_db *db, struct stamp_error *err);
    void (*rollback)(struct stampi_db *db);
    /* Run a statement. `changed`: rows that it wrote; `row`: NULL = it gives none. */
    enum stamp_err (*run)(struct stampi_db *db, enum stampi_sql which,
                          const struct stampi_value *in, size_t n_in, stampi_row row,
                          void *ctx, int64_t *changed, struct stamp_error *err);
    /* Many rows into one table, inside a transaction. Values of one row at a time, in
     * the order of stampi_copy_columns. */
    enum stamp_err (*copy_begin)(struct stampi_db *db, enum stampi_copy which,
                                 struct stamp_error *err);
    enum stamp_err (*copy_row)(struct stampi_db *db, const struct stampi_value *v,
                               size_t n, struct stamp_error *err);
    enum stamp_err (*copy_end)(struct stampi_db *db, struct stamp_error *err);
    /* Text of a migration, or a plan: inside a transaction where it writes. */
    enum stamp_err (*script)(struct stampi_db *db, const char *sql,
                             struct stamp_error *err);
    /* 0 = there are no tables. `lock`: nobody else migrates until the transaction ends.
     */
    enum stamp_err (*version)(struct stampi_db *db, bool lock, int64_t *version,
                              struct stamp_error *err);
    enum stamp_err (*set_version)(struct stampi_db *db, int64_t version,
                                  struct stamp_error *err);
    void (*close)(struct stampi_db **db);
    stampi_migrations *migrations;
};

/** Head of both kinds of database. */
struct stampi_db {
    const struct stampi_ops *ops;
};

/** A new file. STAMP_E_EXISTS where there is one. */
STAMP_MUST_USE enum stamp_err
stampi_sqlite_create(const char *path, struct stampi_db **out, struct stamp_error *err);
STAMP_MUST_USE enum stamp_err stampi_sqlite_open(const char *path, struct stampi_db **out,
                                                 struct stamp_error *err);
/** Copy all of it as of one moment, while others may write. @param to  an empty file */
STAMP_MUST_USE enum stamp_err stampi_sqlite_backup(const char *path, const char *to,
                                                   struct stamp_error *err);
/** Remove a file that was made and its logs. */
void stampi_sqlite_remove(const char *path);

/** Connect; there may be no tables yet. */
STAMP_MUST_USE enum stamp_err stampi_pg_open(const char *url, struct stampi_db **out,
                                             struct stamp_error *err);

#endif

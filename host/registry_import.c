/* What a station tells of thousands of devices, booked together or not at all. */
#include <errno.h>
#include <stdlib.h>

#include "host/registry_books.h"
#include "host/registry_own.h"

struct stamp_registry_import {
    struct stamp_registry *r;
    struct stampi_tally tally;
    bool open; /* there is a transaction */
};

enum stamp_err stamp_registry_import_begin(struct stamp_registry *r,
                                           struct stamp_registry_import **out,
                                           struct stamp_error *err)
{
    struct stamp_registry_import *import = calloc(1, sizeof *import);
    enum stamp_err rc;

    *out = import;
    if (import == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    import->r = r;
    rc = stampi_begin(r, err);
    import->open = rc == STAMP_OK;
    if (rc != STAMP_OK) {
        stamp_registry_import_free(out);
    }
    return rc;
}

static enum stamp_err is_over(struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_STATE, 0,
                           "the import is over: nothing more was booked");
}

static enum stamp_err end(struct stamp_registry_import *import, enum stamp_err rc,
                          struct stamp_error *err)
{
    import->open = false;
    return stampi_finish(import->r, rc, err);
}

enum stamp_err stamp_registry_import_add(struct stamp_registry_import *import,
                                         const struct stamp_registry_change *changes,
                                         size_t n, size_t *bad, struct stamp_error *err)
{
    enum stamp_err rc;

    if (!import->open) {
        return is_over(err);
    }
    rc = stampi_change(import->r, changes, n, bad, &import->tally, err);
    return rc == STAMP_OK ? rc : end(import, rc, err);
}

enum stamp_err stamp_registry_import_commit(struct stamp_registry_import *import,
                                            const struct stamp_registry_results *row,
                                            struct stamp_error *err)
{
    enum stamp_err rc;

    if (!import->open) {
        return is_over(err);
    }
    rc = row == NULL ? STAMP_OK : stampi_results_add(import->r, row, err);
    if (rc == STAMP_OK) {
        rc = stampi_tally_write(import->r, &import->tally, err);
    }
    return end(import, rc, err);
}

void stamp_registry_import_free(struct stamp_registry_import **p)
{
    if (*p != NULL) {
        if ((*p)->open) {
            (void)!stampi_finish((*p)->r, STAMP_E_STATE, NULL); /* nothing of it */
        }
        stampi_tally_free(&(*p)->tally);
        free(*p);
    }
    *p = NULL;
}

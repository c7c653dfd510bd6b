#include "cli/registry_list.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "host/registry_batch.h"

#define EXPORT_PAGE 500u

static enum stamp_err find_batch(struct stamp_registry *r, struct registry_list *l,
                                 struct stamp_error *err)
{
    struct stamp_registry_batch batch;
    uint64_t number;
    enum stamp_err rc;

    if (l->batch == NULL) {
        return STAMP_OK;
    }
    if (cli_number(l->batch, 1, INT32_MAX, &number)) {
        l->filter.batch = (uint32_t)number; /* those of the desk have no name */
        return STAMP_OK;
    }
    if (r == NULL) {
        return stamp_error_set(
            err, STAMP_E_RANGE, 0,
            "with --server a batch is told by its number, and not '%s'", l->batch);
    }
    rc = stamp_registry_batch_find(r, l->batch, &batch, err);
    l->filter.batch = batch.id;
    return rc;
}

static enum stamp_err put_page(struct stamp_registry_row *rows, size_t n,
                               enum registry_format format, bool *none,
                               struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
        rc = registry_put_row(&rows[i], format, *none, err);
        *none = false;
    }
    return rc;
}

static void free_rows(struct stamp_registry_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        stamp_registry_row_fini(&rows[i]);
    }
}

/* Of a service `max` is as much as it gives at once, if need be several times. */
static enum stamp_err fetch(struct registry_list *l, const char *after,
                            struct stamp_registry_row *rows, size_t max, size_t *n,
                            struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;
    size_t got = STAMP_SERVICE_PAGE;
    size_t want = STAMP_SERVICE_PAGE;

    *n = 0;
    while (rc == STAMP_OK && *n < max && got == want) {
        want = max - *n < STAMP_SERVICE_PAGE ? max - *n : STAMP_SERVICE_PAGE;
        rc = stamp_service_devices(l->online->https, l->online->url, &l->filter,
                                   *n == 0 ? after : rows[*n - 1].serial, rows + *n, want,
                                   &got, err);
        *n += got;
    }
    return rc;
}

/* @param r  NULL = a service has the books */
static enum stamp_err next_page(struct stamp_registry *r, struct registry_list *l,
                                const struct stamp_registry_row *after,
                                struct stamp_registry_row *rows, size_t max, size_t *n,
                                struct stamp_error *err)
{
    bool first = after->serial[0] == '\0';

    return r == NULL ? fetch(l, first ? NULL : after->serial, rows, max, n, err)
                     : stamp_registry_list(r, &l->filter, first ? NULL : after, rows, max,
                                           n, err);
}

/* One page of `max`, or with `all` every one. */
static enum stamp_err walk(struct stamp_registry *r, struct registry_list *l,
                           struct stamp_registry_row *rows, size_t max,
                           struct stamp_error *err)
{
    struct stamp_registry_row after = {0};
    bool none = true;
    size_t n = max;
    enum stamp_err rc = STAMP_OK;

    if (l->after != NULL && r != NULL) {
        rc = stamp_registry_find(r, l->after, &after, err);
    } else if (l->after != NULL) {
        (void)snprintf(after.serial, sizeof after.serial, "%s", l->after);
    }
    if (rc == STAMP_OK) {
        registry_put_head(l->format);
    }
    while (rc == STAMP_OK && n == max) {
        rc = next_page(r, l, &after, rows, max, &n, err);
        if (rc == STAMP_OK) {
            rc = put_page(rows, n, l->format, &none, err);
        }
        if (n > 0) {
            stamp_registry_row_fini(&after);
            after = rows[n - 1];
            memset(&rows[n - 1], 0, sizeof rows[n - 1]);
        }
        free_rows(rows, n);
        if (!l->all) {
            break;
        }
    }
    if (rc == STAMP_OK) {
        registry_put_end(l->format, none);
    }
    if (rc == STAMP_OK && !l->all && n == max) {
        (void)fflush(stdout);
        (void)fprintf(stderr, "There may be more: --after %s\n", after.serial);
    }
    stamp_registry_row_fini(&after);
    return rc;
}

enum stamp_err registry_list(struct stamp_registry *r, struct registry_list *l,
                             struct stamp_error *err)
{
    size_t max = l->all ? EXPORT_PAGE : l->limit;
    struct stamp_registry_row *rows = calloc(max, sizeof *rows);
    enum stamp_err rc;

    if (rows == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    rc = find_batch(r, l, err);
    if (rc == STAMP_OK) {
        rc = walk(r, l, rows, max, err);
    }
    free(rows);
    return rc;
}

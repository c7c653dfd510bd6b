/* The factory's results: what stations report of batches, booked. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "host/import_json.h"
#include "service/factory_own.h"
#include "service/log.h"

enum { TOLD_MAX = 10000 };

#define SENT "the results" /* what they are called in errors */

/* Beyond so many, they are counted. */
static void tell(void *ctx, const char *serial, const char *what)
{
    if (json_array_size(ctx) < TOLD_MAX) {
        (void)json_array_append_new(ctx, stamp_import_told_json(serial, what));
    }
}

/* A conflict is something that was found out, and no failure. */
static enum stamp_err import(struct factory_reply *r, const struct service_factory *q,
                             int file, json_t **out)
{
    struct stamp_imported m;
    json_t *told = json_array();
    struct stamp_import_job job = {.path = SENT,
                                   .file = fcntl(file, F_DUPFD_CLOEXEC, 3),
                                   .quarantine = q->quarantine != 0,
                                   .conflict = tell,
                                   .ctx = told};
    enum stamp_err rc = told == NULL || job.file < 0 || lseek(job.file, 0, SEEK_SET) != 0
                            ? stamp_error_set(&r->err, STAMP_E_NOMEM, 0, "out of memory")
                            : stamp_import(r->f->ws, &job, &m, &r->err);

    if (rc == STAMP_OK || (rc == STAMP_E_DUPLICATE && m.conflicts > 0)) {
        *out = stamp_imported_json(&m, rc != STAMP_OK, told);
        return STAMP_OK;
    }
    json_decref(told);
    return rc;
}

void factory_results(struct factory_reply *r, const struct service_factory *q, int file)
{
    char name[SERVICE_NAME_MAX + 1];
    json_t *all = NULL;
    enum stamp_err rc;

    service_text(q->name, name, sizeof name);
    if (factory_told_before(r, name)) {
        return;
    }
    rc = import(r, q, file, &all);
    if (rc != STAMP_OK) {
        factory_refuse_error(r, rc);
        return;
    }
    service_log("results", "outcome", json_string_value(json_object_get(all, "outcome")),
                "by", r->key.name, NULL);
    factory_tell(r, name, all);
}

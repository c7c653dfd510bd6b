/* The factory's journals: what stations exported, taken in and reconciled. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "host/hex.h"
#include "host/reconcile_json.h"
#include "host/returned.h"
#include "service/factory_own.h"
#include "service/log.h"

enum { STATIONS_MAX = 256, TOLD_MAX = 10000 };

/* ---- what there is ---- */

void factory_journals(struct factory_reply *r)
{
    static struct stamp_journal_have have[STATIONS_MAX];
    size_t n = STATIONS_MAX;
    json_t *all = json_array();
    enum stamp_err rc =
        stamp_registry_journal_list(r->f->ws->registry, have, &n, &r->err);

    for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
        char station[65];

        stamp_hex(have[i].station, sizeof have[i].station, station);
        if (json_array_append_new(
                all, json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "station", station,
                               "entries", (json_int_t)have[i].entries, "last",
                               (json_int_t)have[i].last, "head", (json_int_t)have[i].head,
                               "missing", (json_int_t)have[i].missing, "forks",
                               (json_int_t)have[i].forks)) != 0) {
            rc = stamp_error_set(&r->err, STAMP_E_NOMEM, ENOMEM, "out of memory");
        }
    }
    if (rc == STAMP_OK) {
        service_answer_json(&r->to, ANSWER_OK, json_pack("{s:o}", "journals", all));
    } else {
        json_decref(all);
        factory_refuse_error(r, rc);
    }
}

/* ---- what was told ---- */

/* Beyond so many, they are counted. */
static void tell(void *ctx, const struct stamp_reconcile_told *told)
{
    if (json_array_size(ctx) < TOLD_MAX) {
        (void)json_array_append_new(ctx, stamp_reconcile_told_json(told));
    }
}

static json_t *report_of(const struct stamp_reconciled *counts, json_t *told)
{
    json_t *j = stamp_reconciled_json(counts);

    if (j == NULL || json_object_set_new(j, "told", told) != 0) {
        json_decref(j);
        return NULL;
    }
    return j;
}

/* ---- an export ---- */

static enum stamp_err read_all(int file, uint8_t **out, size_t *len,
                               struct stamp_error *err)
{
    ssize_t n = 1;

    *len = 0;
    *out = malloc(SERVICE_BUNDLE_MAX + 1);
    if (*out == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    while (n > 0 && *len <= SERVICE_BUNDLE_MAX) {
        n = pread(file, *out + *len, SERVICE_BUNDLE_MAX + 1 - *len, (off_t)*len);
        *len += n > 0 ? (size_t)n : 0;
    }
    return n == 0 && *len > 0 && *len <= SERVICE_BUNDLE_MAX
               ? STAMP_OK
               : stamp_error_set(err, STAMP_E_IO, n < 0 ? errno : 0,
                                 "a front sent a bundle that cannot be read");
}

static void take(struct factory_reply *r, struct stamp_slice bytes)
{
    struct stamp_reconciled counts = {.parts = 0};
    json_t *told = json_array();
    enum stamp_err rc =
        told == NULL
            ? stamp_error_set(&r->err, STAMP_E_NOMEM, ENOMEM, "out of memory")
            : stamp_reconcile_take_bytes(r->f->ws, r->f->home, STAMP_RECONCILE_SENT,
                                         bytes, tell, told, &counts, &r->err);

    if (rc == STAMP_OK) {
        service_answer_json(&r->to, ANSWER_OK, report_of(&counts, told));
    } else {
        json_decref(told);
        factory_refuse_error(r, rc);
    }
}

void factory_bundle(struct factory_reply *r, int file)
{
    struct stamp_slice bytes = {NULL, 0};
    uint8_t *all = NULL;
    enum stamp_err rc;

    if (r->f->home == NULL) {
        service_answer_problem(&r->to, ANSWER_CONFLICT, r->f->no_home.what);
        return;
    }
    rc = read_all(file, &all, &bytes.len, &r->err);
    bytes.p = all;
    if (rc == STAMP_OK) {
        take(r, bytes);
    } else {
        factory_refuse_error(r, rc);
    }
    free(all);
}

/* ---- reconciling ---- */

void factory_reconcile(struct factory_reply *r, const struct service_factory *q)
{
    struct stamp_reconciled counts = {.parts = 0};
    char name[SERVICE_NAME_MAX + 1];
    char booked[16];
    char problems[16];
    json_t *told;
    enum stamp_err rc;

    service_text(q->name, name, sizeof name);
    if (factory_told_before(r, name)) {
        return;
    }
    told = json_array();
    rc = told == NULL ? stamp_error_set(&r->err, STAMP_E_NOMEM, ENOMEM, "out of memory")
                      : stamp_reconcile(r->f->ws, tell, told, &counts, &r->err);
    if (rc != STAMP_OK) {
        json_decref(told);
        factory_refuse_error(r, rc);
        return;
    }
    (void)snprintf(booked, sizeof booked, "%u", counts.booked);
    (void)snprintf(problems, sizeof problems, "%u", counts.problems);
    service_log("reconciled", "booked", booked, "problems", problems, "by", r->key.name,
                NULL);
    factory_tell(r, name, report_of(&counts, told));
}

/* ---- devices that came back ---- */

void factory_returned(struct factory_reply *r, const struct service_factory *q)
{
    struct stamp_reconciled counts = {.parts = 0};
    struct stamp_shown shown = {.can = q->can, .strikes = q->strikes != 0};
    char port[STAMP_REGISTRY_TEXT_MAX + 1];
    json_t *told = json_array();
    enum stamp_err rc;

    memcpy(shown.device.certificate, q->certificate.p, q->certificate.len);
    shown.device.certificate_len = q->certificate.len;
    memcpy(shown.device.chip, q->chip.p, q->chip.len);
    shown.device.chip_len = q->chip.len;
    shown.device.lock = q->lock;
    shown.device.at = (uint64_t)time(NULL);
    service_text(q->port, port, sizeof port);
    rc = told == NULL
             ? stamp_error_set(&r->err, STAMP_E_NOMEM, ENOMEM, "out of memory")
             : stamp_returned(r->f->ws, &shown, port, tell, told, &counts, &r->err);
    if (rc == STAMP_OK) {
        service_answer_json(&r->to, ANSWER_OK, report_of(&counts, told));
    } else {
        json_decref(told);
        factory_refuse_error(r, rc);
    }
}

/* The reader's answers about devices. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/registry_enrol.h"
#include "host/registry_escrow.h"
#include "host/registry_json.h"
#include "host/registry_token.h"
#include "service/reader_own.h"

enum {
    KEYS = 100, /* operational ones that are told of a device */
    KEYS_TRIED =
        4 /* one confirmed and one pending are good at most, and are the newest */
};

/* ---- a device that asks about itself ---- */

static bool is_digest_of(const uint8_t digest[32], const uint8_t *der, size_t len)
{
    uint8_t own[STAMP_TOKEN_DIGEST_SIZE];

    return der != NULL &&
           stamp_token_digest((const char *)der, len, own, NULL) == STAMP_OK &&
           memcmp(own, digest, sizeof own) == 0;
}

static enum stamp_err is_operational(struct reader_reply *r, int64_t device,
                                     const uint8_t digest[32], bool *is)
{
    struct stamp_ldevid rows[KEYS_TRIED];
    time_t now = time(NULL);
    size_t n = 0;
    enum stamp_err rc =
        stamp_registry_ldevid_list(r->r->registry, device, rows, KEYS_TRIED, &n, &r->err);

    for (size_t i = 0; i < n; i++) {
        const struct stamp_ldevid *l = &rows[i];
        bool good =
            (l->state == STAMP_LDEVID_PENDING || l->state == STAMP_LDEVID_CONFIRMED) &&
            l->not_after > now;

        *is = *is || (good && is_digest_of(digest, l->certificate, l->certificate_len));
        stamp_ldevid_fini(&rows[i]);
    }
    return rc;
}

enum stamp_err reader_is_of(struct reader_reply *r, const char *serial,
                            const uint8_t digest[32], bool *is)
{
    struct stamp_registry_row row;
    enum stamp_err rc = stamp_registry_find(r->r->registry, serial, &row, &r->err);

    *is = false;
    if (rc == STAMP_E_MISSING) {
        stamp_error_clear(&r->err);
        return STAMP_OK;
    }
    if (rc == STAMP_OK && row.state != STAMP_REGISTRY_REVOKED &&
        row.state != STAMP_REGISTRY_SCRAPPED) {
        *is = is_digest_of(digest, row.certificate, row.certificate_len);
        rc = *is ? STAMP_OK : is_operational(r, row.id, digest, is);
    }
    stamp_registry_row_fini(&row);
    return rc;
}

/* ---- devices ---- */

void reader_device(struct reader_reply *r, const char *serial)
{
    struct stamp_registry_row row;
    json_t *j = NULL;
    enum stamp_err rc = stamp_registry_find(r->r->registry, serial, &row, &r->err);

    if (rc == STAMP_OK) {
        rc = stamp_registry_json_whole(r->r->registry, &row, KEYS, &j, &r->err);
    }
    stamp_registry_row_fini(&row);
    if (rc == STAMP_OK) {
        service_answer_json(&r->to, ANSWER_OK, j);
    } else {
        reader_refuse_error(r, rc);
    }
}

void reader_pop(struct reader_reply *r, const char *serial)
{
    struct stamp_registry_escrow e;
    enum stamp_err rc = stamp_registry_sealed_find(r->r->registry, serial, &e, &r->err);

    if (rc != STAMP_OK) {
        reader_refuse_error(r, rc);
        return;
    }
    service_answer_json(&r->to, ANSWER_OK,
                        json_pack("{s:o, s:o}", "sealed",
                                  service_base64(e.sealed, e.sealed_len), "envelope",
                                  e.envelope == NULL
                                      ? json_null()
                                      : service_base64(e.envelope, e.envelope_len)));
    stamp_registry_escrow_fini(&e);
}

static enum stamp_err add_rows(json_t *all, struct stamp_registry_row *rows, size_t n,
                               struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    for (size_t i = 0; i < n; i++) {
        struct stamp_registry_text t = {.certificate = NULL};

        if (rc == STAMP_OK) {
            rc = stamp_registry_text_of(&rows[i], &t, err);
        }
        if (rc == STAMP_OK &&
            json_array_append_new(all, stamp_registry_json(&rows[i], &t)) != 0) {
            rc = stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
        }
        stamp_registry_text_fini(&t);
    }
    return rc;
}

static enum stamp_err page(struct reader_reply *r, const struct service_query *q,
                           const struct stamp_registry_filter *filter,
                           struct stamp_registry_row *rows, size_t *n, json_t *all)
{
    struct stamp_registry_row after = {.file = NULL};
    char serial[STAMP_SERIAL_SIZE];
    enum stamp_err rc = STAMP_OK;

    if (q->text.len > 0) {
        service_text(q->text, serial, sizeof serial);
        rc = stamp_registry_find(r->r->registry, serial, &after, &r->err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_registry_list(r->r->registry, filter, q->text.len == 0 ? NULL : &after,
                                 rows, (size_t)q->limit, n, &r->err);
    }
    stamp_registry_row_fini(&after);
    return rc == STAMP_OK ? add_rows(all, rows, *n, &r->err) : rc;
}

void reader_devices(struct reader_reply *r, const struct service_query *q)
{
    char product[STAMP_MAX_TEXT + 1];
    const struct stamp_registry_filter filter = {
        .by_state = q->state != SERVICE_ANY_STATE,
        .state = (enum stamp_registry_state)q->state,
        .product = q->product.len == 0 ? NULL : product,
        .batch = (uint32_t)q->batch,
        .since = (time_t)q->since};
    struct stamp_registry_row *rows = calloc(SERVICE_PAGE_MAX, sizeof *rows);
    json_t *all = json_array();
    json_t *next = NULL;
    size_t n = 0;
    enum stamp_err rc = STAMP_E_NOMEM;

    service_text(q->product, product, sizeof product);
    if (rows != NULL && all != NULL) {
        rc = page(r, q, &filter, rows, &n, all);
    }
    if (rc == STAMP_OK) {
        next = n == q->limit ? json_string(rows[n - 1].serial) : json_null();
    }
    for (size_t i = 0; i < n; i++) {
        stamp_registry_row_fini(&rows[i]);
    }
    free(rows);
    if (rc == STAMP_OK) {
        service_answer_json(&r->to, ANSWER_OK,
                            json_pack("{s:o, s:o}", "devices", all, "next", next));
    } else {
        json_decref(all);
        reader_refuse_error(r, rc);
    }
}

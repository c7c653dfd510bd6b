#include "host/registry_revoke.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "host/pki.h"
#include "host/registry_enrol.h"
#include "host/registry_own.h"

#define YEAR_9999 INT64_C(253370764800) /* it ends never: RFC 5280 4.1.2.5 */

enum { PAGE = 256 };

static const struct {
    enum stamp_reason reason;
    const char *name;
} reasons[] = {
    {STAMP_REASON_UNSPECIFIED, "unspecified"},
    {STAMP_REASON_KEY_COMPROMISE, "keyCompromise"},
    {STAMP_REASON_CA_COMPROMISE, "cACompromise"},
    {STAMP_REASON_AFFILIATION_CHANGED, "affiliationChanged"},
    {STAMP_REASON_SUPERSEDED, "superseded"},
    {STAMP_REASON_CESSATION, "cessationOfOperation"},
    {STAMP_REASON_PRIVILEGE_WITHDRAWN, "privilegeWithdrawn"},
    {STAMP_REASON_AA_COMPROMISE, "aACompromise"},
};
#define N_REASONS (sizeof reasons / sizeof reasons[0])

const char *stamp_reason_name(enum stamp_reason reason)
{
    for (size_t i = 0; i < N_REASONS; i++) {
        if (reasons[i].reason == reason) {
            return reasons[i].name;
        }
    }
    return "?";
}

bool stamp_reason_parse(const char *name, enum stamp_reason *out)
{
    for (size_t i = 0; i < N_REASONS; i++) {
        if (strcasecmp(reasons[i].name, name) == 0) {
            *out = reasons[i].reason;
            return true;
        }
    }
    return false;
}

/* ---- authorities ---- */

static bool take_id(const ASN1_OCTET_STRING *id, struct stamp_ca *out)
{
    int len = id == NULL ? 0 : ASN1_STRING_length(id);

    if (len <= 0 || len > (int)STAMP_CA_SIZE) {
        return false;
    }
    memcpy(out->id, ASN1_STRING_get0_data(id), (size_t)len);
    out->len = (size_t)len;
    return true;
}

enum stamp_err stamp_ca_of(const X509 *cert, struct stamp_ca *out,
                           struct stamp_error *err)
{
    STAMP_X509_AUTO *copy = X509_dup(cert); /* OpenSSL fills in what it found */

    memset(out, 0, sizeof *out);
    if (copy == NULL || !take_id(X509_get0_subject_key_id(copy), out)) {
        ERR_clear_error();
        return stamp_error_set(err, STAMP_E_FORMAT, 0,
                               "an authority's certificate has no key identifier");
    }
    return STAMP_OK;
}

/* Who issued it: the key identifier that it names; else a digest of the issuer's name,
 * which is on no list of ours. */
static bool issuer_of(X509 *cert, struct stamp_ca *out)
{
    unsigned int len = 0;

    if (take_id(X509_get0_authority_key_id(cert), out)) {
        return true;
    }
    out->len = sizeof out->id;
    return X509_NAME_digest(X509_get_issuer_name(cert), EVP_sha256(), out->id, &len) == 1;
}

/* ---- revoking ---- */

static time_t end_of(const X509 *cert)
{
    time_t end;

    return !stamp_pki_time(X509_get0_notAfter(cert), &end) || end <= 0 || end >= YEAR_9999
               ? 0
               : end;
}

static bool number_of(const X509 *cert, uint8_t out[STAMP_CERTIFICATE_SERIAL_SIZE])
{
    const ASN1_INTEGER *n = X509_get0_serialNumber(cert);
    int len = ASN1_STRING_length(n);

    memset(out, 0, STAMP_CERTIFICATE_SERIAL_SIZE);
    if (len <= 0 || len > (int)STAMP_CERTIFICATE_SERIAL_SIZE) {
        return false;
    }
    memcpy(out + STAMP_CERTIFICATE_SERIAL_SIZE - len, ASN1_STRING_get0_data(n),
           (size_t)len);
    return true;
}

/* One certificate, unless it is none, has ended, or has a number that we never give. */
static enum stamp_err add(struct stamp_registry *r, int64_t device,
                          struct stamp_slice der, uint8_t reason, time_t at,
                          struct stamp_error *err)
{
    STAMP_X509_AUTO *cert = NULL;
    uint8_t number[STAMP_CERTIFICATE_SERIAL_SIZE];
    struct stamp_ca ca = {.len = 0};
    int64_t changed = 0;
    time_t end;
    enum stamp_err rc;

    if (der.len == 0 || stamp_pki_decode(der, &cert, NULL) != STAMP_OK ||
        !number_of(cert, number) || !issuer_of(cert, &ca)) {
        ERR_clear_error();
        return STAMP_OK;
    }
    end = end_of(cert);
    if (end != 0 && end < at) {
        return STAMP_OK;
    }
    rc = STAMPI_RUN(r, STAMPI_REVOCATION_ADD, NULL, NULL, &changed, err,
                    stampi_blob(ca.id, ca.len), stampi_blob(number, sizeof number),
                    stampi_int(device), stampi_int(reason), stampi_int((int64_t)at),
                    stampi_int((int64_t)end));
    return rc == STAMP_OK && changed == 1
               ? stampi_leaf_revocation(r, device, number, reason, (int64_t)at, err)
               : rc;
}

/* A page of operational keys: retired, and their certificates revoked. */
static enum stamp_err add_page(struct stamp_registry *r, struct stamp_ldevid *rows,
                               size_t n, uint8_t reason, time_t at, bool in_use_only,
                               size_t *count, struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    for (size_t i = 0; i < n; i++) {
        const struct stamp_ldevid *l = &rows[i];

        if (rc == STAMP_OK && (!in_use_only || l->state != STAMP_LDEVID_RETIRED)) {
            *count += l->certificate_len > 0;
            rc = add(r, l->device,
                     (struct stamp_slice){l->certificate, l->certificate_len}, reason, at,
                     err);
        }
        if (rc == STAMP_OK && l->state != STAMP_LDEVID_RETIRED) {
            rc = STAMPI_RUN(r, STAMPI_LDEVID_STATE, NULL, NULL, NULL, err,
                            stampi_int(STAMP_LDEVID_RETIRED), stampi_int((int64_t)at),
                            stampi_int(l->device), stampi_int(l->n));
        }
    }
    return rc;
}

/* All of them; of those in use there are few, and they are the newest. */
static enum stamp_err add_operational(struct stamp_registry *r, int64_t device,
                                      uint8_t reason, time_t at, bool in_use_only,
                                      size_t *count, struct stamp_error *err)
{
    struct stamp_ldevid *rows = calloc(PAGE, sizeof *rows);
    int64_t before = INT64_MAX;
    size_t n = PAGE;
    enum stamp_err rc = STAMP_OK;

    *count = 0;
    if (rows == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    while (rc == STAMP_OK && n == PAGE) {
        rc = stampi_ldevid_page(r, device, before, rows, PAGE, &n, err);
        if (rc == STAMP_OK && n > 0) {
            rc = add_page(r, rows, n, reason, at, in_use_only, count, err);
            before = rows[n - 1].n;
        }
        for (size_t i = 0; i < n; i++) {
            stamp_ldevid_fini(&rows[i]);
        }
        n = in_use_only ? 0 : n;
    }
    free(rows);
    return rc == STAMP_OK && before != INT64_MAX
               ? stampi_leaf_operational(r, device, 0, STAMP_LDEVID_RETIRED, (int64_t)at,
                                         (struct stamp_slice){NULL, 0}, err)
               : rc;
}

static enum stamp_err mark(struct stamp_registry *r, struct stamp_error *err)
{
    int64_t was;

    return stampi_count_on(r, "revocation", 1, &was, err);
}

enum stamp_err stampi_revoke(struct stamp_registry *r,
                             const struct stamp_registry_change *c,
                             struct stamp_error *err)
{
    struct stamp_registry_row row;
    size_t count;
    enum stamp_err rc = stamp_registry_find(r, c->serial, &row, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    rc = add(r, row.id, (struct stamp_slice){row.certificate, row.certificate_len},
             c->reason, c->at, err);
    if (rc == STAMP_OK) {
        rc = add_operational(r, row.id, c->reason, c->at, false, &count, err);
    }
    stamp_registry_row_fini(&row);
    return rc == STAMP_OK ? mark(r, err) : rc;
}

enum stamp_err stamp_registry_revoke(struct stamp_registry *r, const char *serial,
                                     enum stamp_reason reason, time_t at, const char *why,
                                     struct stamp_error *err)
{
    const struct stamp_registry_change c = {.serial = serial,
                                            .to = STAMP_REGISTRY_REVOKED,
                                            .at = at,
                                            .why = why,
                                            .reason = (uint8_t)reason};

    return stamp_registry_change(r, &c, 1, NULL, err);
}

static enum stamp_err revoke_operational(struct stamp_registry *r, const char *serial,
                                         enum stamp_reason reason, time_t at, size_t *n,
                                         struct stamp_error *err)
{
    struct stamp_registry_row row;
    enum stamp_err rc = stamp_registry_find(r, serial, &row, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    rc = add_operational(r, row.id, (uint8_t)reason, at, true, n, err);
    stamp_registry_row_fini(&row);
    return rc == STAMP_OK ? mark(r, err) : rc;
}

enum stamp_err stamp_registry_revoke_operational(struct stamp_registry *r,
                                                 const char *serial,
                                                 enum stamp_reason reason, time_t at,
                                                 size_t *n, struct stamp_error *err)
{
    enum stamp_err rc = stampi_begin(r, err);

    *n = 0;
    return rc == STAMP_OK
               ? stampi_finish(r, revoke_operational(r, serial, reason, at, n, err), err)
               : rc;
}

/* ---- devices that were revoked before there was a table of it ---- */

struct before {
    struct stamp_registry *r;
    int64_t id[PAGE];
    uint8_t *certificate[PAGE];
    size_t len[PAGE];
    size_t n;
};

/* id, certificate */
static enum stamp_err take_before(void *ctx, const struct stampi_value *v,
                                  struct stamp_error *err)
{
    struct before *b = ctx;

    b->id[b->n] = v[0].number;
    b->len[b->n] = v[1].len;
    b->certificate[b->n] = malloc(v[1].len + 1);
    if (b->certificate[b->n] == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    memcpy(b->certificate[b->n], v[1].p == NULL ? (const void *)"" : v[1].p, v[1].len);
    b->n++;
    return STAMP_OK;
}

static enum stamp_err page_before(struct stamp_registry *r, struct before *b,
                                  int64_t *after, struct stamp_error *err)
{
    enum stamp_err rc;

    b->n = 0;
    rc = STAMPI_RUN(r, STAMPI_REVOKED_BEFORE, take_before, b, NULL, err,
                    stampi_int(*after), stampi_int(PAGE));
    for (size_t i = 0; i < b->n; i++) {
        size_t count;

        if (rc == STAMP_OK) {
            rc = add(r, b->id[i], (struct stamp_slice){b->certificate[i], b->len[i]},
                     STAMP_REASON_UNSPECIFIED, time(NULL), err);
        }
        if (rc == STAMP_OK) {
            rc = add_operational(r, b->id[i], STAMP_REASON_UNSPECIFIED, time(NULL), false,
                                 &count, err);
        }
        *after = b->id[i];
        free(b->certificate[i]);
    }
    return rc;
}

static enum stamp_err complete(struct stamp_registry *r, struct stamp_error *err)
{
    struct before *b = calloc(1, sizeof *b);
    int64_t after = -1;
    enum stamp_err rc = STAMP_OK;

    if (b == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    do {
        rc = page_before(r, b, &after, err);
    } while (rc == STAMP_OK && b->n == PAGE);
    free(b);
    if (rc == STAMP_OK) {
        rc = STAMPI_RUN(r, STAMPI_COUNTER_SET, NULL, NULL, NULL, err, stampi_int(0),
                        stampi_text("revoked-before"));
    }
    return rc == STAMP_OK ? mark(r, err) : rc;
}

static enum stamp_err have_all(struct stamp_registry *r, struct stamp_error *err)
{
    int64_t waits = 0;
    enum stamp_err rc = STAMPI_RUN(r, STAMPI_COUNTER_GET, stampi_take_number, &waits,
                                   NULL, err, stampi_text("revoked-before"));

    if (rc != STAMP_OK || waits == 0) {
        return rc;
    }
    rc = stampi_begin(r, err);
    return rc == STAMP_OK ? stampi_finish(r, complete(r, err), err) : rc;
}

/* ---- looking up ---- */

struct page {
    struct stamp_revocation *rows;
    size_t n;
};

/* serial, reason, at */
static enum stamp_err take_row(void *ctx, const struct stampi_value *v,
                               struct stamp_error *err)
{
    struct page *p = ctx;
    struct stamp_revocation *row = &p->rows[p->n++];

    (void)err;
    stampi_get_blob(&v[0], row->serial_number, sizeof row->serial_number);
    row->reason = (enum stamp_reason)v[1].number;
    row->at = (time_t)v[2].number;
    return STAMP_OK;
}

enum stamp_err stamp_registry_revocations(struct stamp_registry *r,
                                          const struct stamp_ca *ca, time_t now,
                                          const struct stamp_revocation *after,
                                          struct stamp_revocation *rows, size_t max,
                                          size_t *n, struct stamp_error *err)
{
    struct page p = {rows, 0};
    enum stamp_err rc = have_all(r, err);

    if (rc == STAMP_OK) {
        rc = STAMPI_RUN(
            r, STAMPI_REVOCATION_LIST, take_row, &p, NULL, err,
            stampi_blob(ca->id, ca->len),
            stampi_blob(after == NULL ? (const uint8_t *)"" : after->serial_number,
                        after == NULL ? 0 : sizeof after->serial_number),
            stampi_int((int64_t)now), stampi_int((int64_t)max));
    }
    *n = rc == STAMP_OK ? p.n : 0;
    return rc;
}

/* reason, at */
static enum stamp_err take_found(void *ctx, const struct stampi_value *v,
                                 struct stamp_error *err)
{
    struct page *p = ctx;

    (void)err;
    p->n = 1;
    p->rows->reason = (enum stamp_reason)v[0].number;
    p->rows->at = (time_t)v[1].number;
    return STAMP_OK;
}

/* A number that was given out: one by one, or as one of a block. */
static enum stamp_err is_known(struct stamp_registry *r, const uint8_t *number,
                               bool *known, struct stamp_error *err)
{
    int64_t device = -1;
    int64_t in_block = 0;
    int64_t index = 0;
    enum stamp_err rc =
        STAMPI_RUN(r, STAMPI_CERTIFICATE_OWNER, stampi_take_number, &device, NULL, err,
                   stampi_blob(number, STAMP_CERTIFICATE_SERIAL_SIZE));

    *known = device >= 0;
    if (rc != STAMP_OK || *known) {
        return rc;
    }
    for (unsigned i = STAMPI_PREFIX_LEN; i < STAMP_CERTIFICATE_SERIAL_SIZE; i++) {
        index = index << 8 | number[i];
    }
    rc = STAMPI_RUN(r, STAMPI_BLOCK_HAS, stampi_take_number, &in_block, NULL, err,
                    stampi_blob(number, STAMPI_PREFIX_LEN), stampi_int(index));
    *known = in_block == 1;
    return rc;
}

enum stamp_err stamp_registry_certificate_status(
    struct stamp_registry *r, const struct stamp_ca *ca,
    const uint8_t serial_number[STAMP_CERTIFICATE_SERIAL_SIZE],
    enum stamp_certificate_status *status, struct stamp_revocation *out,
    struct stamp_error *err)
{
    struct page p = {out, 0};
    bool known = false;
    enum stamp_err rc = have_all(r, err);

    memset(out, 0, sizeof *out);
    memcpy(out->serial_number, serial_number, sizeof out->serial_number);
    if (rc == STAMP_OK) {
        rc = STAMPI_RUN(r, STAMPI_REVOCATION_FIND, take_found, &p, NULL, err,
                        stampi_blob(ca->id, ca->len),
                        stampi_blob(serial_number, STAMP_CERTIFICATE_SERIAL_SIZE));
    }
    if (rc == STAMP_OK && p.n == 0) {
        rc = is_known(r, serial_number, &known, err);
    }
    *status = p.n > 0 ? STAMP_CERTIFICATE_REVOKED
              : known ? STAMP_CERTIFICATE_GOOD
                      : STAMP_CERTIFICATE_UNKNOWN;
    return rc;
}

enum stamp_err stamp_registry_revocation_mark(struct stamp_registry *r, int64_t *out,
                                              struct stamp_error *err)
{
    enum stamp_err rc = have_all(r, err);

    *out = 0;
    return rc == STAMP_OK ? STAMPI_RUN(r, STAMPI_COUNTER_GET, stampi_take_number, out,
                                       NULL, err, stampi_text("revocation"))
                          : rc;
}

enum stamp_err stamp_registry_crl_number(struct stamp_registry *r, int64_t *number,
                                         struct stamp_error *err)
{
    enum stamp_err rc = stampi_begin(r, err);

    return rc == STAMP_OK
               ? stampi_finish(r, stampi_count_on(r, "crl", 1, number, err), err)
               : rc;
}

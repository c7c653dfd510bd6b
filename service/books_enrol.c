#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/evidence.h"
#include "host/key.h"
#include "host/pki.h"
#include "host/registry_issued.h"
#include "host/registry_token.h"
#include "service/books.h"

enum { DAY = 86400 };

void books_verdict_fini(struct books_verdict *v)
{
    stamp_ldevid_fini(&v->ldevid);
    stamp_unit_booked_fini(&v->unit);
    free(v->birth);
    memset(v, 0, sizeof *v);
}

/* ---- who is it ---- */

static enum stamp_err by_certificate(struct stamp_registry *r,
                                     const struct service_enrol *asked, time_t now,
                                     struct stamp_admitted *a, struct books_verdict *v,
                                     struct stamp_error *err)
{
    struct stamp_peer peer = {.der = asked->peer.p,
                              .len = asked->peer.len,
                              .trusted =
                                  asked->judged && asked->chain == STAMP_REFUSAL_NONE};
    enum stamp_err rc;

    memcpy(peer.fingerprint, asked->fingerprint, sizeof peer.fingerprint);
    service_text(asked->peer_serial, peer.serial, sizeof peer.serial);
    rc = stamp_registry_admit(r, &peer, a, err);
    if (rc != STAMP_OK) {
        return rc;
    }
    /* on the books byte for byte is as good as a chain, but not past its end; who is of
     * the other purpose is told that, whatever else he is */
    v->judge = a->refusal == STAMP_REFUSAL_UNTRUSTED && !asked->judged &&
               asked->chain != STAMP_REFUSAL_PURPOSE;
    if (asked->chain == STAMP_REFUSAL_PURPOSE ||
        (a->refusal == STAMP_REFUSAL_UNTRUSTED && !v->judge) ||
        (a->refusal == STAMP_REFUSAL_NONE && asked->chain == STAMP_REFUSAL_EXPIRED)) {
        a->refusal = (enum stamp_refusal)asked->chain;
    }
    if (a->refusal == STAMP_REFUSAL_NONE && a->first_use) {
        rc = stamp_registry_ldevid_use(r, a, now, err);
        v->confirmed = rc == STAMP_OK;
    }
    (void)snprintf(v->who, sizeof v->who, a->birth ? "birth key" : "operational key %u",
                   a->n);
    return rc;
}

static enum stamp_err by_token(struct stamp_registry *r,
                               const struct service_enrol *asked,
                               const uint8_t fingerprint[32], time_t now,
                               struct stamp_admitted *a, struct books_verdict *v,
                               struct stamp_error *err)
{
    char serial[STAMP_SERIAL_SIZE];

    /* what the request says counts as well */
    service_text(asked->token_serial.len > 0 ? asked->token_serial : asked->serial,
                 serial, sizeof serial);
    (void)snprintf(v->who, sizeof v->who, "token");
    return stamp_registry_admit_token(r, asked->token, serial, fingerprint, now, a, err);
}

/* Its pending certificate is this one (SHA-256): it is in use. */
static enum stamp_err first_use(struct stamp_registry *r, struct stamp_admitted *a,
                                const uint8_t in_use[32], time_t now, bool *confirmed,
                                struct stamp_error *err)
{
    struct stamp_ldevid rows[4];
    uint8_t hash[32];
    size_t n = 0;
    enum stamp_err rc = stamp_registry_ldevid_list(r, a->device, rows, 4, &n, err);

    for (size_t i = 0; i < n; i++) {
        const struct stamp_ldevid *l = &rows[i];

        if (rc == STAMP_OK && !*confirmed && l->state == STAMP_LDEVID_PENDING &&
            EVP_Digest(l->certificate, l->certificate_len, hash, NULL, stamp_sha256(),
                       NULL) == 1 &&
            memcmp(hash, in_use, sizeof hash) == 0) {
            a->n = l->n;
            rc = stamp_registry_ldevid_use(r, a, now, err);
            *confirmed = rc == STAMP_OK;
        }
        stamp_ldevid_fini(&rows[i]);
    }
    return rc;
}

/* The device vouches for its new key, where the request says so; the certificate that it
 * has in use may be one that was not seen in use before. SPEC 16-6, 16-8. */
static enum stamp_err take_evidence(struct stamp_registry *r,
                                    const struct service_enrol *asked, time_t now,
                                    struct stamp_admitted *a, struct books_verdict *v,
                                    struct stamp_error *err)
{
    STAMP_X509_AUTO *birth = NULL;
    struct stamp_rotate_evidence e;
    uint8_t point[STAMP_POINT_SIZE];
    const struct stamp_slice der = {a->certificate, a->certificate_len};
    enum stamp_err rc = STAMP_OK;

    if (stamp_pki_decode(der, &birth, NULL) != STAMP_OK ||
        stamp_key_point(X509_get0_pubkey(birth), point, NULL) != STAMP_OK ||
        stamp_evidence_read(asked->evidence, &e, NULL) != STAMP_OK ||
        stamp_evidence_check(&e, asked->point, point, NULL) != STAMP_OK) {
        a->refusal = STAMP_REFUSAL_REQUEST;
    } else {
        rc = first_use(r, a, e.in_use.p, now, &v->confirmed, err);
    }
    return rc;
}

/* A registrar shows the certificate that the books have of him, and names the device. */
static enum stamp_err by_registrar(struct stamp_registry *r,
                                   const struct service_enrol *asked, time_t now,
                                   struct stamp_admitted *a, struct books_verdict *v,
                                   struct stamp_error *err)
{
    struct stamp_error why = STAMP_ERROR_INIT;
    char serial[STAMP_SERIAL_SIZE];
    struct stamp_issued i;
    enum stamp_err rc = stamp_registry_issued_find_key(r, asked->fingerprint, &i, &why);

    memset(a, 0, sizeof *a);
    if (rc != STAMP_OK && rc != STAMP_E_MISSING) {
        return stamp_error_set(err, rc, why.native, "%s", why.what);
    }
    if (rc == STAMP_E_MISSING || i.kind != STAMP_ISSUED_REGISTRAR ||
        i.certificate_len != asked->peer.len ||
        memcmp(i.certificate, asked->peer.p, asked->peer.len) != 0) {
        a->refusal = STAMP_REFUSAL_ROLE;
    } else if (i.not_after < now || !asked->judged ||
               asked->chain != STAMP_REFUSAL_NONE) {
        a->refusal = asked->chain == STAMP_REFUSAL_NONE
                         ? STAMP_REFUSAL_EXPIRED
                         : (enum stamp_refusal)asked->chain;
    }
    (void)snprintf(v->who, sizeof v->who, "registrar %.100s", i.name);
    stamp_issued_fini(&i);
    if (a->refusal != STAMP_REFUSAL_NONE) {
        return STAMP_OK;
    }
    service_text(asked->serial, serial, sizeof serial);
    rc = stamp_registry_admit_serial(r, serial, a, err);
    return rc == STAMP_OK && a->refusal == STAMP_REFUSAL_NONE && asked->evidence.len > 0
               ? take_evidence(r, asked, now, a, v, err)
               : rc;
}

/* ---- what may he have ---- */

void books_number(struct books_numbers *numbers,
                  uint8_t out[STAMP_CERTIFICATE_SERIAL_SIZE])
{
    stamp_registry_certificate_serial(numbers->prefix, numbers->next, out);
    numbers->next++;
}

static enum stamp_refusal check_asked(const struct service_enrol *asked,
                                      const struct stamp_admitted *a)
{
    char label[STAMP_MAX_TEXT + 1u];
    char serial[STAMP_SERIAL_SIZE];

    service_text(asked->label, label, sizeof label);
    service_text(asked->serial, serial, sizeof serial);
    if (label[0] != '\0' && strcmp(label, a->product) != 0) {
        return STAMP_REFUSAL_PRODUCT;
    }
    if (serial[0] != '\0' && strcmp(serial, a->serial) != 0) {
        return STAMP_REFUSAL_SUBJECT;
    }
    return STAMP_REFUSAL_NONE;
}

/* The birth certificate, whose names the new one gets. */
static void take_birth(struct stamp_admitted *a, struct books_verdict *v)
{
    v->birth = a->certificate;
    v->birth_len = a->certificate_len;
    a->certificate = NULL;
    if (v->birth == NULL || v->birth_len > STAMP_MAX_CERTIFICATE) {
        v->refusal = STAMP_REFUSAL_POLICY; /* imported without one */
    }
}

static enum stamp_err begin(struct stamp_registry *r,
                            const struct stamp_service_setup *setup, int64_t device,
                            const uint8_t fingerprint[32], time_t now,
                            struct books_numbers *numbers, struct books_verdict *v,
                            struct stamp_error *err)
{
    struct stamp_ldevid_asked asked = {
        .device = device,
        .now = now,
        .not_after = now + (time_t)setup->days * DAY,
        .renew_before = now + (time_t)setup->days * (DAY / 2),
        .per_hour = setup->per_hour,
        .who = v->who,
    };

    memcpy(asked.fingerprint, fingerprint, sizeof asked.fingerprint);
    books_number(numbers, asked.certificate_serial);
    return stamp_registry_ldevid_begin(r, &asked, &v->refusal, &v->ldevid, err);
}

enum stamp_err books_enrol(struct stamp_registry *r,
                           const struct stamp_service_setup *setup,
                           const struct service_enrol *asked, time_t now,
                           struct books_numbers *numbers, struct books_verdict *v,
                           struct stamp_error *err)
{
    struct stamp_admitted a = {0};
    uint8_t fingerprint[32];
    enum stamp_err rc = stamp_key_hash(asked->point, fingerprint, err);

    memset(v, 0, sizeof *v);
    if (rc == STAMP_OK) {
        switch ((enum service_credential)asked->credential) {
        case SERVICE_BY_CERTIFICATE:
            rc = by_certificate(r, asked, now, &a, v, err);
            break;
        case SERVICE_BY_TOKEN:
            rc = by_token(r, asked, fingerprint, now, &a, v, err);
            break;
        case SERVICE_BY_REGISTRAR:
        default:
            rc = by_registrar(r, asked, now, &a, v, err);
            break;
        }
    }
    memcpy(v->serial, a.serial, sizeof v->serial);
    v->refusal = a.refusal;
    if (rc == STAMP_OK && v->refusal == STAMP_REFUSAL_NONE) {
        v->refusal = check_asked(asked, &a);
    }
    if (rc == STAMP_OK && v->refusal == STAMP_REFUSAL_NONE) {
        rc = begin(r, setup, a.device, fingerprint, now, numbers, v, err);
    }
    if (rc == STAMP_OK && v->refusal == STAMP_REFUSAL_NONE && a.first_use &&
        asked->credential == SERVICE_BY_TOKEN) {
        rc =
            stamp_registry_token_use(r, asked->token, fingerprint, now, &v->refusal, err);
    }
    if (rc == STAMP_OK && v->refusal == STAMP_REFUSAL_NONE &&
        v->ldevid.state == STAMP_LDEVID_INTENT) {
        take_birth(&a, v);
    }
    stamp_admitted_fini(&a);
    return rc;
}

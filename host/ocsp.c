#include "host/ocsp.h"

#include <errno.h>
#include <stdlib.h>

struct stamp_ocsp {
    X509 *issuer;
    OCSP_BASICRESP *basic;
};

enum stamp_err stamp_ocsp_new(X509 *issuer, struct stamp_ocsp **out,
                              struct stamp_error *err)
{
    struct stamp_ocsp *o = calloc(1, sizeof *o);

    *out = o;
    if (o != NULL) {
        o->issuer = issuer;
        o->basic = OCSP_BASICRESP_new();
    }
    if (o == NULL || o->basic == NULL) {
        stamp_ocsp_free(out);
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    return STAMP_OK;
}

void stamp_ocsp_free(struct stamp_ocsp **p)
{
    if (*p != NULL) {
        OCSP_BASICRESP_free((*p)->basic);
        free(*p);
        *p = NULL;
    }
}

static OCSP_CERTID *id_of(const struct stamp_ocsp *o,
                          const struct stamp_ocsp_single *single)
{
    BIGNUM *bn = BN_bin2bn(single->serial_number.p, (int)single->serial_number.len, NULL);
    ASN1_INTEGER *number = bn == NULL ? NULL : BN_to_ASN1_INTEGER(bn, NULL);
    OCSP_CERTID *id = NULL;

    if (number != NULL) {
        id = OCSP_cert_id_new(single->md, X509_get_subject_name(o->issuer),
                              X509_get0_pubkey_bitstr(o->issuer), number);
    }
    ASN1_INTEGER_free(number);
    BN_free(bn);
    return id;
}

enum stamp_err stamp_ocsp_add(struct stamp_ocsp *o,
                              const struct stamp_ocsp_single *single,
                              struct stamp_error *err)
{
    static const int statuses[] = {V_OCSP_CERTSTATUS_GOOD, V_OCSP_CERTSTATUS_REVOKED,
                                   V_OCSP_CERTSTATUS_UNKNOWN};
    const struct stamp_revocation *r = &single->revocation;
    OCSP_CERTID *id = id_of(o, single);
    ASN1_TIME *from = ASN1_TIME_adj(NULL, single->this_update, 0, 0);
    ASN1_TIME *to = ASN1_TIME_adj(NULL, single->next_update, 0, 0);
    ASN1_TIME *since = ASN1_TIME_adj(NULL, r->at, 0, 0);
    /* RFC 5280 5.3.1: none rather than "unspecified" */
    int reason = r->reason == STAMP_REASON_UNSPECIFIED ? -1 : (int)r->reason;
    bool ok = id != NULL && from != NULL && to != NULL && since != NULL &&
              OCSP_basic_add1_status(o->basic, id, statuses[single->status], reason,
                                     since, from, to) != NULL;

    ASN1_TIME_free(from);
    ASN1_TIME_free(to);
    ASN1_TIME_free(since);
    OCSP_CERTID_free(id);
    return ok ? STAMP_OK : stamp_openssl_failed(err, "cannot make an OCSP answer");
}

enum stamp_err stamp_ocsp_sign(struct stamp_ocsp *o, X509 *cert, EVP_PKEY *key,
                               uint8_t **der, size_t *len, struct stamp_error *err)
{
    OCSP_RESPONSE *response = NULL;
    unsigned char *bytes = NULL;
    int n = 0;

    *der = NULL;
    *len = 0;
    if (OCSP_basic_sign(o->basic, cert, key, EVP_sha256(), NULL, OCSP_RESPID_KEY) == 1) {
        response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, o->basic);
    }
    if (response != NULL) {
        n = i2d_OCSP_RESPONSE(response, &bytes);
    }
    OCSP_RESPONSE_free(response);
    if (n <= 0) {
        return stamp_openssl_failed(err, "cannot sign an OCSP answer");
    }
    *der = bytes;
    *len = (size_t)n;
    return STAMP_OK;
}

#include "host/evidence.h"

#include <openssl/err.h>
#include <string.h>

#include "core/keys.h"
#include "host/pkcs10.h"
#include "host/request.h"
#include "host/sig.h"

enum { CHALLENGE_SIZE = 32, HASH_SIZE = 32, CHIP_MAX = 32 };

static struct stamp_slice take(struct stamp_cbor *c, uint32_t key, size_t min, size_t max)
{
    stamp_cbor_want(c, STAMP_CBOR_UINT, key);
    return stamp_cbor_string(c, STAMP_CBOR_BYTES, min, max);
}

struct stamp_slice stamp_evidence_of(const STACK_OF(X509_EXTENSION) * extensions)
{
    ASN1_OBJECT *oid = sk_X509_EXTENSION_num(extensions) <= 0
                           ? NULL
                           : OBJ_txt2obj(STAMP_REQUEST_EVIDENCE, 1);
    const ASN1_OCTET_STRING *value =
        oid == NULL ? NULL : stamp_extension(extensions, oid);
    struct stamp_slice out = {NULL, 0};

    if (value != NULL) {
        out.p = ASN1_STRING_get0_data(value);
        out.len = (size_t)ASN1_STRING_length(value);
    }
    ASN1_OBJECT_free(oid);
    return out;
}

enum stamp_err stamp_evidence_read(struct stamp_slice value,
                                   struct stamp_rotate_evidence *out,
                                   struct stamp_error *err)
{
    struct stamp_cbor c;

    stamp_cbor_init(&c, value.p, value.len);
    stamp_cbor_want(&c, STAMP_CBOR_MAP, 4);
    out->challenge = take(&c, STAMP_EVIDENCE_CHALLENGE, CHALLENGE_SIZE, CHALLENGE_SIZE);
    out->chip = take(&c, STAMP_EVIDENCE_CHIP, 0, CHIP_MAX);
    out->in_use = take(&c, STAMP_EVIDENCE_IN_USE, HASH_SIZE, HASH_SIZE);
    out->voucher = take(&c, STAMP_EVIDENCE_VOUCHER, STAMP_SIG_SIZE, STAMP_SIG_SIZE);
    return c.err == STAMP_OK && c.left == 0
               ? STAMP_OK
               : stamp_error_set(err, STAMP_E_FORMAT, 0,
                                 "the device's request for a certificate is malformed: "
                                 "it does not say whose it is");
}

enum stamp_err stamp_evidence_check(const struct stamp_rotate_evidence *e,
                                    const uint8_t *point, const uint8_t *birth,
                                    struct stamp_error *err)
{
    const struct stamp_slice parts[] = {
        {point, STAMP_POINT_SIZE}, e->challenge, e->in_use, e->chip};
    uint8_t vouched[STAMP_POINT_SIZE + CHALLENGE_SIZE + HASH_SIZE + CHIP_MAX];
    size_t len = 0;

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (parts[i].len > 0) {
            memcpy(vouched + len, parts[i].p, parts[i].len);
        }
        len += parts[i].len;
    }
    if (stamp_sig_check_point(birth, STAMP_LABEL_ROTATE, vouched, len, e->voucher.p,
                              NULL) == STAMP_OK) {
        return STAMP_OK;
    }
    ERR_clear_error();
    return stamp_error_set(err, STAMP_E_AUTH, 0,
                           "the device's request for a certificate is refused: the birth "
                           "key does not vouch for the new key");
}

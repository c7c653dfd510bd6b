/* The request for a certificate over the stamp that is to be: its binding, and what tells
 * the station about the unit. SPEC 13-11, 13-12. */
#include <mbedtls/asn1write.h>
#include <mbedtls/oid.h>
#include <string.h>

#include "device/share_i.h"
#include "device/strike_i.h"

enum { EVIDENCE_MAX = 384 };

struct about {
    const struct stamp_device *dev;
    const struct stampi_offer *offer;
    const uint8_t *point; /* of the provisioning key, where one was made */
    struct stamp_slice body;
    struct stamp_slice challenge;
};

/* The hash that stands for a secret in the claims. */
static enum stamp_err put_commitment(struct stamp_cbor_out *o,
                                     const struct stamp_device *dev, uint32_t key,
                                     uint32_t *count)
{
    uint8_t hash[STAMPI_HASH_SIZE];
    struct stamp_slice v;
    enum stamp_err rc = stampi_find(dev, STAMPI_PENDING, key, &v);

    if (rc == STAMP_OK) {
        rc = stampi_sha256(v.p, v.len, hash);
        stampi_evidence_put(o, key, hash, sizeof hash);
        ++*count;
    }
    stampi_done(dev);
    return rc == STAMP_E_MISSING ? STAMP_OK : rc;
}

static enum stamp_err add_evidence(struct stampi_csr *csr, const struct about *a)
{
    uint8_t evidence[EVIDENCE_MAX];
    struct stamp_cbor_out o;
    uint32_t count = 3;
    enum stamp_err rc;

    stamp_cbor_out_init(&o, evidence, sizeof evidence);
    rc = stampi_evidence_begin(&o, a->dev, a->challenge);
    stampi_evidence_put(&o, STAMP_EVIDENCE_OFFER, a->offer->digest,
                        sizeof a->offer->digest);
    if (a->offer->own_key) {
        stampi_evidence_put(&o, STAMP_PROVISIONING_KEY, a->point, STAMP_POINT_SIZE);
        count++;
    }
    for (uint32_t key = STAMP_POP; key <= STAMP_SECRET_BARCODES && rc == STAMP_OK;
         key++) {
        rc = put_commitment(&o, a->dev, key, &count);
    }
    return rc == STAMP_OK ? stampi_csr_evidence(csr, &o, count) : rc;
}

/* The binding of the stamp that the body will be. */
STAMPI_OWN_FRAME static enum stamp_err add_binding(struct stampi_csr *csr,
                                                   const struct about *a)
{
    struct stampi_view view;
    struct stamp_slice v;
    enum stamp_err rc = stampi_map_find(a->offer->claims, STAMP_PURPOSE, &v);

    stampi_view_init(&view, a->dev->port, a->body.p, a->body.len);
    return rc == STAMP_OK ? stampi_csr_binding(csr, &view.dev, v.p[0]) : rc;
}

STAMPI_OWN_FRAME static enum stamp_err describe(struct stampi_csr *csr,
                                                const struct about *a)
{
    struct stamp_slice v;
    struct stamp_cbor_head head;
    mbedtls_asn1_named_data *name = NULL;
    enum stamp_err rc = add_binding(csr, a);

    if (rc == STAMP_OK) {
        rc = stampi_map_find(a->offer->claims, STAMP_SERIAL, &v);
    }
    if (rc == STAMP_OK) {
        rc = stamp_cbor_head(v.p, v.len, &head);
    }
    if (rc == STAMP_OK) {
        name = mbedtls_asn1_store_named_data(
            &csr->out.subject, MBEDTLS_OID_AT_SERIAL_NUMBER,
            sizeof MBEDTLS_OID_AT_SERIAL_NUMBER - 1, v.p + head.size, v.len - head.size);
        rc = name != NULL ? add_evidence(csr, a) : STAMP_E_CRYPTO;
    }
    if (rc == STAMP_OK) {
        name->val.tag = MBEDTLS_ASN1_UTF8_STRING;
    }
    return rc;
}

enum stamp_err stampi_request_make(struct stampi_call *c,
                                   const struct stampi_offer *offer, const uint8_t *point,
                                   struct stamp_slice body, struct stamp_slice challenge)
{
    struct stamp_strike *s = stampi_strike_of(c);
    const struct about about = {c->a->cfg.dev, offer, point, body, challenge};
    struct stampi_csr csr;
    struct stamp_cbor_out room;
    psa_key_id_t id;
    enum stamp_err rc = stamp_key_load(about.dev, STAMPI_PENDING, STAMP_DEVICE_KEY, &id);

    room = stampi_strike_room(s);
    room.size -= body.len; /* which lies at its beginning */
    room.p += body.len;
    if (rc == STAMP_OK) {
        rc = stampi_csr_begin(&csr, id);
        if (rc == STAMP_OK) {
            rc = describe(&csr, &about);
        }
        rc = stampi_csr_end(&csr, rc, room, &s->request);
    }
    stamp_key_unload(id);
    return rc;
}

/*
 * Certificates: do they belong to this device, and do they lead to the owner's anchors?
 * The crypto library parses and verifies them; only the extension of SPEC 7-4 is read
 * here.
 */
#include <mbedtls/oid.h>
#include <mbedtls/x509_crt.h>
#include <string.h>

#include "device/device_i.h"

/* SubjectPublicKeyInfo of a P-256 key up to its point (RFC 5480). */
static const uint8_t spki_head[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48,
                                    0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A, 0x86, 0x48,
                                    0xCE, 0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};

/* SPEC 7-5: 1.2.840.113556.1.8000.2554 and a UUID; or 1.3.6.1.4.1, a PEN, 33445.1. */
static const uint8_t oid_uuid[] = {0x2A, 0x86, 0x48, 0x86, 0xF7, 0x14, 0x01, 0xBE, 0x40,
                                   0x93, 0x7A, 0x82, 0xA7, 0x36, 0x81, 0x81, 0x21, 0x81,
                                   0x85, 0x2A, 0x81, 0x8E, 0x28, 0x82, 0x98, 0x26, 0x81,
                                   0xE0, 0x5B, 0xE1, 0x73, 0x83, 0x99, 0x12, 0x01};
static const uint8_t oid_pen_head[] = {0x2B, 0x06, 0x01, 0x04, 0x01};
static const uint8_t oid_pen_tail[] = {0x82, 0x85, 0x25, 0x01};

/* The two forms of the extension's value, up to purpose and digest. */
#define VALUE_PURPOSE 4u
#define VALUE_DIGEST 7u
#define VALUE_SHORT 5u
#define VALUE_LONG (VALUE_DIGEST + STAMPI_HASH_SIZE)

struct binding {
    bool found;
    uint8_t purpose;
    const uint8_t *digest; /* NULL: none */
};

static bool same(const uint8_t *p, const uint8_t *q, size_t len)
{
    return memcmp(p, q, len) == 0;
}

static bool is_binding(const uint8_t *oid, size_t len)
{
    size_t around = sizeof oid_pen_head + sizeof oid_pen_tail;
    size_t last;

    if (len == sizeof oid_uuid && same(oid, oid_uuid, len)) {
        return true;
    }
    if (len <= around || len > around + 5 ||
        !same(oid, oid_pen_head, sizeof oid_pen_head)) {
        return false;
    }
    last = len - sizeof oid_pen_tail - 1;
    for (size_t i = sizeof oid_pen_head; i <= last; i++) { /* one arc */
        if ((oid[i] & 0x80u) == 0 ? i != last : i == last) {
            return false;
        }
    }
    return same(oid + last + 1, oid_pen_tail, sizeof oid_pen_tail);
}

static bool read_value(const uint8_t *p, size_t len, struct binding *b)
{
    static const uint8_t head[] = {0x30, 0, 0x0A, 0x01};
    uint8_t expected[sizeof head];

    memcpy(expected, head, sizeof head);
    expected[1] = (uint8_t)(len - 2);
    if ((len != VALUE_SHORT && len != VALUE_LONG) || !same(p, expected, sizeof head) ||
        p[VALUE_PURPOSE] > STAMP_PRODUCTION) {
        return false;
    }
    if (len == VALUE_LONG) {
        if (p[VALUE_SHORT] != MBEDTLS_ASN1_OCTET_STRING ||
            p[VALUE_SHORT + 1] != STAMPI_HASH_SIZE) {
            return false;
        }
        b->digest = p + VALUE_DIGEST;
    }
    b->purpose = p[VALUE_PURPOSE];
    b->found = true;
    return true;
}

/* Look through a certificate's extensions. False: it has a broken one, or two. */
static bool find_binding(const mbedtls_x509_crt *crt, struct binding *b)
{
    unsigned char *p = crt->v3_ext.p;
    const unsigned char *end;
    size_t len;

    memset(b, 0, sizeof *b);
    if (p == NULL) {
        return true;
    }
    end = p + crt->v3_ext.len;
    if (mbedtls_asn1_get_tag(&p, end, &len,
                             MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE) != 0) {
        return false;
    }
    while (p < end) {
        const unsigned char *stop;
        const unsigned char *oid;
        size_t oid_len;
        int critical;

        if (mbedtls_asn1_get_tag(&p, end, &len,
                                 MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE) != 0) {
            return false;
        }
        stop = p + len;
        if (mbedtls_asn1_get_tag(&p, stop, &oid_len, MBEDTLS_ASN1_OID) != 0) {
            return false;
        }
        oid = p;
        p += oid_len;
        (void)mbedtls_asn1_get_bool(&p, stop, &critical);
        if (mbedtls_asn1_get_tag(&p, stop, &len, MBEDTLS_ASN1_OCTET_STRING) != 0 ||
            p + len != stop) {
            return false;
        }
        if (is_binding(oid, oid_len) && (b->found || !read_value(p, len, b))) {
            return false;
        }
        p += len;
    }
    return true;
}

static enum stamp_err parse(mbedtls_x509_crt *chain, struct stamp_slice der)
{
    const mbedtls_x509_crt *last = chain;

    if (mbedtls_x509_crt_parse_der(chain, der.p, der.len) != 0) {
        return STAMP_E_FORMAT;
    }
    while (last->next != NULL) {
        last = last->next;
    }
    return last->raw.len == der.len ? STAMP_OK : STAMP_E_FORMAT;
}

static enum stamp_err parse_chain(mbedtls_x509_crt *chain, struct stamp_slice encoding)
{
    struct stamp_cbor c;
    enum stamp_err rc = STAMP_OK;
    uint32_t n;

    stamp_cbor_init(&c, encoding.p, encoding.len);
    n = stamp_cbor_expect(&c, STAMP_CBOR_ARRAY);
    if (n == 0 || n > STAMP_MAX_CERTIFICATES) {
        return STAMP_E_FORMAT;
    }
    for (; n > 0 && rc == STAMP_OK; n--) {
        struct stamp_slice der =
            stamp_cbor_string(&c, STAMP_CBOR_BYTES, 1, STAMP_MAX_CERTIFICATE);

        rc = c.err == STAMP_OK ? parse(chain, der) : c.err;
    }
    return rc == STAMP_OK && c.left != 0 ? STAMP_E_FORMAT : rc;
}

/* Does it lead to one of the bundle's anchors? */
static enum stamp_err verify(mbedtls_x509_crt *chain, const struct stamp_bundle *bundle)
{
    mbedtls_x509_crt anchors;
    enum stamp_err rc = STAMP_OK;
    uint32_t flags = 0;

    mbedtls_x509_crt_init(&anchors);
    for (uint8_t i = 0; i < bundle->n_anchors && rc == STAMP_OK; i++) {
        rc = parse(&anchors, bundle->anchors[i]);
    }
    if (rc == STAMP_OK &&
        mbedtls_x509_crt_verify(chain, &anchors, NULL, NULL, &flags, NULL, NULL) != 0) {
        rc = STAMP_E_AUTH;
    }
    mbedtls_x509_crt_free(&anchors);
    return rc;
}

/* The leaf certifies this key and this serial. */
static bool is_ours(mbedtls_x509_crt *leaf, const struct stampi_identity *who)
{
    const mbedtls_asn1_named_data *name =
        mbedtls_asn1_find_named_data(&leaf->subject, MBEDTLS_OID_AT_SERIAL_NUMBER,
                                     sizeof MBEDTLS_OID_AT_SERIAL_NUMBER - 1);

    return leaf->pk_raw.len == sizeof spki_head + STAMP_POINT_SIZE &&
           same(leaf->pk_raw.p, spki_head, sizeof spki_head) &&
           same(leaf->pk_raw.p + sizeof spki_head, who->point, STAMP_POINT_SIZE) &&
           (name == NULL || (name->val.len == who->serial.len &&
                             same(name->val.p, who->serial.p, who->serial.len)));
}

enum stamp_err stampi_chain_check(struct stamp_slice certificates,
                                  const struct stampi_identity *who, bool *bound)
{
    mbedtls_x509_crt chain;
    enum stamp_err rc;

    *bound = false;
    mbedtls_x509_crt_init(&chain);
    rc = parse_chain(&chain, certificates);
    if (rc == STAMP_OK && !is_ours(&chain, who)) {
        rc = STAMP_E_AUTH;
    }
    for (mbedtls_x509_crt *crt = &chain; crt != NULL && rc == STAMP_OK; crt = crt->next) {
        struct binding b;

        if (!find_binding(crt, &b)) {
            rc = STAMP_E_FORMAT;
        } else if (b.found && b.purpose != who->purpose) {
            rc = STAMP_E_PURPOSE;
        } else if (crt == &chain && b.digest != NULL) {
            *bound = true;
            rc = same(b.digest, who->digest, STAMPI_HASH_SIZE) ? STAMP_OK : STAMP_E_AUTH;
        }
    }
    if (rc == STAMP_OK && who->bundle != NULL) {
        rc = verify(&chain, who->bundle);
    }
    mbedtls_x509_crt_free(&chain);
    return rc;
}

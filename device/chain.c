/*
 * Certificates: the crypto library parses them; only what binds one to a stamp is read
 * here, the extension of SPEC 7-4.
 */
#include <mbedtls/oid.h>
#include <string.h>

#include "device/chain_i.h"

/* Bytes of the SubjectPublicKeyInfo of a P-256 key (RFC 5480), whose point is at its end;
 * that of another curve with points as long has another length. */
#define SPKI_SIZE 91u

/* SPEC 7-5: 1.2.840.113556.1.8000.2554 and a UUID; or 1.3.6.1.4.1, a PEN, 33445.1. */
const uint8_t stampi_oid[STAMPI_OID_SIZE] = {
    0x2A, 0x86, 0x48, 0x86, 0xF7, 0x14, 0x01, 0xBE, 0x40, 0x93, 0x7A, 0x82,
    0xA7, 0x36, 0x81, 0x81, 0x21, 0x81, 0x85, 0x2A, 0x81, 0x8E, 0x28, 0x82,
    0x98, 0x26, 0x81, 0xE0, 0x5B, 0xE1, 0x73, 0x83, 0x99, 0x12, 0x01};
static const uint8_t oid_pen[] = {0x2B, 0x06, 0x01, 0x04, 0x01, 0x82, 0x85, 0x25, 0x01};
#define PEN_AT 5u /* where the number's arc goes */
#define PEN_MAX_LEN 5u

static bool is_binding(const uint8_t *oid, size_t len)
{
    size_t pen_len = len - sizeof oid_pen;

    if (len == sizeof stampi_oid && memcmp(oid, stampi_oid, len) == 0) {
        return true;
    }
    if (len <= sizeof oid_pen || pen_len > PEN_MAX_LEN ||
        memcmp(oid, oid_pen, PEN_AT) != 0) {
        return false;
    }
    for (oid += PEN_AT; pen_len > 1;
         pen_len--) { /* one arc: all but its last byte go on */
        if ((*oid++ & 0x80u) == 0) {
            return false;
        }
    }
    return *oid < 0x80u &&
           memcmp(oid + 1, oid_pen + PEN_AT, sizeof oid_pen - PEN_AT) == 0;
}

static enum stamp_err check_value(const uint8_t *p, size_t len,
                                  struct stampi_identity *who)
{
    if ((len != STAMPI_BINDING_SHORT && len != STAMPI_BINDING_LONG) || p[1] != len - 2) {
        return STAMP_E_FORMAT;
    }
    if (p[STAMPI_BINDING_SHORT - 1] != who->purpose) {
        return STAMP_E_PURPOSE;
    }
    if (!who->leaf) { /* a digest is for leaves */
        len = STAMPI_BINDING_SHORT;
    }
    who->bound |= len == STAMPI_BINDING_LONG;
    return p[0] == who->binding[0] && memcmp(p + 2, who->binding + 2, len - 2) == 0
               ? STAMP_OK
               : STAMP_E_AUTH;
}

/* Called for each extension that the crypto library does not know; a critical one ends
 * it. */
static int see_extension(void *ctx, const mbedtls_x509_crt *crt,
                         const mbedtls_x509_buf *oid, int critical,
                         const unsigned char *p, const unsigned char *end)
{
    struct stampi_identity *who = ctx;

    (void)crt;
    if (is_binding(oid->p, oid->len) && who->err == STAMP_OK) {
        who->err = (int8_t)check_value(p, (size_t)(end - p), who);
    }
    return critical != 0 ? MBEDTLS_ERR_X509_INVALID_EXTENSIONS : 0;
}

enum stamp_err stampi_parse_certificate(mbedtls_x509_crt *list, struct stamp_slice der,
                                        struct stampi_identity *who)
{
    if (mbedtls_x509_crt_parse_der_with_ext_cb(list, der.p, der.len, 1, see_extension,
                                               who) != 0) {
        return STAMP_E_FORMAT;
    }
    who->leaf = false;
    return (enum stamp_err)who->err;
}

bool stampi_certifies(mbedtls_x509_crt *leaf, const struct stampi_identity *who)
{
    const mbedtls_asn1_named_data *name =
        mbedtls_asn1_find_named_data(&leaf->subject, MBEDTLS_OID_AT_SERIAL_NUMBER,
                                     sizeof MBEDTLS_OID_AT_SERIAL_NUMBER - 1);

    return leaf->pk_raw.len == SPKI_SIZE &&
           memcmp(leaf->pk_raw.p + SPKI_SIZE - STAMP_POINT_SIZE, who->point,
                  STAMP_POINT_SIZE) == 0 &&
           (name == NULL || (name->val.len == who->serial_len &&
                             memcmp(name->val.p, who->serial, name->val.len) == 0));
}

#include "host/dpp.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <string.h>

#include "host/openssl.h"

#define POINT_AT 26u /* offset of the compressed point in the DER */

/* SEQUENCE { SEQUENCE { id-ecPublicKey, prime256v1 }, BIT STRING of 33 bytes } */
static const uint8_t der_head[POINT_AT] = {
    0x30, 0x39, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01,
    0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07, 0x03, 0x22, 0x00};

void stamp_dpp_der(const uint8_t point[STAMP_POINT_SIZE], uint8_t out[STAMP_DPP_DER_LEN])
{
    /* SEC 1, 2.3.3: 02 or 03 after the parity of y, then x. */
    memcpy(out, der_head, POINT_AT);
    out[POINT_AT] = (uint8_t)(2u | (point[STAMP_POINT_SIZE - 1] & 1u));
    memcpy(out + POINT_AT + 1, point + 1, 32);
}

void stamp_dpp_key(const uint8_t point[STAMP_POINT_SIZE],
                   char out[STAMP_DPP_KEY_LEN + 1u])
{
    uint8_t der[STAMP_DPP_DER_LEN];

    stamp_dpp_der(point, der);
    (void)EVP_EncodeBlock((unsigned char *)out, der, (int)sizeof der);
}

enum stamp_err stamp_dpp_hash(const uint8_t point[STAMP_POINT_SIZE],
                              uint8_t out[STAMP_DPP_HASH_LEN], struct stamp_error *err)
{
    uint8_t der[STAMP_DPP_DER_LEN];

    stamp_dpp_der(point, der);
    if (EVP_Digest(der, sizeof der, out, NULL, stamp_sha256(), NULL) != 1) {
        return stamp_error_set(err, STAMP_E_CRYPTO, 0,
                               "cannot hash the provisioning key");
    }
    return STAMP_OK;
}

/* OpenSSL finds y and refuses an x that is not on the curve. */
static bool decompress(const uint8_t *der, uint8_t point[STAMP_POINT_SIZE])
{
    const unsigned char *p = der;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &p, (long)STAMP_DPP_DER_LEN);
    BIGNUM *x = NULL;
    BIGNUM *y = NULL;
    bool good = key != NULL && EVP_PKEY_is_a(key, "EC") == 1 &&
                EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_X, &x) == 1 &&
                EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_Y, &y) == 1 &&
                BN_bn2binpad(x, point + 1, 32) == 32 &&
                BN_bn2binpad(y, point + 33, 32) == 32;

    point[0] = 4;
    BN_free(x);
    BN_free(y);
    EVP_PKEY_free(key);
    return good;
}

static bool parse_key(const char *text, size_t len, uint8_t point[STAMP_POINT_SIZE])
{
    uint8_t der[STAMP_DPP_KEY_LEN]; /* EVP_DecodeBlock() writes whole blocks of 3 */
    char again[STAMP_DPP_KEY_LEN + 1u];

    if (len != STAMP_DPP_KEY_LEN ||
        EVP_DecodeBlock(der, (const unsigned char *)text, (int)len) != 60 ||
        memcmp(der, der_head, POINT_AT) != 0 || !decompress(der, point)) {
        return false;
    }
    /* One key, one text: stray bits behind the last byte and a flipped parity show here.
     */
    stamp_dpp_key(point, again);
    return memcmp(text, again, len) == 0;
}

static enum stamp_err bad_uri(const char *why, struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_FORMAT, 0, "not a DPP URI: %s", why);
}

/* One field is LETTER ':' VALUE; `at` goes past its ';'. */
static enum stamp_err parse_field(const char *uri, size_t len, size_t *at, bool *has_key,
                                  uint8_t point[STAMP_POINT_SIZE],
                                  struct stamp_error *err)
{
    const char *field = uri + *at;
    const char *end = memchr(field, ';', len - *at);
    size_t field_len;

    if (end == NULL) {
        return bad_uri("it does not end in ';;'", err);
    }
    field_len = (size_t)(end - field);
    if (field_len < 2 || field[1] != ':' || field[0] < 'A' || field[0] > 'Z') {
        return bad_uri("a field is not a capital letter, ':' and a value", err);
    }
    for (size_t i = 2; i < field_len; i++) {
        if (field[i] < 0x20 || field[i] > 0x7E) {
            return bad_uri("it has a character that is not printable", err);
        }
    }
    *at += field_len + 1;
    if (field[0] != 'K') {
        return STAMP_OK;
    }
    if (*has_key) {
        return bad_uri("it has two keys", err);
    }
    if (!parse_key(field + 2, field_len - 2, point)) {
        return bad_uri("its key is not a compressed P-256 key", err);
    }
    *has_key = true;
    return STAMP_OK;
}

enum stamp_err stamp_dpp_parse(const char *uri, size_t len,
                               uint8_t point[STAMP_POINT_SIZE], struct stamp_error *err)
{
    bool has_key = false;
    size_t at = 4;
    enum stamp_err rc = STAMP_OK;

    memset(point, 0, STAMP_POINT_SIZE);
    if (len < 4 || memcmp(uri, "DPP:", 4) != 0) {
        return bad_uri("it does not begin with 'DPP:'", err);
    }
    while (rc == STAMP_OK && at < len && uri[at] != ';') {
        rc = parse_field(uri, len, &at, &has_key, point, err);
    }
    if (rc == STAMP_OK && (at >= len || at + 1 != len)) {
        rc = bad_uri(
            at >= len ? "it does not end in ';;'" : "there is more after its end", err);
    }
    if (rc == STAMP_OK && !has_key) {
        rc = bad_uri("it has no key", err);
    }
    if (rc != STAMP_OK) {
        memset(point, 0, STAMP_POINT_SIZE);
    }
    return rc;
}

#include "host/key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define CURVE "P-256"

/* SubjectPublicKeyInfo up to the point: RFC 5480 2. */
static const uint8_t spki_head[STAMP_SPKI_SIZE - STAMP_POINT_SIZE] = {
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01,
    0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};

void stamp_key_spki(const uint8_t point[STAMP_POINT_SIZE], uint8_t out[STAMP_SPKI_SIZE])
{
    memcpy(out, spki_head, sizeof spki_head);
    memcpy(out + sizeof spki_head, point, STAMP_POINT_SIZE);
}

bool stamp_key_spki_point(struct stamp_slice der, uint8_t point[STAMP_POINT_SIZE])
{
    if (der.len != STAMP_SPKI_SIZE || memcmp(der.p, spki_head, sizeof spki_head) != 0) {
        return false;
    }
    memcpy(point, der.p + sizeof spki_head, STAMP_POINT_SIZE);
    return point[0] == 0x04;
}

enum stamp_err stamp_key_generate(EVP_PKEY **out, struct stamp_error *err)
{
    *out = EVP_EC_gen(CURVE);
    return *out == NULL ? stamp_openssl_failed(err, "cannot make a key pair") : STAMP_OK;
}

static enum stamp_err not_p256(struct stamp_error *err)
{
    ERR_clear_error();
    return stamp_error_set(err, STAMP_E_FORMAT, 0, "the key is not a P-256 key");
}

static enum stamp_err read_point(const EVP_PKEY *key, uint8_t point[STAMP_POINT_SIZE],
                                 struct stamp_error *err)
{
    char group[32] = "";
    size_t len = 0;

    memset(point, 0, STAMP_POINT_SIZE);
    if (key == NULL || EVP_PKEY_get_base_id(key) != EVP_PKEY_EC ||
        EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group,
                                       sizeof group, NULL) != 1 ||
        (strcmp(group, "prime256v1") != 0 && strcmp(group, CURVE) != 0)) {
        return not_p256(err);
    }
    /* A file may hold the point compressed; x and y are the same either way. */
    if (EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point,
                                        STAMP_POINT_SIZE, &len) == 1 &&
        len == STAMP_POINT_SIZE && point[0] == 0x04) {
        return STAMP_OK;
    }
    BIGNUM *x = NULL;
    BIGNUM *y = NULL;
    bool ok = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_X, &x) == 1 &&
              EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_Y, &y) == 1 &&
              BN_bn2binpad(x, point + 1, 32) == 32 &&
              BN_bn2binpad(y, point + 33, 32) == 32;

    BN_free(x);
    BN_free(y);
    point[0] = 0x04;
    return ok ? STAMP_OK : not_p256(err);
}

/* A key in a token has no parameters that OpenSSL can ask for; its public half, on its
 * own, has. */
enum stamp_err stamp_key_point(const EVP_PKEY *key, uint8_t point[STAMP_POINT_SIZE],
                               struct stamp_error *err)
{
    STAMP_PKEY_AUTO *half = NULL;
    unsigned char *der = NULL;
    const unsigned char *p;
    int len;

    if (key == NULL || EVP_PKEY_get0_provider(key) != NULL) {
        return read_point(key, point, err);
    }
    len = i2d_PUBKEY(key, &der);
    if (len > 0) {
        p = der;
        half = d2i_PUBKEY(NULL, &p, len);
    }
    OPENSSL_free(der);
    return read_point(half, point, err);
}

enum stamp_err stamp_key_scalar(const EVP_PKEY *key, uint8_t scalar[STAMP_SCALAR_SIZE],
                                struct stamp_error *err)
{
    BIGNUM *d = NULL;
    enum stamp_err rc = STAMP_OK;

    if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &d) != 1 ||
        BN_bn2binpad(d, scalar, (int)STAMP_SCALAR_SIZE) != (int)STAMP_SCALAR_SIZE) {
        OPENSSL_cleanse(scalar, STAMP_SCALAR_SIZE);
        rc = stamp_openssl_failed(err, "cannot take the private key's bytes");
    }
    BN_clear_free(d);
    return rc;
}

/* Import a point with its scalar. */
static EVP_PKEY *import(const uint8_t *point, const BIGNUM *d)
{
    STAMP_PKEY_CTX_AUTO *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    OSSL_PARAM *params = NULL;
    EVP_PKEY *key = NULL;

    if (ctx != NULL && bld != NULL &&
        OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, CURVE, 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point,
                                         STAMP_POINT_SIZE) == 1 &&
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PRIV_KEY, d) == 1) {
        params = OSSL_PARAM_BLD_to_param(bld);
    }
    if (params == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) != 1) {
        key = NULL;
    }
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    return key;
}

/* The quick check, coordinates and curve, is all there is to check: every point of P-256,
 * whose cofactor is 1, has the group's order. SP 800-56A 5.6.2.3.3, 5.6.2.3.4. */
/* A key that has a curve and no point yet. A copy of it that is given a point costs a
 * quarter of an import, which sets the curve's arithmetic up each time. */
static EVP_PKEY *curve;
static pthread_once_t curve_once = PTHREAD_ONCE_INIT;

static void make_curve(void)
{
    char name[] = CURVE;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, name, 0),
        OSSL_PARAM_construct_end()};
    STAMP_PKEY_CTX_AUTO *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);

    if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &curve, EVP_PKEY_KEY_PARAMETERS, params) != 1) {
        curve = NULL;
    }
}

static enum stamp_err not_a_point(struct stamp_error *err)
{
    ERR_clear_error();
    return stamp_error_set(err, STAMP_E_FORMAT, 0,
                           "a public key is not a point of P-256");
}

/* That it is on the curve, and no point at infinity, is checked by who takes it. */
enum stamp_err stamp_key_from_point(const uint8_t point[STAMP_POINT_SIZE], EVP_PKEY **out,
                                    struct stamp_error *err)
{
    (void)pthread_once(&curve_once, make_curve);
    *out = point[0] == 0x04 && curve != NULL ? EVP_PKEY_dup(curve) : NULL;
    if (*out == NULL ||
        EVP_PKEY_set1_encoded_public_key(*out, point, STAMP_POINT_SIZE) != 1) {
        stamp_free_pkey(out);
        return not_a_point(err);
    }
    return STAMP_OK;
}

static pthread_key_t lent;
static pthread_once_t lent_once = PTHREAD_ONCE_INIT;
static bool can_lend;

static void free_lent(void *key)
{
    EVP_PKEY_free(key);
}

static void make_lent(void)
{
    can_lend = pthread_key_create(&lent, free_lent) == 0;
}

enum stamp_err stamp_key_lend_point(const uint8_t point[STAMP_POINT_SIZE], EVP_PKEY **out,
                                    struct stamp_error *err)
{
    EVP_PKEY *key;
    enum stamp_err rc;

    (void)pthread_once(&lent_once, make_lent);
    key = can_lend ? pthread_getspecific(lent) : NULL;
    *out = key;
    if (key != NULL) {
        if (point[0] == 0x04 &&
            EVP_PKEY_set1_encoded_public_key(key, point, STAMP_POINT_SIZE) == 1) {
            return STAMP_OK;
        }
        *out = NULL;
        return not_a_point(err);
    }
    rc = stamp_key_from_point(point, &key, err);
    if (rc == STAMP_OK && (!can_lend || pthread_setspecific(lent, key) != 0)) {
        stamp_free_pkey(&key);
        rc = stamp_error_set(err, STAMP_E_NOMEM, 0, "out of memory");
    }
    *out = key;
    return rc;
}

/* The point that belongs to the scalar; false where the scalar is none. */
static bool multiply(const BIGNUM *d, uint8_t point[STAMP_POINT_SIZE])
{
    EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    EC_POINT *p = group == NULL ? NULL : EC_POINT_new(group);
    bool ok = p != NULL && !BN_is_zero(d) && BN_cmp(d, EC_GROUP_get0_order(group)) < 0 &&
              EC_POINT_mul(group, p, d, NULL, NULL, NULL) == 1 &&
              EC_POINT_point2oct(group, p, POINT_CONVERSION_UNCOMPRESSED, point,
                                 STAMP_POINT_SIZE, NULL) == STAMP_POINT_SIZE;

    EC_POINT_free(p);
    EC_GROUP_free(group);
    return ok;
}

enum stamp_err stamp_key_from_scalar(const uint8_t scalar[STAMP_SCALAR_SIZE],
                                     EVP_PKEY **out, struct stamp_error *err)
{
    uint8_t point[STAMP_POINT_SIZE];
    BIGNUM *d = BN_secure_new();

    *out = NULL;
    if (d != NULL && BN_bin2bn(scalar, (int)STAMP_SCALAR_SIZE, d) != NULL) {
        BN_set_flags(d, BN_FLG_CONSTTIME);
        if (multiply(d, point)) {
            *out = import(point, d);
        }
    }
    BN_clear_free(d);
    if (*out == NULL) {
        ERR_clear_error();
        return stamp_error_set(err, STAMP_E_FORMAT, 0,
                               "a private key is not a scalar of P-256");
    }
    return STAMP_OK;
}

enum stamp_err stamp_key_hash(const uint8_t point[STAMP_POINT_SIZE], uint8_t hash[32],
                              struct stamp_error *err)
{
    if (EVP_Digest(point, STAMP_POINT_SIZE, hash, NULL, stamp_sha256(), NULL) != 1) {
        return stamp_openssl_failed(err, "cannot hash a key");
    }
    return STAMP_OK;
}

enum stamp_err stamp_key_public_pem(const uint8_t point[STAMP_POINT_SIZE], char **out,
                                    struct stamp_error *err)
{
    STAMP_PKEY_AUTO *key = NULL;
    STAMP_BIO_AUTO *bio = NULL;
    enum stamp_err rc = stamp_key_from_point(point, &key, err);

    *out = NULL;
    if (rc != STAMP_OK) {
        return rc;
    }
    bio = BIO_new(BIO_s_mem());
    if (bio == NULL || PEM_write_bio_PUBKEY(bio, key) != 1) {
        return stamp_openssl_failed(err, "cannot write a public key");
    }
    return stamp_bio_text(bio, out, err);
}

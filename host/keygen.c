#include "host/keygen.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/obj_mac.h>
#include <stdlib.h>

struct stamp_keygen {
    EC_GROUP *group;
    EC_POINT *point;
    BIGNUM *scalar;
    BIGNUM *span; /* order - 1 */
    BN_CTX *ctx;
};

enum stamp_err stamp_keygen_new(struct stamp_keygen **out, struct stamp_error *err)
{
    struct stamp_keygen *g = calloc(1, sizeof *g);

    *out = NULL;
    if (g == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, 0, "out of memory");
    }
    g->group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    g->point = g->group == NULL ? NULL : EC_POINT_new(g->group);
    g->scalar = BN_secure_new();
    g->span = BN_new();
    g->ctx = BN_CTX_secure_new();
    if (g->point == NULL || g->scalar == NULL || g->span == NULL || g->ctx == NULL ||
        BN_copy(g->span, EC_GROUP_get0_order(g->group)) == NULL ||
        BN_sub_word(g->span, 1) != 1) {
        stamp_keygen_free(&g);
        return stamp_openssl_failed(err, "cannot make key pairs");
    }
    BN_set_flags(g->scalar, BN_FLG_CONSTTIME);
    *out = g;
    return STAMP_OK;
}

void stamp_keygen_free(struct stamp_keygen **p)
{
    if (*p != NULL) {
        BN_clear_free((*p)->scalar);
        BN_free((*p)->span);
        EC_POINT_clear_free((*p)->point);
        EC_GROUP_free((*p)->group);
        BN_CTX_free((*p)->ctx);
        free(*p);
    }
    *p = NULL;
}

enum stamp_err stamp_keygen_pair(struct stamp_keygen *g,
                                 uint8_t scalar[STAMP_SCALAR_SIZE],
                                 uint8_t point[STAMP_POINT_SIZE], struct stamp_error *err)
{
    /* 0 to order - 2, and 1: every scalar of SPEC 5-12 is as likely as the others. */
    bool ok =
        BN_priv_rand_range_ex(g->scalar, g->span, 0, g->ctx) == 1 &&
        BN_add_word(g->scalar, 1) == 1 &&
        EC_POINT_mul(g->group, g->point, g->scalar, NULL, NULL, g->ctx) == 1 &&
        EC_POINT_point2oct(g->group, g->point, POINT_CONVERSION_UNCOMPRESSED, point,
                           STAMP_POINT_SIZE, g->ctx) == STAMP_POINT_SIZE &&
        BN_bn2binpad(g->scalar, scalar, (int)STAMP_SCALAR_SIZE) == (int)STAMP_SCALAR_SIZE;

    BN_zero(g->scalar);
    return ok ? STAMP_OK : stamp_openssl_failed(err, "cannot make a key pair");
}

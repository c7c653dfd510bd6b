#include "host/pop.h"

#include <openssl/evp.h>
#include <string.h>

#include "core/keys.h"
#include "host/agree.h"
#include "host/key.h"

static enum stamp_err not_ours(struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_AUTH, 0,
                           "the proof of possession is damaged, or sealed to another "
                           "recipient");
}

enum stamp_err stamp_pop_open(struct stamp_slice sealed, EVP_PKEY *key,
                              struct stamp_secret **pop, struct stamp_error *err)
{
    uint8_t recipient[STAMP_POINT_SIZE];
    uint8_t secret[STAMP_AGREE_KEY];
    uint8_t text[STAMP_MAX_TEXT];
    struct stamp_slice in;
    enum stamp_err rc;

    *pop = NULL;
    if (sealed.len <= STAMP_POINT_SIZE + STAMP_AGREE_TAG ||
        sealed.len > STAMP_POP_SEALED_MAX) {
        return not_ours(err);
    }
    in = (struct stamp_slice){sealed.p + STAMP_POINT_SIZE, sealed.len - STAMP_POINT_SIZE};
    rc = stamp_key_point(key, recipient, err);
    if (rc == STAMP_OK && (stamp_agree(key, sealed.p, recipient, STAMP_LABEL_POP, secret,
                                       NULL) != STAMP_OK ||
                           !stamp_agree_open(secret, in, text))) {
        rc = not_ours(err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_secret_new(pop, text, in.len - STAMP_AGREE_TAG, err);
    }
    OPENSSL_cleanse(secret, sizeof secret);
    OPENSSL_cleanse(text, sizeof text);
    return rc;
}

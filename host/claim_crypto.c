/* The keys of a claim and what is sealed with them: host/agree.h, with the words of a
 * claim. SPEC 10-13..10-15. */
#include <openssl/crypto.h>
#include <string.h>

#include "core/keys.h"
#include "core/smp.h"
#include "host/agree.h"
#include "host/claim_own.h"

enum stamp_err stampi_claim_keys(EVP_PKEY *own, const uint8_t peer[STAMP_POINT_SIZE],
                                 const uint8_t *shared, size_t shared_len,
                                 struct stamp_claim_keys *keys, struct stamp_error *err)
{
    uint8_t both[64];
    enum stamp_err rc =
        stamp_agree_derive(own, peer, (struct stamp_slice){shared, shared_len},
                           STAMP_LABEL_CLAIM, both, sizeof both, err);

    if (rc == STAMP_OK) {
        memcpy(keys->to_device, both, 32);
        memcpy(keys->from_device, both + 32, 32);
    }
    OPENSSL_cleanse(both, sizeof both);
    return rc;
}

enum stamp_err stampi_claim_seal(const uint8_t key[32], const uint8_t *in, size_t len,
                                 uint8_t *out, struct stamp_error *err)
{
    return stamp_agree_seal(key, (struct stamp_slice){in, len}, out, err);
}

enum stamp_err stampi_claim_open(const uint8_t key[32], const uint8_t *in, size_t len,
                                 uint8_t *out, struct stamp_error *err)
{
    if (len < STAMP_GCM_TAG) {
        return stamp_error_set(err, STAMP_E_FORMAT, 0,
                               "the device's sealed answer is too short");
    }
    if (!stamp_agree_open(key, (struct stamp_slice){in, len}, out)) {
        OPENSSL_cleanse(out, len - STAMP_GCM_TAG);
        return stamp_error_set(err, STAMP_E_AUTH, 0,
                               "the answer to the proof is not the device's");
    }
    return STAMP_OK;
}

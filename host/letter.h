/*
 * Sealed letters between headquarters and a station: a payload, signed by the sender (a
 * COSE_Sign1) and sealed to one recipient. Work orders and parts of journals are such
 * letters. SPEC 14-1 to 14-3, 15-8.
 */
#ifndef HOST_LETTER_H
#define HOST_LETTER_H

#include "core/stamp.h"
#include "host/image.h"
#include "host/openssl.h"

#define STAMP_LETTER_MAX 1048576u /* bytes of a payload */

/**
 * @param label  of the signature, and bound by the seal
 * @param sig    over the payload with that label; r then s
 * @param to     the recipient: as stamp_cms_check_recipient() wants it
 * @param out    free with stamp_buffer_free()
 */
STAMP_MUST_USE enum stamp_err
stamp_letter_seal(const char *label, struct stamp_slice payload, const uint8_t sig[64],
                  X509 *to, struct stamp_buffer *out, struct stamp_error *err);

/**
 * Open. The signature is not checked here: who the sender may be, the payload says.
 *
 * @param what     what it is, for messages: "order"
 * @param key      the recipient's; it may live in a token
 * @param plain    what `payload` and `sig` point into; free with stamp_buffer_free()
 * @param sig      64 bytes
 * @retval STAMP_E_AUTH     sealed to somebody else, or damaged
 * @retval STAMP_E_FORMAT   no letter
 * @retval STAMP_E_VERSION  made by a newer program
 */
STAMP_MUST_USE enum stamp_err
stamp_letter_open(const char *label, const char *what, struct stamp_slice in,
                  EVP_PKEY *key, struct stamp_buffer *plain, struct stamp_slice *payload,
                  const uint8_t **sig, struct stamp_error *err);

#endif

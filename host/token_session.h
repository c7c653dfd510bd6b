/*
 * A session with a token of a station (PKCS #11, directly): keys that are made in the
 * token and stay there, signatures, and a count that outlives the station's disk.
 *
 * A session may be lost at any time: the token is pulled, or its PIN gets locked. Then
 * calls fail with STAMP_E_DEVICE or STAMP_E_AUTH, nothing is lost, and
 * stamp_session_again() goes on when the token is back. One caller at a time.
 */
#ifndef HOST_TOKEN_SESSION_H
#define HOST_TOKEN_SESSION_H

#include "core/stamp.h"
#include "host/token.h"

struct stamp_session;

/** As stamp_token_open(). The PIN is kept, locked in memory, for as long as it is open.
 */
STAMP_MUST_USE enum stamp_err stamp_session_open(const char *uri,
                                                 const struct stamp_pin *pin,
                                                 struct stamp_session **out,
                                                 struct stamp_error *err);
void stamp_session_close(struct stamp_session **p);
#define STAMP_SESSION_AUTO                                                               \
    __attribute__((cleanup(stamp_session_close))) struct stamp_session

/** After a failure: log in again, to the same token.
 * @retval STAMP_E_DEVICE  it is still not there
 * @retval STAMP_E_AUTH    its PIN is locked or in its final try, or it refused this PIN
 *                         before, which is then not tried again; or it is another token
 */
STAMP_MUST_USE enum stamp_err stamp_session_again(struct stamp_session *s,
                                                  struct stamp_error *err);

/** "label (serial number)", for messages. */
const char *stamp_session_name(const struct stamp_session *s);

enum stamp_token_use {
    STAMP_TOKEN_SIGN,         /* ECDSA, and nothing else */
    STAMP_TOKEN_AGREE,        /* ECDH, and to sign its own request */
    STAMP_TOKEN_AGREE_UNSAID, /* ECDH, whatever CKA_DERIVE says: ykcs11 has it false for
                                 every key, also for those that do */
};

/**
 * The key of this name: found, or made in the token. Either way its attributes are
 * checked: made in the token, never outside it, not to be taken out.
 *
 * @param label  its label, or "id:" and its id in hex, as those of a PIV's slots: such a
 *               key is only found
 * @param limit  signatures it may make ever, where the token enforces that
 *               (CKA_USAGE_LIMIT); 0 = no limit
 * @param made   whether it is new; NULL = none is made: STAMP_E_MISSING
 * @param point  its public half
 * @retval STAMP_E_AUTH         it was or may be outside of the token
 * @retval STAMP_E_DUPLICATE    there are two of this label
 * @retval STAMP_E_UNSUPPORTED  a limit, which this token does not know
 */
STAMP_MUST_USE enum stamp_err
stamp_session_key(struct stamp_session *s, const char *label, enum stamp_token_use use,
                  uint32_t limit, bool *made, uint8_t point[STAMP_POINT_SIZE],
                  struct stamp_error *err);

/**
 * Sign a digest with the key of this label; where the key asks for the PIN each time, it
 * gets it.
 *
 * @retval STAMP_E_MISSING  there is no such key
 * @retval STAMP_E_RANGE    it may make no more signatures (CKA_USAGE_LIMIT)
 *
 * @param sig  r then s
 */
STAMP_MUST_USE enum stamp_err
stamp_session_sign(struct stamp_session *s, const char *label, const uint8_t digest[32],
                   uint8_t sig[64], struct stamp_error *err);

/**
 * What the token counts under a name: 0 where it counts nothing. The count is kept as a
 * data object that is made anew with each number, and the highest one counts.
 */
STAMP_MUST_USE enum stamp_err stamp_session_count(struct stamp_session *s,
                                                  const uint8_t id[16], uint32_t *n,
                                                  struct stamp_error *err);

/** Count up to `n`: the new object first, then the lower ones go. */
STAMP_MUST_USE enum stamp_err stamp_session_count_to(struct stamp_session *s,
                                                     const uint8_t id[16], uint32_t n,
                                                     struct stamp_error *err);

/**
 * Can it be a station's: agree on keys, and keep a count? A data object is made for that
 * and removed.
 *
 * @param counts  false: it need not keep a count
 * @retval STAMP_E_UNSUPPORTED  it has no key agreement
 * @retval others               it keeps no data objects; `err` has its reason
 */
STAMP_MUST_USE enum stamp_err stamp_session_check_station(struct stamp_session *s,
                                                          bool counts,
                                                          struct stamp_error *err);

#endif

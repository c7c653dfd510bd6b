/*
 * A device whose operational identity is renewed: what a registrar on its line does. The
 * requests of SPEC 16, and the judgement of what goes both ways. What comes from the
 * device, or from whoever signs, is not trusted.
 *
 * Nothing here changes the identity in use but stamp_rotate_commit(), and that only to
 * one which the device itself judged: after any failure the device has the old one.
 */
#ifndef HOST_ROTATE_H
#define HOST_ROTATE_H

#include "host/image.h"
#include "host/prove.h"

/** What the device says of a rotation. SPEC 16-2. */
struct stamp_rotation {
    bool waits; /* a key of it waits for its certificate */
    uint8_t chip[32];
    size_t chip_len;
    uint32_t room; /* bytes of certificates and bundle that it takes in */
};

/** STAMP_E_UNSUPPORTED: its firmware does not rotate. */
STAMP_MUST_USE enum stamp_err stamp_rotate_ask(struct stamp_smp_client *c,
                                               struct stamp_rotation *out,
                                               struct stamp_error *err);

/** What the request for a certificate is held against, and what it turns out to be for.
 */
struct stamp_renewal {
    struct stamp_rotation state;
    struct stamp_identity birth;     /* verified, and proven by the caller */
    struct stamp_buffer bundle;      /* that the device holds */
    X509 *leaf;                      /* in use */
    struct stamp_buffer chain;       /* key 49 with it */
    struct stamp_buffer request;     /* PKCS#10 in DER */
    uint8_t point[STAMP_POINT_SIZE]; /* of the next key */
};

/**
 * Have the device make its next key, or go on with the one that waits, and take its
 * request for a certificate.
 *
 * @param birth  as stamp_prove_device() proved it
 * @param out    ended with stamp_renewal_fini(), also after a failure
 * @retval STAMP_E_AUTH    the request is not what SPEC 16-7 asks for
 * @retval STAMP_E_FORMAT  not to SPEC
 */
STAMP_MUST_USE enum stamp_err stamp_renewal_begin(struct stamp_smp_client *c,
                                                  const struct stamp_identity *birth,
                                                  struct stamp_renewal *out,
                                                  struct stamp_error *err);
void stamp_renewal_fini(struct stamp_renewal *r);

/** Is it the request of this renewal? Part of stamp_renewal_begin(). SPEC 16-7. */
STAMP_MUST_USE enum stamp_err stamp_renewal_check(struct stamp_renewal *r,
                                                  const uint8_t challenge[32],
                                                  struct stamp_error *err);

/**
 * Judge a certificate as the device will, and its dates and subject too, and put together
 * the chain to an anchor of the bundle.
 *
 * @param leaf    DER
 * @param others  certificates among which issuers are looked for; those that the device
 *                has now are tried as well
 * @param bundle  a newer one that goes to the device with it; p NULL = the one it holds
 * @param chain   the encoding of key 49; free with stamp_buffer_free()
 * @retval STAMP_E_AUTH, STAMP_E_PURPOSE, STAMP_E_ROLLBACK  refused; `err` says why
 * @retval STAMP_E_FORMAT  no certificate, or no bundle
 * @retval STAMP_E_SPACE   more than the device, or a stamp, can hold
 */
STAMP_MUST_USE enum stamp_err
stamp_renewal_judge(const struct stamp_renewal *r, struct stamp_slice leaf,
                    const STACK_OF(X509) * others, struct stamp_slice bundle,
                    struct stamp_buffer *chain, struct stamp_error *err);

/** Hand over certificates, or a bundle after them. SPEC 16-3. */
STAMP_MUST_USE enum stamp_err stamp_rotate_hand(struct stamp_smp_client *c,
                                                enum stamp_smp_hand what,
                                                struct stamp_slice bytes,
                                                struct stamp_error *err);

/**
 * Have the device judge and commit what was handed over.
 *
 * @param seq  of the bank that it wrote
 * @retval STAMP_E_AUTH    it refuses; it has its old identity
 * @retval STAMP_E_STATE   no key waits (any more), or nothing was handed over
 */
STAMP_MUST_USE enum stamp_err stamp_rotate_commit(struct stamp_smp_client *c,
                                                  uint32_t *seq, struct stamp_error *err);

/** Have the device forget the key that waits. */
STAMP_MUST_USE enum stamp_err stamp_rotate_drop(struct stamp_smp_client *c,
                                                struct stamp_error *err);

#endif

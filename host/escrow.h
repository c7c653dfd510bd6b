/*
 * Escrow of proofs of possession, where a profile asks for it: the books keep each one
 * sealed to an owner's certificate, whose key stays with the owner. One run draws one
 * content key, wraps it once (CMS, as in SPEC 11-16 to 11-18), and seals each proof under
 * it with AES-256-GCM, bound to its serial. Whoever made it cannot open it later.
 */
#ifndef HOST_ESCROW_H
#define HOST_ESCROW_H

#include <stdint.h>

#include "core/stamp.h"
#include "host/openssl.h"
#include "host/secret.h"

/* Nonce, the proof, tag. */
#define STAMP_ESCROW_MAX (12u + STAMP_MAX_TEXT + 16u)

struct stamp_escrow;

/**
 * Begin a run.
 *
 * @param path  PEM of the owner's certificate: as stamp_cms_check_recipient() wants it
 * @retval STAMP_E_CONFIG  nothing can be sealed to it; `err` names the file
 * @retval STAMP_E_FORMAT  no certificate
 */
STAMP_MUST_USE enum stamp_err
stamp_escrow_new(const char *path, struct stamp_escrow **out, struct stamp_error *err);
void stamp_escrow_free(struct stamp_escrow **p);
#define STAMP_ESCROW_AUTO __attribute__((cleanup(stamp_escrow_free))) struct stamp_escrow

/** The wrapped content key; borrowed. */
struct stamp_slice stamp_escrow_envelope(const struct stamp_escrow *e);

/**
 * Seal one proof; any number of threads at once.
 *
 * @param pop  1..STAMP_MAX_TEXT bytes
 * @param out  STAMP_ESCROW_MAX bytes
 */
STAMP_MUST_USE enum stamp_err stamp_escrow_seal(const struct stamp_escrow *e,
                                                const char *serial,
                                                struct stamp_slice pop, uint8_t *out,
                                                size_t *len, struct stamp_error *err);

/**
 * Open one, with the owner's key.
 *
 * @retval STAMP_E_AUTH  the key does not open it, or it is another serial's
 */
STAMP_MUST_USE enum stamp_err stamp_escrow_open(struct stamp_slice envelope,
                                                struct stamp_slice sealed,
                                                const char *serial, EVP_PKEY *key,
                                                struct stamp_secret **pop,
                                                struct stamp_error *err);

#endif

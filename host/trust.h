/*
 * Whom a verifier believes: trust anchors, and what it knows beside them. Never filled
 * from an image (SPEC 8-6).
 */
#ifndef HOST_TRUST_H
#define HOST_TRUST_H

#include <stdbool.h>
#include <stdint.h>

#include "core/stamp.h"
#include "host/openssl.h"
#include "host/pki.h"

struct stamp_trust;

/** Nothing is believed yet. */
STAMP_MUST_USE enum stamp_err stamp_trust_new(struct stamp_trust **out,
                                              struct stamp_error *err);
void stamp_trust_free(struct stamp_trust **p);
#define STAMP_TRUST_AUTO __attribute__((cleanup(stamp_trust_free))) struct stamp_trust

/**
 * Believe one more anchor; a reference is kept.
 *
 * @retval STAMP_E_PURPOSE  anchors for development and for production do not mix
 */
STAMP_MUST_USE enum stamp_err stamp_trust_add(struct stamp_trust *t, X509 *anchor,
                                              struct stamp_error *err);

/** Believe all certificates of a PEM file. STAMP_E_FORMAT where there is none. */
STAMP_MUST_USE enum stamp_err stamp_trust_load(struct stamp_trust *t, const char *path,
                                               struct stamp_error *err);

/** Believe only stamps of this owner key (SPEC 5-8). */
void stamp_trust_set_owner(struct stamp_trust *t, const uint8_t hash[32]);

/** What a chain that holds says. */
struct stamp_chain {
    uint8_t point[STAMP_POINT_SIZE];  /* the leaf's key */
    char serial[STAMP_MAX_TEXT + 1u]; /* its subject's serialNumber */
    struct stamp_binding binding;     /* its extension */
    bool has_purpose;                 /* some certificate states one */
    uint8_t purpose;
};

/**
 * Check a chain, leaf first, up to an anchor: signatures, dates, constraints, strictly
 * after RFC 5280; each certificate of it is needed, and in its place.
 *
 * @retval STAMP_E_AUTH     it does not lead to an anchor, or has expired
 * @retval STAMP_E_PURPOSE  two of its certificates, or the anchors, differ in purpose
 * @retval STAMP_E_FORMAT   not certificates in DER, or a malformed extension
 */
STAMP_MUST_USE enum stamp_err stamp_trust_chain(const struct stamp_trust *t,
                                                const struct stamp_slice *certs, size_t n,
                                                struct stamp_chain *out,
                                                struct stamp_error *err);

/** Does an anchor lead to a certificate of headquarters itself, which is no device's?
 * What it is for is not looked at (host/signerkey.h). Returns as stamp_trust_chain(). */
STAMP_MUST_USE enum stamp_err stamp_trust_signer(const struct stamp_trust *t,
                                                 struct stamp_slice cert,
                                                 struct stamp_error *err);

/** The owner set above, or NULL. */
const uint8_t *stamp_trust_owner(const struct stamp_trust *t);

#endif

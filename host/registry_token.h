/*
 * One-time tokens for a first contact: whoever shows one gets a certificate for one key
 * of the device that it is for. The books hold its digest, not the token.
 */
#ifndef HOST_REGISTRY_TOKEN_H
#define HOST_REGISTRY_TOKEN_H

#include "host/registry_enrol.h"

#define STAMP_TOKEN_DIGEST_SIZE 32u
#define STAMP_TOKEN_TEXT_SIZE 44u /* 256 bits in base64url, and a NUL */

/** A new one, of random bytes; the caller wipes `text`. */
STAMP_MUST_USE enum stamp_err stamp_token_draw(char text[STAMP_TOKEN_TEXT_SIZE],
                                               uint8_t digest[STAMP_TOKEN_DIGEST_SIZE],
                                               struct stamp_error *err);

/** Digest of what somebody shows. */
STAMP_MUST_USE enum stamp_err stamp_token_digest(const char *text, size_t len,
                                                 uint8_t digest[STAMP_TOKEN_DIGEST_SIZE],
                                                 struct stamp_error *err);

struct stamp_registry_token {
    uint8_t digest[STAMP_TOKEN_DIGEST_SIZE];
    char serial[STAMP_SERIAL_SIZE];
    time_t at, not_after;
    time_t used_at; /* 0 = not used */
    char who[STAMP_REGISTRY_TEXT_SIZE];
};

/**
 * Book a token for a device.
 *
 * @retval STAMP_E_MISSING  there is no such device
 * @retval STAMP_E_STATE    it is returned, scrapped or revoked
 */
STAMP_MUST_USE enum stamp_err
stamp_registry_token_add(struct stamp_registry *r, const char *serial,
                         const uint8_t digest[STAMP_TOKEN_DIGEST_SIZE], time_t now,
                         time_t not_after, struct stamp_error *err);

/** Take away one that is not used. STAMP_E_MISSING where there is none. */
STAMP_MUST_USE enum stamp_err
stamp_registry_token_drop(struct stamp_registry *r,
                          const uint8_t digest[STAMP_TOKEN_DIGEST_SIZE],
                          struct stamp_error *err);

/** Called with each; false ends it. */
typedef bool (*stamp_registry_token_told)(void *ctx,
                                          const struct stamp_registry_token *token);
STAMP_MUST_USE enum stamp_err stamp_registry_token_list(struct stamp_registry *r,
                                                        stamp_registry_token_told told,
                                                        void *ctx,
                                                        struct stamp_error *err);

/**
 * In a group (host/registry_enrol.h): who shows it with this key is the device that the
 * token is for. The same key may show it again, and no other. It is not used up by this:
 * where `first_use` says so, stamp_registry_token_use() does that once the device is to
 * get what it asks for.
 *
 * @param serial  the device that he says he is; "" = he does not say
 */
STAMP_MUST_USE enum stamp_err
stamp_registry_admit_token(struct stamp_registry *r,
                           const uint8_t digest[STAMP_TOKEN_DIGEST_SIZE],
                           const char *serial, const uint8_t fingerprint[32], time_t now,
                           struct stamp_admitted *out, struct stamp_error *err);

/** @param refusal  set where somebody else was faster; untouched else */
STAMP_MUST_USE enum stamp_err
stamp_registry_token_use(struct stamp_registry *r,
                         const uint8_t digest[STAMP_TOKEN_DIGEST_SIZE],
                         const uint8_t fingerprint[32], time_t now,
                         enum stamp_refusal *refusal, struct stamp_error *err);

#endif

/*
 * Keys in tokens (PKCS#11): the one place that talks to them. Modules are found through
 * p11-kit, keys named by URIs (RFC 7512), and used by OpenSSL through libp11.
 *
 *     pkcs11:token=line-3;object=station;type=private
 */
#ifndef HOST_TOKEN_H
#define HOST_TOKEN_H

#include <stdbool.h>

#include "host/openssl.h"
#include "host/secret.h"

/** Where a PIN comes from: never argv or environment. */
struct stamp_pin {
    int fd;           /* first line of it; -1 = not from there */
    const char *file; /* mode 0600, ours; NULL = not from there */
    /* known already: comes before all others; borrowed; NULL = not */
    const struct stamp_secret *known;
    /* none of them: asked on the terminal */
};

/** Is it a PKCS#11 URI and no file? */
bool stamp_token_is_uri(const char *where);

struct stamp_token;

/**
 * Log in to the token that a URI names.
 *
 * @retval STAMP_E_CONFIG  the URI is malformed, names no module, no token or several, or
 * holds a PIN (pin-value is refused: command lines are seen by everybody)
 * @retval STAMP_E_AUTH    the PIN is wrong, or locked, or this is its final try: the
 * token is left alone then, and `err` says what to do
 * @retval STAMP_E_DEVICE  the token failed or is gone: STAMP_E_DEVICE; retry once it is
 * back
 */
STAMP_MUST_USE enum stamp_err stamp_token_open(const char *uri,
                                               const struct stamp_pin *pin,
                                               struct stamp_token **out,
                                               struct stamp_error *err);
void stamp_token_close(struct stamp_token **p);
#define STAMP_TOKEN_AUTO __attribute__((cleanup(stamp_token_close))) struct stamp_token

/** The PIN that let us in, so that nobody is asked twice; NULL: it wants none. Borrowed.
 */
const struct stamp_secret *stamp_token_pin(const struct stamp_token *t);

/** The private key that the URI names: P-256, for signing or ECDH. The token must outlive
 * it. STAMP_E_MISSING where there is none or several. */
STAMP_MUST_USE enum stamp_err stamp_token_key(struct stamp_token *t, EVP_PKEY **out,
                                              struct stamp_error *err);

/** The same for another URI of this token. */
STAMP_MUST_USE enum stamp_err stamp_token_key_of(struct stamp_token *t, const char *uri,
                                                 EVP_PKEY **out, struct stamp_error *err);

/** Is it the token that this URI names? */
bool stamp_token_fits(const struct stamp_token *t, const char *uri);

/**
 * How a key is called that has a role in a token, "PREFIX ROLE", and its URI.
 *
 * @param uri    of the token; its object is the prefix, "devstamp" where it has none
 * @param label, out  the key's
 * @retval STAMP_E_CONFIG  no URI, or names a key otherwise
 * @retval STAMP_E_RANGE   too long
 */
STAMP_MUST_USE enum stamp_err stamp_token_name(const char *uri, const char *role,
                                               char *label, size_t label_size, char *out,
                                               size_t size, struct stamp_error *err);

#endif

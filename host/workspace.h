/*
 * A workspace: the directory of one product line.
 *
 *     devstamp.yaml       what the stamps hold (host/profile.h)
 *     keys/               0700: owner.key root.key sub-ca.key, 0600; or owner.uri ...:
 *                         a key in a token
 *     root.pem sub-ca.pem certificates, for everybody
 *     rollover.pem        while the root is being replaced: service/rollover.h
 *     trust-bundle        signed by the owner key (SPEC 8)
 *     registry.db         the books (host/registry.h); or registry.url: where they are
 *     stamps/             0700: what `stamp make` writes, 0600
 *     batches/            0700: batch files that were made; their key is keys/batch.key
 *     stations/           0700: certificates of stations that the service may seal
 *                         batches to
 *
 * It has one purpose for ever, development or production; in production its keys are
 * sealed with a passphrase.
 */
#ifndef HOST_WORKSPACE_H
#define HOST_WORKSPACE_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#include "host/openssl.h"
#include "host/profile.h"
#include "host/registry.h"
#include "host/secret.h"
#include "host/trust.h"

#define STAMP_WORKSPACE_DIR "DEVSTAMP_DIR" /* environment: where the workspace is */
#define STAMP_WORKSPACE_STAMPS "stamps"
#define STAMP_WORKSPACE_REGISTRY                                                         \
    "DEVSTAMP_REGISTRY" /* environment: where its books are */
#define STAMP_WORKSPACE_PIN_FILE                                                         \
    "DEVSTAMP_PIN_FILE" /* environment: which file has its token's PIN, 0600 */

struct stamp_workspace_setup {
    const char *company;
    const char *product;
    uint8_t purpose;
    const struct stamp_secret *passphrase; /* must be there exactly for production */
    const char *registry; /* postgres://...: its books, made or shared; NULL = a file */
    const char *keys;     /* pkcs11:...: the token in which its keys are made; its object
                             begins their names; NULL = files */
};

struct stamp_workspace {
    char dir[PATH_MAX];
    struct stamp_profile *profile;
    struct stamp_registry *registry;
    uint8_t purpose;
    X509 *root;
    X509 *sub_ca;
    uint8_t bundle[STAMP_MAX_BUNDLE];
    size_t bundle_len;
    uint8_t owner_key_hash[32];
    struct stampi_workspace_tokens *tokens;
};

enum stamp_workspace_key {
    STAMP_WORKSPACE_OWNER,
    STAMP_WORKSPACE_ROOT,
    STAMP_WORKSPACE_SUB_CA
};

/**
 * Make one. `dir` is made where it is not there.
 *
 * @retval STAMP_E_EXISTS  there is one already, or a file that would be overwritten
 * On failure everything that was made is removed again.
 */
STAMP_MUST_USE enum stamp_err
stamp_workspace_create(const char *dir, const struct stamp_workspace_setup *setup,
                       struct stamp_error *err);

/**
 * Where is it? `given`, else $DEVSTAMP_DIR, else here or in a directory above.
 *
 * @param out  PATH_MAX bytes
 * @retval STAMP_E_MISSING  there is none
 */
STAMP_MUST_USE enum stamp_err stamp_workspace_locate(const char *given, char *out,
                                                     struct stamp_error *err);

/**
 * Where its books are: $DEVSTAMP_REGISTRY, else what registry.url says, else registry.db.
 *
 * @param dir  of the workspace
 * @param out  for stamp_registry_open(); PATH_MAX bytes
 */
STAMP_MUST_USE enum stamp_err stamp_workspace_books(const char *dir, char *out,
                                                    struct stamp_error *err);

/** Open it; `given` as stamp_workspace_locate(). Keys stay closed. */
STAMP_MUST_USE enum stamp_err stamp_workspace_open(const char *given,
                                                   struct stamp_workspace **out,
                                                   struct stamp_error *err);

/** The same without its books, for programs that have no say in them: `registry` stays
 * NULL, and the purpose is what its root states. */
STAMP_MUST_USE enum stamp_err stamp_workspace_open_keys(const char *given,
                                                        struct stamp_workspace **out,
                                                        struct stamp_error *err);

void stamp_workspace_close(struct stamp_workspace **p);
#define STAMP_WORKSPACE_AUTO                                                             \
    __attribute__((cleanup(stamp_workspace_close))) struct stamp_workspace

/** Path of something in it. STAMP_E_RANGE where it is too long. */
STAMP_MUST_USE enum stamp_err stamp_workspace_path(const struct stamp_workspace *ws,
                                                   const char *name, char out[PATH_MAX],
                                                   struct stamp_error *err);

/**
 * Open one of its keys. Where it is in a token, that is opened: its PIN comes from the
 * file that $DEVSTAMP_PIN_FILE or else its URI's pin-source names, or is asked on the
 * terminal.
 *
 * @param passphrase  NULL in development
 * @param out         to be freed before the workspace is closed
 */
STAMP_MUST_USE enum stamp_err stamp_workspace_key(const struct stamp_workspace *ws,
                                                  enum stamp_workspace_key which,
                                                  const struct stamp_secret *passphrase,
                                                  EVP_PKEY **out,
                                                  struct stamp_error *err);

/** Is it in a token, and not in a file? */
bool stamp_workspace_key_in_token(const struct stamp_workspace *ws,
                                  enum stamp_workspace_key which);

/** Who trusts this workspace's root and owner. */
STAMP_MUST_USE enum stamp_err stamp_workspace_trust(const struct stamp_workspace *ws,
                                                    struct stamp_trust **out,
                                                    struct stamp_error *err);

/** Where the file of a stamp on the books is. STAMP_E_MISSING where there is none. */
STAMP_MUST_USE enum stamp_err stamp_workspace_file(const struct stamp_workspace *ws,
                                                   const char *serial, char out[PATH_MAX],
                                                   struct stamp_error *err);

#endif

#include "cli/registry_pop.h"

#include <stdio.h>
#include <string.h>

#include "host/escrow.h"
#include "host/keyfile.h"
#include "host/registry_escrow.h"

/* Only a key that is encrypted needs a passphrase. */
static enum stamp_err read_key(const char *path, int fd, EVP_PKEY **out,
                               struct stamp_error *err)
{
    STAMP_SECRET_AUTO struct stamp_secret *passphrase = NULL;
    struct stamp_error why = STAMP_ERROR_INIT;
    enum stamp_err rc = stamp_keyfile_read(path, NULL, out, &why);

    if (rc != STAMP_E_AUTH) {
        if (rc != STAMP_OK) {
            *err = why;
        }
        return rc;
    }
    rc = stamp_secret_ask(&passphrase, fd, "Passphrase of the owner's key", err);
    return rc == STAMP_OK ? stamp_keyfile_read(path, passphrase, out, err) : rc;
}

enum stamp_err registry_pop(struct stamp_registry *r, const char *serial, const char *key,
                            int fd, struct stamp_error *err)
{
    STAMP_SECRET_AUTO struct stamp_secret *pop = NULL;
    STAMP_PKEY_AUTO *pair = NULL;
    struct stamp_registry_escrow e;
    struct stamp_slice envelope;
    struct stamp_slice sealed;
    size_t len = 0;
    const uint8_t *text;
    enum stamp_err rc = stamp_registry_escrow_find(r, serial, &e, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    envelope.p = e.envelope;
    envelope.len = e.envelope_len;
    sealed.p = e.sealed;
    sealed.len = e.sealed_len;
    rc = read_key(key, fd, &pair, err);
    if (rc == STAMP_OK) {
        rc = stamp_escrow_open(envelope, sealed, serial, pair, &pop, err);
    }
    stamp_registry_escrow_fini(&e);
    if (rc == STAMP_OK) {
        text = stamp_secret_use(pop, &len);
        (void)fwrite(text, 1, len, stdout);
        (void)printf("\n");
    }
    return rc;
}

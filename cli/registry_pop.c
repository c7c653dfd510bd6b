#include "cli/registry_pop.h"

#include <stdio.h>
#include <string.h>

#include "host/escrow.h"
#include "host/keyfile.h"
#include "host/pop.h"
#include "host/registry_escrow.h"
#include "host/registry_order.h"

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

static enum stamp_err print(const struct stamp_secret *pop)
{
    size_t len = 0;
    const uint8_t *text = stamp_secret_use(pop, &len);

    (void)fwrite(text, 1, len, stdout);
    (void)printf("\n");
    return STAMP_OK;
}

/* One that the device sealed itself, when it was struck. */
static enum stamp_err open_device_pop(struct stamp_registry *r, const char *serial,
                                      const char *key, int fd, struct stamp_error *err)
{
    STAMP_SECRET_AUTO struct stamp_secret *pop = NULL;
    STAMP_PKEY_AUTO *pair = NULL;
    uint8_t sealed[STAMP_POP_SEALED_MAX + 32];
    size_t len = 0;
    enum stamp_err rc = stamp_registry_sealed_pop(r, serial, sealed, &len, err);

    if (rc == STAMP_OK) {
        rc = read_key(key, fd, &pair, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_pop_open((struct stamp_slice){sealed, len}, pair, &pop, err);
    }
    return rc == STAMP_OK ? print(pop) : rc;
}

enum stamp_err registry_pop(struct stamp_registry *r, const char *serial, const char *key,
                            int fd, struct stamp_error *err)
{
    STAMP_SECRET_AUTO struct stamp_secret *pop = NULL;
    STAMP_PKEY_AUTO *pair = NULL;
    struct stamp_registry_escrow e;
    struct stamp_slice envelope;
    struct stamp_slice sealed;
    struct stamp_error why = STAMP_ERROR_INIT;
    enum stamp_err rc = stamp_registry_escrow_find(r, serial, &e, &why);

    if (rc == STAMP_E_MISSING) {
        struct stamp_error none = STAMP_ERROR_INIT;

        rc = open_device_pop(r, serial, key, fd, &none);
        *err = rc == STAMP_E_MISSING ? why : none;
        return rc;
    }
    if (rc != STAMP_OK) {
        *err = why;
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
    return rc == STAMP_OK ? print(pop) : rc;
}

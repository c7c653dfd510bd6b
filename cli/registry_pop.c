#include "cli/registry_pop.h"

#include <stdio.h>
#include <string.h>

#include "cli/registry_online.h"
#include "host/escrow.h"
#include "host/keyfile.h"
#include "host/pop.h"

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

static enum stamp_err open_with(const struct stamp_registry_escrow *e, const char *serial,
                                EVP_PKEY *pair, struct stamp_error *err)
{
    STAMP_SECRET_AUTO struct stamp_secret *pop = NULL;
    const struct stamp_slice envelope = {e->envelope, e->envelope_len};
    const struct stamp_slice sealed = {e->sealed, e->sealed_len};
    enum stamp_err rc = e->envelope == NULL ? stamp_pop_open(sealed, pair, &pop, err)
                                            : stamp_escrow_open(envelope, sealed, serial,
                                                                pair, &pop, err);

    return rc == STAMP_OK ? print(pop) : rc;
}

enum stamp_err registry_pop(struct stamp_registry *r, struct cli_online *o,
                            const char *serial, const char *key, int fd,
                            struct stamp_error *err)
{
    STAMP_PKEY_AUTO *pair = NULL;
    struct stamp_registry_escrow e;
    enum stamp_err rc = r == NULL ? registry_online_pop(o, serial, &e, err)
                                  : stamp_registry_sealed_find(r, serial, &e, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    rc = read_key(key, fd, &pair, err);
    if (rc == STAMP_OK) {
        rc = open_with(&e, serial, pair, err);
    }
    stamp_registry_escrow_fini(&e);
    return rc;
}

#include "host/registry_escrow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/registry_order.h"
#include "host/registry_own.h"

enum stamp_err stamp_registry_escrow_key(struct stamp_registry *r, uint32_t batch,
                                         struct stamp_slice envelope, int64_t *key,
                                         struct stamp_error *err)
{
    enum stamp_err rc = stampi_begin(r, err);

    *key = 0;
    if (rc != STAMP_OK) {
        return rc;
    }
    rc = stampi_count_on(r, "escrow", 1, key, err);
    if (rc == STAMP_OK) {
        rc = STAMPI_RUN(r, STAMPI_ESCROW_KEY_ADD, NULL, NULL, NULL, err, stampi_int(*key),
                        stampi_int(batch), stampi_blob(envelope.p, envelope.len));
    }
    return stampi_finish(r, rc, err);
}

enum stamp_err stamp_registry_escrow_add(struct stamp_registry *r, int64_t key,
                                         const struct stamp_registry_sealed *sealed,
                                         size_t n, struct stamp_error *err)
{
    enum stamp_err rc = stampi_begin(r, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
        rc = STAMPI_RUN(r, STAMPI_ESCROW_ADD, NULL, NULL, NULL, err,
                        stampi_int(sealed[i].device), stampi_int(key),
                        stampi_blob(sealed[i].p, sealed[i].len));
    }
    return stampi_finish(r, rc, err);
}

static enum stamp_err take(void *ctx, const struct stampi_value *v,
                           struct stamp_error *err)
{
    struct stamp_registry_escrow *out = ctx;

    if (v[1].len > sizeof out->sealed || v[0].len == 0) {
        return stamp_error_set(err, STAMP_E_DATABASE, 0, "a proof in escrow is damaged");
    }
    out->envelope = malloc(v[0].len);
    if (out->envelope == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    memcpy(out->envelope, v[0].p, v[0].len);
    out->envelope_len = v[0].len;
    memcpy(out->sealed, v[1].p, v[1].len);
    out->sealed_len = v[1].len;
    return STAMP_OK;
}

enum stamp_err stamp_registry_escrow_find(struct stamp_registry *r, const char *serial,
                                          struct stamp_registry_escrow *out,
                                          struct stamp_error *err)
{
    enum stamp_err rc;

    memset(out, 0, sizeof *out);
    rc = STAMPI_RUN(r, STAMPI_ESCROW_FIND, take, out, NULL, err, stampi_text(serial));
    if (rc == STAMP_OK && out->envelope == NULL) {
        (void)stamp_error_set(err, STAMP_E_MISSING, 0,
                              "no proof of possession of '%s' is kept in escrow", serial);
        stamp_error_hint(err, "proofs are kept from the time on when the profile has "
                              "proof_of_possession: escrow");
        return STAMP_E_MISSING;
    }
    return rc;
}

enum stamp_err stamp_registry_sealed_find(struct stamp_registry *r, const char *serial,
                                          struct stamp_registry_escrow *out,
                                          struct stamp_error *err)
{
    struct stamp_error none = STAMP_ERROR_INIT;
    struct stamp_error why = STAMP_ERROR_INIT;
    enum stamp_err rc = stamp_registry_escrow_find(r, serial, out, &why);

    if (rc == STAMP_E_MISSING) {
        rc = stamp_registry_sealed_pop(r, serial, out->sealed, &out->sealed_len, &none);
        why = rc == STAMP_E_MISSING ? why : none;
    }
    if (rc != STAMP_OK && err != NULL) {
        *err = why;
    }
    return rc;
}

void stamp_registry_escrow_fini(struct stamp_registry_escrow *e)
{
    free(e->envelope);
    memset(e, 0, sizeof *e);
}

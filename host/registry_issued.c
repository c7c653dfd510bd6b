#include "host/registry_issued.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/registry_own.h"

void stamp_issued_fini(struct stamp_issued *i)
{
    free(i->certificate);
    memset(i, 0, sizeof *i);
}

static struct stampi_value serial_of(const uint8_t serial[STAMP_CERTIFICATE_SERIAL_SIZE])
{
    return stampi_blob(serial, STAMP_CERTIFICATE_SERIAL_SIZE);
}

static enum stamp_err add(struct stamp_registry *r, const struct stamp_issued *what,
                          struct stamp_error *err)
{
    enum stamp_err rc = STAMPI_RUN(
        r, STAMPI_ISSUED_ADD, NULL, NULL, NULL, err, serial_of(what->certificate_serial),
        stampi_int(what->kind), stampi_text(what->name),
        stampi_blob(what->fingerprint, 32), stampi_int((int64_t)what->at),
        stampi_int((int64_t)what->not_after), stampi_text(r->who));

    /* no device, and no number of one: whoever looks for the owner finds it in `issued`
     */
    return rc == STAMP_OK ? STAMPI_RUN(r, STAMPI_CERTIFICATE_CLAIM, NULL, NULL, NULL, err,
                                       serial_of(what->certificate_serial), stampi_int(0),
                                       stampi_int(0))
                          : rc;
}

enum stamp_err stamp_registry_issued_add(struct stamp_registry *r,
                                         const struct stamp_issued *what,
                                         struct stamp_error *err)
{
    enum stamp_err rc =
        stampi_check_text(what->name, STAMP_REGISTRY_TEXT_MAX, "name", err);

    if (rc == STAMP_OK) {
        rc = stampi_begin(r, err);
    }
    return rc == STAMP_OK ? stampi_finish(r, add(r, what, err), err) : rc;
}

static enum stamp_err certify(struct stamp_registry *r, const uint8_t *serial,
                              struct stamp_slice certificate, struct stamp_error *err)
{
    int64_t changed = 0;
    enum stamp_err rc =
        STAMPI_RUN(r, STAMPI_ISSUED_CERTIFY, NULL, NULL, &changed, err,
                   stampi_blob(certificate.p, certificate.len), serial_of(serial));

    if (rc == STAMP_OK && changed == 0) {
        rc = stamp_error_set(err, STAMP_E_STATE, 0,
                             "the books do not wait for this certificate");
    }
    return rc == STAMP_OK
               ? stampi_leaf_own(r, serial, certificate, (int64_t)time(NULL), err)
               : rc;
}

enum stamp_err
stamp_registry_issued_certify(struct stamp_registry *r,
                              const uint8_t serial[STAMP_CERTIFICATE_SERIAL_SIZE],
                              struct stamp_slice certificate, struct stamp_error *err)
{
    enum stamp_err rc = stampi_begin(r, err);

    return rc == STAMP_OK ? stampi_finish(r, certify(r, serial, certificate, err), err)
                          : rc;
}

/* serial, kind, name, at, not_after, who, certificate */
static enum stamp_err take(void *ctx, const struct stampi_value *v,
                           struct stamp_error *err)
{
    struct stamp_issued *i = ctx;

    stampi_get_blob(&v[0], i->certificate_serial, sizeof i->certificate_serial);
    i->kind = (enum stamp_issued_kind)v[1].number;
    stampi_get_text(&v[2], i->name, sizeof i->name);
    i->at = (time_t)v[3].number;
    i->not_after = (time_t)v[4].number;
    stampi_get_text(&v[5], i->who, sizeof i->who);
    i->certificate = malloc(v[6].len + 1);
    if (i->certificate == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    memcpy(i->certificate, v[6].p, v[6].len);
    i->certificate_len = v[6].len;
    return STAMP_OK;
}

enum stamp_err stamp_registry_issued_find_key(struct stamp_registry *r,
                                              const uint8_t fingerprint[32],
                                              struct stamp_issued *out,
                                              struct stamp_error *err)
{
    enum stamp_err rc;

    memset(out, 0, sizeof *out);
    rc = STAMPI_RUN(r, STAMPI_ISSUED_FIND_KEY, take, out, NULL, err,
                    stampi_blob(fingerprint, 32));
    memcpy(out->fingerprint, fingerprint, 32);
    if (rc == STAMP_OK && out->certificate == NULL) {
        rc = stamp_error_set(err, STAMP_E_MISSING, 0, "the key is not on the books");
    }
    return rc;
}

#include "cli/batch_station.h"

#include <string.h>

#include "host/file.h"
#include "host/keyfile.h"
#include "host/pki.h"

/* ---- whom to trust ---- */

static enum stamp_err trust_workspace(const struct batch_station_args *a, X509 **out,
                                      struct stamp_error *err)
{
    STAMP_WORKSPACE_AUTO *ws = NULL;
    struct stamp_error why = STAMP_ERROR_INIT;
    char dir[PATH_MAX];
    enum stamp_err rc;

    if (stamp_workspace_locate(a->workspace, dir, &why) != STAMP_OK) {
        (void)stamp_error_set(err, STAMP_E_CONFIG, 0, "there is nobody to trust for '%s'",
                              a->file);
        stamp_error_hint(err, "name headquarters' root with --trust PEM; the books keep "
                              "it for the next time");
        return STAMP_E_CONFIG;
    }
    rc = stamp_workspace_open(a->workspace, &ws, err);
    if (rc == STAMP_OK && X509_up_ref(ws->root) == 1) {
        *out = ws->root;
    }
    return rc;
}

static enum stamp_err find_anchor(const struct batch_station_args *a, X509 **out,
                                  struct stamp_error *err)
{
    struct stamp_error why = STAMP_ERROR_INIT;
    enum stamp_err rc;

    if (a->trust != NULL) {
        return stamp_pki_load(a->trust, out, err);
    }
    rc = stamp_books_anchor(a->file, out, &why);
    if (rc == STAMP_E_MISSING) {
        return trust_workspace(a, out, err);
    }
    if (rc != STAMP_OK) {
        (void)stamp_error_set(err, rc, why.native, "%s", why.what);
        stamp_error_hint(err, "%s", why.hint);
    }
    return rc;
}

/* ---- the station's key ---- */

/* Asked for only where the file is encrypted. */
static enum stamp_err key_from_file(const struct batch_station_args *a, EVP_PKEY **out,
                                    struct stamp_error *err)
{
    STAMP_SECRET_AUTO struct stamp_secret *passphrase = NULL;
    struct stamp_error why = STAMP_ERROR_INIT;
    enum stamp_err rc = stamp_keyfile_read(a->key, NULL, out, &why);

    if (rc == STAMP_OK) {
        return rc;
    }
    if (rc != STAMP_E_AUTH) {
        return stamp_error_set(err, rc, why.native, "%s", why.what);
    }
    rc = a->pin_file != NULL ? cli_secret_line(a->pin_file, &passphrase, err)
                             : stamp_secret_ask(&passphrase, a->fd,
                                                "Passphrase of the station's key", err);
    if (rc == STAMP_OK) {
        stamp_error_clear(&why);
        rc = stamp_keyfile_read(a->key, passphrase, out, &why);
        if (rc != STAMP_OK) {
            /* a wrong passphrase is no forgery */
            rc = stamp_error_set(err, rc == STAMP_E_AUTH ? STAMP_E_CONFIG : rc,
                                 why.native, "%s", why.what);
            stamp_error_hint(err, "%s", why.hint);
        }
    }
    return rc;
}

static enum stamp_err key_from_token(const struct batch_station_args *a,
                                     struct batch_station *s, struct stamp_error *err)
{
    struct stamp_pin pin = {.fd = a->fd, .file = a->pin_file};
    struct stamp_error why = STAMP_ERROR_INIT;
    enum stamp_err rc = stamp_token_open(a->key, &pin, &s->token, &why);

    if (rc == STAMP_OK) {
        rc = stamp_token_key(s->token, &s->key, &why);
    }
    if (rc != STAMP_OK) {
        /* a wrong PIN is no forgery */
        rc = stamp_error_set(err, rc == STAMP_E_AUTH ? STAMP_E_CONFIG : rc, why.native,
                             "%s", why.what);
        if (why.hint[0] != '\0') {
            stamp_error_hint(err, "%s", why.hint);
        }
    }
    return rc;
}

/* ---- opening ---- */

static enum stamp_err unlock(struct batch_station *s, struct stamp_error *err)
{
    const struct batch_station_args *a = s->args;
    enum stamp_err rc;

    if (a->key == NULL) {
        return STAMP_OK;
    }
    rc = stamp_token_is_uri(a->key) ? key_from_token(a, s, err)
                                    : key_from_file(a, &s->key, err);
    return rc == STAMP_OK ? stamp_batch_unlock(s->batch, s->key, err) : rc;
}

enum stamp_err batch_station_open(const struct batch_station_args *args,
                                  struct batch_station *s, struct stamp_error *err)
{
    enum stamp_err rc;

    memset(s, 0, sizeof *s);
    s->args = args;
    rc = find_anchor(args, &s->anchor, err);
    if (rc == STAMP_OK) {
        rc = stamp_batch_open(args->file, &s->anchor, 1, &s->batch, err);
    }
    if (rc == STAMP_OK) {
        rc = unlock(s, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_books_open(args->file, s->batch, s->key != NULL, &s->books, err);
    }
    return rc == STAMP_OK ? stamp_books_pin(s->books, s->anchor, err) : rc;
}

enum stamp_err batch_station_look(const struct batch_station_args *args,
                                  struct batch_station *s, struct stamp_error *err)
{
    struct stamp_error why = STAMP_ERROR_INIT;
    enum stamp_err rc;

    memset(s, 0, sizeof *s);
    s->args = args;
    rc = find_anchor(args, &s->anchor, err);
    if (rc == STAMP_OK) {
        rc = stamp_batch_open(args->file, &s->anchor, 1, &s->batch, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_books_open(args->file, s->batch, false, &s->books, &why);
        if (rc == STAMP_E_MISSING) {
            rc = STAMP_OK;
        } else if (rc != STAMP_OK) {
            *err = why;
        }
    }
    return rc;
}

void batch_station_close(struct batch_station *s)
{
    stamp_books_free(&s->books);
    stamp_batch_close(&s->batch);
    stamp_free_x509(&s->anchor);
    stamp_free_pkey(&s->key);
    stamp_token_close(&s->token);
}

/* ---- what else the file and the workspace say ---- */

enum stamp_err batch_station_partition(const struct batch_station *s,
                                       struct stamp_profile_partition *out,
                                       struct stamp_error *err)
{
    const struct stamp_batch_manifest *m = stamp_batch_manifest(s->batch);
    STAMP_WORKSPACE_AUTO *ws = NULL;
    struct stamp_error why = STAMP_ERROR_INIT;

    memset(out, 0, sizeof *out);
    if (m->has_partition) {
        *out = m->partition;
        return STAMP_OK;
    }
    if (stamp_workspace_open(s->args->workspace, &ws, &why) != STAMP_OK) {
        (void)stamp_error_set(err, STAMP_E_MISSING, 0,
                              "'%s' does not say how the partition is laid out",
                              s->args->file);
        stamp_error_hint(err, "name the board with --board, or the workspace with -C");
        return STAMP_E_MISSING;
    }
    *out = ws->profile->partition;
    return STAMP_OK;
}

enum stamp_err batch_station_geometry(const struct batch_station *s,
                                      struct stamp_geometry *out, struct stamp_error *err)
{
    struct stamp_profile_partition p;
    enum stamp_err rc = batch_station_partition(s, &p, err);

    *out = (struct stamp_geometry){.birth_size = p.birth_size,
                                   .bank_size = p.bank_size,
                                   .erase_size = p.erase_size,
                                   .program_size = p.program_size,
                                   .erased = p.erased_value};
    return rc;
}

enum stamp_err batch_station_trust(const struct batch_station *s,
                                   struct stamp_trust **out, struct stamp_error *err)
{
    enum stamp_err rc = stamp_trust_new(out, err);

    if (rc == STAMP_OK) {
        rc = stamp_trust_add(*out, s->anchor, err);
    }
    if (rc != STAMP_OK) {
        stamp_trust_free(out);
    }
    return rc;
}

int batch_station_fail(enum stamp_err rc, const struct stamp_error *err)
{
    int status = cli_fail(err);

    return rc == STAMP_E_MISSING && err->native == STAMP_BOOKS_DRAINED ? CLI_NOTHING_LEFT
                                                                       : status;
}

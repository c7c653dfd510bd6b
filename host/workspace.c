/* Using a workspace; making one is in workspace_create.c. */
#include "host/workspace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/bundle.h"
#include "host/file.h"
#include "host/key.h"
#include "host/keyfile.h"
#include "host/pki.h"
#include "host/workspace_own.h"
#include "host/workspace_token.h"

const char *const stampi_workspace_key_name[] = {"keys/owner.key", "keys/root.key",
                                                 "keys/sub-ca.key"};
const char *const stampi_workspace_uri_name[] = {"keys/owner.uri", "keys/root.uri",
                                                 "keys/sub-ca.uri"};

enum stamp_err stampi_join(const char *dir, const char *name, char out[PATH_MAX],
                           struct stamp_error *err)
{
    bool here = strcmp(dir, ".") == 0;
    int n = here ? snprintf(out, PATH_MAX, "%s", name)
                 : snprintf(out, PATH_MAX, "%s/%s", dir, name);

    if (n < 0 || n >= PATH_MAX) {
        return stamp_error_set(err, STAMP_E_RANGE, ENAMETOOLONG,
                               "the path of '%s' is too long", name);
    }
    return STAMP_OK;
}

static bool is_workspace(const char *dir)
{
    char path[PATH_MAX];

    return stampi_join(dir, STAMP_PROFILE_FILE, path, NULL) == STAMP_OK &&
           access(path, F_OK) == 0;
}

static enum stamp_err take_dir(const char *dir, char *out, struct stamp_error *err)
{
    if (strlen(dir) >= PATH_MAX) {
        return stamp_error_set(err, STAMP_E_RANGE, ENAMETOOLONG, "the path is too long");
    }
    if (!is_workspace(dir)) {
        (void)stamp_error_set(err, STAMP_E_MISSING, ENOENT,
                              "there is no workspace in '%s'", dir);
        stamp_error_hint(err, "make one: stamp init '%s'", dir);
        return STAMP_E_MISSING;
    }
    memcpy(out, dir, strlen(dir) + 1);
    return STAMP_OK;
}

/* The names go ".", "..", "../..", so that the paths which we print are short. */
static bool look_upwards(char *out)
{
    struct stat at;
    struct stat root;
    size_t len = 1;

    memcpy(out, ".", 2);
    if (stat("/", &root) != 0) {
        return false;
    }
    while (!is_workspace(out)) {
        if (stat(out, &at) != 0 ||
            (at.st_dev == root.st_dev && at.st_ino == root.st_ino) ||
            len + 4 > PATH_MAX) {
            return false;
        }
        if (len == 1) {
            memcpy(out, "..", 3);
            len = 2;
        } else {
            memcpy(out + len, "/..", 4);
            len += 3;
        }
    }
    return true;
}

enum stamp_err stamp_workspace_locate(const char *given, char *out,
                                      struct stamp_error *err)
{
    const char *dir = given != NULL ? given : getenv(STAMP_WORKSPACE_DIR);

    if (dir != NULL && dir[0] != '\0') {
        return take_dir(dir, out, err);
    }
    if (look_upwards(out)) {
        return STAMP_OK;
    }
    (void)stamp_error_set(err, STAMP_E_MISSING, ENOENT,
                          "there is no workspace here or in a directory above");
    stamp_error_hint(err, "make one with stamp init, or name one with -C DIR");
    return STAMP_E_MISSING;
}

static enum stamp_err load_bundle(struct stamp_workspace *ws, struct stamp_error *err)
{
    char path[PATH_MAX];
    uint8_t *bytes = NULL;
    struct stamp_bundle b;
    enum stamp_err rc = stampi_join(ws->dir, STAMPI_BUNDLE, path, err);

    if (rc == STAMP_OK) {
        rc = stamp_file_read(path, STAMP_MAX_BUNDLE, &bytes, &ws->bundle_len, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    memcpy(ws->bundle, bytes, ws->bundle_len);
    free(bytes);
    if (stamp_bundle_decode(&b, ws->bundle, ws->bundle_len) != STAMP_OK) {
        return stamp_error_set(err, STAMP_E_FORMAT, 0, "'%s' is no trust bundle", path);
    }
    rc = stamp_key_hash(b.owner.p, ws->owner_key_hash, err);
    if (rc == STAMP_OK) {
        struct stamp_slice whole = {ws->bundle, ws->bundle_len};

        rc = stamp_bundle_check(whole, ws->owner_key_hash, ws->purpose, NULL, err);
    }
    return rc;
}

/* The purpose of one without its books is what its root, loaded first, states. */
static enum stamp_err load_certificate(struct stamp_workspace *ws, const char *name,
                                       X509 **out, struct stamp_error *err)
{
    char path[PATH_MAX];
    struct stamp_binding b;
    enum stamp_err rc = stampi_join(ws->dir, name, path, err);

    if (rc == STAMP_OK) {
        rc = stamp_pki_load(path, out, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_binding_read(*out, &b, err);
    }
    if (rc == STAMP_OK && b.present && ws->registry == NULL && out == &ws->root) {
        ws->purpose = b.purpose;
    }
    if (rc == STAMP_OK && (!b.present || b.purpose != ws->purpose)) {
        rc = stamp_error_set(err, STAMP_E_PURPOSE, 0,
                             "'%s' is not of this workspace's purpose", path);
    }
    return rc;
}

static enum stamp_err read_url(const char *path, char *out, struct stamp_error *err)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    enum stamp_err rc = stamp_file_read(path, PATH_MAX - 1, &bytes, &len, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    len = strcspn((const char *)bytes, "\r\n");
    memcpy(out, bytes, len);
    out[len] = '\0';
    free(bytes);
    return stamp_registry_is_url(out)
               ? STAMP_OK
               : stamp_error_set(err, STAMP_E_CONFIG, 0, "'%s' holds no postgres:// URL",
                                 path);
}

enum stamp_err stamp_workspace_books(const char *dir, char *out, struct stamp_error *err)
{
    const char *given = getenv(STAMP_WORKSPACE_REGISTRY);
    char path[PATH_MAX];
    enum stamp_err rc;

    if (given != NULL && given[0] != '\0') {
        if (strlen(given) >= PATH_MAX) {
            return stamp_error_set(err, STAMP_E_RANGE, 0,
                                   "the name of the registry is too long");
        }
        memcpy(out, given, strlen(given) + 1);
        return STAMP_OK;
    }
    rc = stampi_join(dir, STAMPI_REGISTRY_URL, path, err);
    if (rc == STAMP_OK && access(path, F_OK) == 0) {
        return read_url(path, out, err);
    }
    return rc == STAMP_OK ? stampi_join(dir, STAMPI_REGISTRY, out, err) : rc;
}

static enum stamp_err open_books(struct stamp_workspace *ws, struct stamp_error *err)
{
    char path[PATH_MAX];
    enum stamp_err rc = stamp_workspace_books(ws->dir, path, err);

    if (rc == STAMP_OK) {
        rc = stamp_registry_open(path, &ws->registry, err);
    }
    if (rc == STAMP_OK) {
        ws->purpose = stamp_registry_purpose(ws->registry);
    }
    return rc;
}

static enum stamp_err load_all(struct stamp_workspace *ws, bool books,
                               struct stamp_error *err)
{
    char path[PATH_MAX];
    enum stamp_err rc = stampi_join(ws->dir, STAMP_PROFILE_FILE, path, err);

    if (rc == STAMP_OK) {
        rc = stamp_profile_load(path, &ws->profile, err);
    }
    if (rc == STAMP_OK && books) {
        rc = open_books(ws, err);
    }
    if (rc == STAMP_OK) {
        rc = load_certificate(ws, STAMPI_ROOT_PEM, &ws->root, err);
    }
    if (rc == STAMP_OK) {
        rc = load_certificate(ws, STAMPI_SUB_CA_PEM, &ws->sub_ca, err);
    }
    if (rc == STAMP_OK) {
        rc = load_bundle(ws, err);
    }
    return rc;
}

static enum stamp_err open_it(const char *given, bool books, struct stamp_workspace **out,
                              struct stamp_error *err)
{
    enum stamp_err rc;

    *out = calloc(1, sizeof **out);
    if (*out == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    rc = stamp_workspace_locate(given, (*out)->dir, err);
    if (rc == STAMP_OK) {
        rc = stampi_workspace_tokens_new(&(*out)->tokens, err);
    }
    if (rc == STAMP_OK) {
        rc = load_all(*out, books, err);
    }
    if (rc != STAMP_OK) {
        stamp_workspace_close(out);
    }
    return rc;
}

enum stamp_err stamp_workspace_open(const char *given, struct stamp_workspace **out,
                                    struct stamp_error *err)
{
    return open_it(given, true, out, err);
}

enum stamp_err stamp_workspace_open_keys(const char *given, struct stamp_workspace **out,
                                         struct stamp_error *err)
{
    return open_it(given, false, out, err);
}

void stamp_workspace_close(struct stamp_workspace **p)
{
    if (*p == NULL) {
        return;
    }
    stamp_profile_free(&(*p)->profile);
    stamp_registry_close(&(*p)->registry);
    X509_free((*p)->root);
    X509_free((*p)->sub_ca);
    stampi_workspace_tokens_free(&(*p)->tokens);
    free(*p);
    *p = NULL;
}

enum stamp_err stamp_workspace_path(const struct stamp_workspace *ws, const char *name,
                                    char out[PATH_MAX], struct stamp_error *err)
{
    return stampi_join(ws->dir, name, out, err);
}

/* A key file that belongs to another certificate would make worthless stamps. */
static enum stamp_err check_pair(const struct stamp_workspace *ws,
                                 enum stamp_workspace_key which, EVP_PKEY *key,
                                 struct stamp_error *err)
{
    uint8_t point[STAMP_POINT_SIZE];
    uint8_t hash[32];
    bool ok;

    if (which == STAMP_WORKSPACE_OWNER) {
        ok = stamp_key_point(key, point, err) == STAMP_OK &&
             stamp_key_hash(point, hash, err) == STAMP_OK &&
             memcmp(hash, ws->owner_key_hash, sizeof hash) == 0;
    } else {
        X509 *cert = which == STAMP_WORKSPACE_ROOT ? ws->root : ws->sub_ca;

        ok = EVP_PKEY_eq(X509_get0_pubkey(cert), key) == 1;
    }
    return ok ? STAMP_OK
              : stamp_error_set(err, STAMP_E_AUTH, 0,
                                "'%s' is not the key of this workspace",
                                stampi_workspace_key_name[which]);
}

bool stamp_workspace_key_in_token(const struct stamp_workspace *ws,
                                  enum stamp_workspace_key which)
{
    char path[PATH_MAX];

    return stampi_join(ws->dir, stampi_workspace_uri_name[which], path, NULL) ==
               STAMP_OK &&
           access(path, F_OK) == 0;
}

enum stamp_err stamp_workspace_key(const struct stamp_workspace *ws,
                                   enum stamp_workspace_key which,
                                   const struct stamp_secret *passphrase, EVP_PKEY **out,
                                   struct stamp_error *err)
{
    char path[PATH_MAX];
    enum stamp_err rc = stampi_join(ws->dir, stampi_workspace_uri_name[which], path, err);

    *out = NULL;
    if (rc == STAMP_OK && access(path, F_OK) == 0) {
        rc = stampi_workspace_token_key(ws->tokens, path, out, err);
    } else if (rc == STAMP_OK) {
        rc = stampi_join(ws->dir, stampi_workspace_key_name[which], path, err);
        if (rc == STAMP_OK) {
            rc = stamp_keyfile_read(path, passphrase, out, err);
        }
    }
    if (rc == STAMP_OK) {
        rc = check_pair(ws, which, *out, err);
        if (rc != STAMP_OK) {
            stamp_free_pkey(out);
        }
    }
    return rc;
}

enum stamp_err stamp_workspace_trust(const struct stamp_workspace *ws,
                                     struct stamp_trust **out, struct stamp_error *err)
{
    enum stamp_err rc = stamp_trust_new(out, err);

    if (rc == STAMP_OK) {
        rc = stamp_trust_add(*out, ws->root, err);
    }
    if (rc == STAMP_OK) {
        stamp_trust_set_owner(*out, ws->owner_key_hash);
    } else {
        stamp_trust_free(out);
    }
    return rc;
}

enum stamp_err stamp_workspace_file(const struct stamp_workspace *ws, const char *serial,
                                    char out[PATH_MAX], struct stamp_error *err)
{
    struct stamp_registry_row row;
    enum stamp_err rc = stamp_registry_find(ws->registry, serial, &row, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    if (row.file == NULL) {
        rc = stamp_error_set(err, STAMP_E_MISSING, 0,
                             "there is no file of '%s': its making was broken off",
                             serial);
    } else if (row.file[0] == '/') {
        (void)snprintf(out, PATH_MAX, "%s", row.file);
    } else {
        rc = stampi_join(ws->dir, row.file, out, err);
    }
    stamp_registry_row_fini(&row);
    return rc;
}

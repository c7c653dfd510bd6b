#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "host/bundle.h"
#include "host/file.h"
#include "host/key.h"
#include "host/keyfile.h"
#include "host/pki.h"
#include "host/workspace_own.h"
#include "host/workspace_token.h"

#define MADE_MAX 16

/* The profile makes a directory a workspace, so it takes its name last. */
#define PROFILE_BEFORE ".devstamp.yaml.new"

/* What was made so far, to be taken away again if the rest fails. */
struct maker {
    const char *dir;
    const struct stamp_workspace_setup *setup;
    char *made[MADE_MAX];
    size_t n;
    uint32_t pen;
    EVP_PKEY *key[3]; /* by enum stamp_workspace_key */
    struct stampi_workspace_tokens *tokens;
    X509 *root;
    X509 *sub_ca;
};

/* Note a path before it is made; only what did not exist is ever noted. */
static enum stamp_err note(struct maker *m, const char *name, char path[PATH_MAX],
                           struct stamp_error *err)
{
    struct stat st;
    enum stamp_err rc = stampi_join(m->dir, name, path, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    if (lstat(path, &st) == 0) {
        (void)stamp_error_set(err, STAMP_E_EXISTS, EEXIST, "'%s' exists already", path);
        stamp_error_hint(err, "take another directory");
        return STAMP_E_EXISTS;
    }
    if (m->n == MADE_MAX) {
        STAMP_BUG("a workspace has more parts than MADE_MAX");
    }
    m->made[m->n] = strdup(path);
    if (m->made[m->n] == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    m->n++;
    return STAMP_OK;
}

static enum stamp_err make_dir(struct maker *m, const char *name, mode_t mode,
                               struct stamp_error *err)
{
    char path[PATH_MAX];
    enum stamp_err rc = note(m, name, path, err);

    if (rc == STAMP_OK && (mkdir(path, mode) != 0 || chmod(path, mode) != 0)) {
        rc = stamp_error_set(err, STAMP_E_IO, errno, "cannot make '%s': %s", path,
                             strerror(errno));
    }
    return rc;
}

static enum stamp_err write_public(struct maker *m, const char *name, const void *bytes,
                                   size_t len, struct stamp_error *err)
{
    char path[PATH_MAX];
    enum stamp_err rc = note(m, name, path, err);

    return rc == STAMP_OK
               ? stamp_file_write(path, bytes, len, STAMP_FILE_PUBLIC, false, err)
               : rc;
}

static enum stamp_err make_profile(struct maker *m, struct stamp_error *err)
{
    char path[PATH_MAX];
    struct stamp_profile *profile = NULL;
    enum stamp_err rc = note(m, PROFILE_BEFORE, path, err);

    if (rc == STAMP_OK) {
        rc = stamp_profile_write_default(path, m->setup->company, m->setup->product, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_profile_load(path, &profile, err);
    }
    if (rc == STAMP_OK) {
        m->pen = profile->certificate.pen;
        rc = stamp_profile_check_purpose(profile, m->setup->purpose == STAMP_PRODUCTION,
                                         err);
    }
    stamp_profile_free(&profile);
    return rc;
}

/* They stay in the token where the rest fails: only its owner takes keys away. */
static enum stamp_err make_token_keys(struct maker *m, struct stamp_error *err)
{
    static const char *const roles[] = {"owner", "root", "sub-ca"};
    char uri[3][512];
    enum stamp_err rc = stampi_workspace_token_make(m->setup->keys, roles, 3, uri, err);

    if (rc == STAMP_OK) {
        rc = stampi_workspace_tokens_new(&m->tokens, err);
    }
    for (unsigned i = 0; i < 3 && rc == STAMP_OK; i++) {
        char path[PATH_MAX];

        rc = note(m, stampi_workspace_uri_name[i], path, err);
        if (rc == STAMP_OK) {
            rc = stamp_file_write(path, uri[i], strlen(uri[i]), STAMP_FILE_SECRET, false,
                                  err);
        }
        if (rc == STAMP_OK) {
            rc = stampi_workspace_token_key(m->tokens, path, &m->key[i], err);
        }
    }
    return rc;
}

static enum stamp_err make_keys(struct maker *m, struct stamp_error *err)
{
    enum stamp_err rc = make_dir(m, STAMPI_KEYS, 0700, err);

    if (rc == STAMP_OK && m->setup->keys != NULL) {
        return make_token_keys(m, err);
    }
    for (unsigned i = 0; i < 3 && rc == STAMP_OK; i++) {
        char path[PATH_MAX];

        rc = stamp_key_generate(&m->key[i], err);
        if (rc == STAMP_OK) {
            rc = note(m, stampi_workspace_key_name[i], path, err);
        }
        if (rc == STAMP_OK) {
            rc = stamp_keyfile_write(path, m->key[i], m->setup->passphrase, err);
        }
    }
    return rc;
}

static enum stamp_err write_certificate(struct maker *m, const char *name, X509 *cert,
                                        struct stamp_error *err)
{
    char *pem = NULL;
    enum stamp_err rc = stamp_pki_text(cert, &pem, err);

    if (rc == STAMP_OK) {
        rc = write_public(m, name, pem, strlen(pem), err);
    }
    free(pem);
    return rc;
}

static enum stamp_err make_authorities(struct maker *m, struct stamp_error *err)
{
    struct stamp_authority what = {.organization = m->setup->company,
                                   .role = "Device Root",
                                   .purpose = m->setup->purpose,
                                   .pen = m->pen,
                                   .not_before = time(NULL),
                                   .path_len = -1};
    EVP_PKEY *root_key = m->key[STAMP_WORKSPACE_ROOT];
    enum stamp_err rc =
        stamp_pki_authority(&what, root_key, NULL, root_key, &m->root, err);

    if (rc == STAMP_OK) {
        what.role = "Device CA";
        what.path_len = 0;
        rc = stamp_pki_authority(&what, m->key[STAMP_WORKSPACE_SUB_CA], m->root, root_key,
                                 &m->sub_ca, err);
    }
    if (rc == STAMP_OK) {
        rc = write_certificate(m, STAMPI_ROOT_PEM, m->root, err);
    }
    return rc == STAMP_OK ? write_certificate(m, STAMPI_SUB_CA_PEM, m->sub_ca, err) : rc;
}

static enum stamp_err make_bundle(struct maker *m, struct stamp_error *err)
{
    struct stamp_bundle b = {.version = 1, .purpose = m->setup->purpose, .n_anchors = 1};
    uint8_t out[STAMP_MAX_BUNDLE];
    uint8_t *der = NULL;
    size_t len;
    enum stamp_err rc = stamp_pki_encode(m->root, &der, &b.anchors[0].len, err);

    b.anchors[0].p = der;
    if (rc == STAMP_OK) {
        rc = stamp_bundle_sign(&b, m->key[STAMP_WORKSPACE_OWNER], out, &len, err);
    }
    if (rc == STAMP_OK) {
        rc = write_public(m, STAMPI_BUNDLE, out, len, err);
    }
    OPENSSL_free(der);
    return rc;
}

/* In a database for several: who comes first makes it, the others must be of its purpose.
 * It stays where the rest fails. */
static enum stamp_err share_registry(struct maker *m, struct stamp_error *err)
{
    STAMP_REGISTRY_AUTO *r = NULL;
    struct stamp_error why = STAMP_ERROR_INIT;
    const char *url = m->setup->registry;
    enum stamp_err rc = stamp_registry_create(url, m->setup->purpose, &why);

    if (rc != STAMP_OK && rc != STAMP_E_EXISTS) {
        (void)stamp_error_set(err, rc, why.native, "%s", why.what);
        stamp_error_hint(err, "%s", why.hint);
        return rc;
    }
    rc = stamp_registry_open(url, &r, err);
    if (rc == STAMP_OK && stamp_registry_purpose(r) != m->setup->purpose) {
        rc = stamp_error_set(err, STAMP_E_PURPOSE, 0,
                             "the registry is for the other purpose");
    }
    return rc == STAMP_OK ? write_public(m, STAMPI_REGISTRY_URL, url, strlen(url), err)
                          : rc;
}

static enum stamp_err make_registry(struct maker *m, struct stamp_error *err)
{
    char path[PATH_MAX];
    enum stamp_err rc;

    if (m->setup->registry != NULL) {
        return share_registry(m, err);
    }
    rc = note(m, STAMPI_REGISTRY, path, err);
    return rc == STAMP_OK ? stamp_registry_create(path, m->setup->purpose, err) : rc;
}

static enum stamp_err make_stamps(struct maker *m, struct stamp_error *err)
{
    return make_dir(m, STAMP_WORKSPACE_STAMPS, 0700, err);
}

static enum stamp_err name_profile(struct maker *m, struct stamp_error *err)
{
    char before[PATH_MAX];
    char path[PATH_MAX];
    enum stamp_err rc = stampi_join(m->dir, PROFILE_BEFORE, before, err);

    if (rc == STAMP_OK) {
        rc = note(m, STAMP_PROFILE_FILE, path, err);
    }
    if (rc == STAMP_OK && rename(before, path) != 0) {
        rc = stamp_error_set(err, STAMP_E_IO, errno, "cannot write '%s': %s", path,
                             strerror(errno));
    }
    return rc;
}

static enum stamp_err make_dir_itself(struct maker *m, struct stamp_error *err)
{
    struct stat st;

    if (stat(m->dir, &st) == 0) {
        return S_ISDIR(st.st_mode) ? STAMP_OK
                                   : stamp_error_set(err, STAMP_E_IO, ENOTDIR,
                                                     "'%s' is no directory", m->dir);
    }
    if (mkdir(m->dir, 0777) != 0) {
        return stamp_error_set(err, STAMP_E_IO, errno, "cannot make '%s': %s", m->dir,
                               strerror(errno));
    }
    m->made[m->n] = strdup(m->dir);
    if (m->made[m->n] == NULL) {
        (void)rmdir(m->dir);
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    m->n++;
    return STAMP_OK;
}

static void undo(struct maker *m)
{
    while (m->n > 0) {
        m->n--;
        (void)remove(m->made[m->n]);
        free(m->made[m->n]);
    }
}

static void fini(struct maker *m)
{
    for (unsigned i = 0; i < 3; i++) {
        stamp_free_pkey(&m->key[i]);
    }
    stamp_free_x509(&m->root);
    stamp_free_x509(&m->sub_ca);
    stampi_workspace_tokens_free(&m->tokens); /* certificates hold keys, too */
    while (m->n > 0) {
        free(m->made[--m->n]);
    }
}

static enum stamp_err check_setup(const char *dir,
                                  const struct stamp_workspace_setup *setup,
                                  struct stamp_error *err)
{
    char path[PATH_MAX];
    enum stamp_err rc = stampi_join(dir, STAMP_PROFILE_FILE, path, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    if (access(path, F_OK) == 0) {
        (void)stamp_error_set(err, STAMP_E_EXISTS, EEXIST,
                              "there is a workspace in '%s' already", dir);
        stamp_error_hint(err, "take another directory: each product line has its own");
        return STAMP_E_EXISTS;
    }
    if (setup->registry != NULL && !stamp_registry_is_url(setup->registry)) {
        return stamp_error_set(err, STAMP_E_CONFIG, 0, "'%s' is no postgres:// URL",
                               setup->registry);
    }
    if ((setup->purpose == STAMP_PRODUCTION) != (setup->passphrase != NULL)) {
        return stamp_error_set(err, STAMP_E_PURPOSE, 0,
                               "production keys have a passphrase, "
                               "development keys have none");
    }
    return STAMP_OK;
}

enum stamp_err stamp_workspace_create(const char *dir,
                                      const struct stamp_workspace_setup *setup,
                                      struct stamp_error *err)
{
    static enum stamp_err (*const step[])(struct maker *, struct stamp_error *) = {
        make_dir_itself, make_profile,  make_keys,   make_authorities,
        make_bundle,     make_registry, make_stamps, name_profile,
    };
    struct maker m = {.dir = dir, .setup = setup};
    enum stamp_err rc = check_setup(dir, setup, err);

    for (size_t i = 0; i < sizeof step / sizeof *step && rc == STAMP_OK; i++) {
        rc = step[i](&m, err);
    }
    if (rc != STAMP_OK) {
        undo(&m);
        stamp_error_state(err, "nothing was made");
    }
    fini(&m);
    return rc;
}

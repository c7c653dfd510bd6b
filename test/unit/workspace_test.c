/* Workspaces: made whole or not at all, found from below, one purpose for ever. */
#include "host/workspace.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/bundle.h"
#include "host/make.h"
#include "host/verify.h"
#include "test/unit/desk/desk.h"

static char dir[48];
static char path[96];

static const struct stamp_workspace_setup development = {
    .company = "Example GmbH", .product = "Sensor", .purpose = STAMP_DEVELOPMENT};

static int open_dir(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/stamp-ws-XXXXXX");
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/w", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    assert_int_equal(chdir("/"), 0);
    (void)unsetenv(STAMP_WORKSPACE_DIR);
    desk_remove(dir);
    return 0;
}

static unsigned entries(const char *name)
{
    unsigned n = 0;
    DIR *d = opendir(name);

    assert_non_null(d);
    while (readdir(d) != NULL) {
        n++;
    }
    (void)closedir(d);
    return n - 2;
}

static void mode_is(const char *name, mode_t mode)
{
    char full[256];
    struct stat st;

    (void)snprintf(full, sizeof full, "%s/%s", path, name);
    assert_int_equal(stat(full, &st), 0);
    assert_int_equal(st.st_mode & 0777, mode);
}

static void new_workspace_opens_and_keeps_its_keys_private(void **state)
{
    struct stamp_workspace *ws = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    assert_int_equal(stamp_workspace_create(path, &development, &err), STAMP_OK);
    mode_is("keys", 0700);
    mode_is("stamps", 0700);
    mode_is("keys/owner.key", 0600);
    mode_is("keys/root.key", 0600);
    mode_is("keys/sub-ca.key", 0600);
    mode_is("registry.db", 0600);
    mode_is("root.pem", 0644);
    assert_int_equal(entries(path), 7);
    assert_int_equal(stamp_workspace_open(path, &ws, &err), STAMP_OK);
    assert_int_equal(ws->purpose, STAMP_DEVELOPMENT);
    for (int i = STAMP_WORKSPACE_OWNER; i <= STAMP_WORKSPACE_SUB_CA; i++) {
        EVP_PKEY *key = NULL;

        assert_int_equal(
            stamp_workspace_key(ws, (enum stamp_workspace_key)i, NULL, &key, &err),
            STAMP_OK);
        EVP_PKEY_free(key);
    }
    stamp_workspace_close(&ws);
}

static void second_workspace_in_a_directory_is_refused(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    assert_int_equal(stamp_workspace_create(path, &development, &err), STAMP_OK);
    assert_int_equal(stamp_workspace_create(path, &development, &err), STAMP_E_EXISTS);
    assert_string_equal(err.state, "nothing was made");
    assert_int_equal(entries(path), 7);
}

/* Each part is in the way in turn; what was there stays, and nothing else is left. */
static void failed_start_leaves_nothing(void **state)
{
    static const char *const part[] = {"keys",         "root.pem",    "sub-ca.pem",
                                       "trust-bundle", "registry.db", "stamps"};
    char full[256];

    (void)state;
    assert_int_equal(mkdir(path, 0700), 0);
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
        struct stamp_error err = STAMP_ERROR_INIT;

        (void)snprintf(full, sizeof full, "%s/%s", path, part[i]);
        assert_int_equal(mkdir(full, 0700), 0);
        assert_int_equal(stamp_workspace_create(path, &development, &err),
                         STAMP_E_EXISTS);
        assert_int_equal(entries(path), 1);
        assert_int_equal(rmdir(full), 0);
    }
    assert_int_equal(stamp_workspace_create(path, &development, NULL), STAMP_OK);
}

static void names_that_a_stamp_cannot_hold_are_refused(void **state)
{
    struct stamp_workspace_setup setup = development;
    char name[70];

    (void)state;
    memset(name, 'x', sizeof name);
    name[65] = '\0';
    setup.company = name;
    assert_int_not_equal(stamp_workspace_create(path, &setup, NULL), STAMP_OK);
    assert_int_equal(access(path, F_OK), -1);
    setup.company = "";
    assert_int_not_equal(stamp_workspace_create(path, &setup, NULL), STAMP_OK);
    assert_int_equal(access(path, F_OK), -1);
}

static void workspace_is_found_from_below(void **state)
{
    char found[PATH_MAX];
    char full[256];

    (void)state;
    assert_int_equal(stamp_workspace_create(path, &development, NULL), STAMP_OK);
    (void)snprintf(full, sizeof full, "%s/stamps", path);
    assert_int_equal(chdir(full), 0);
    assert_int_equal(stamp_workspace_locate(NULL, found, NULL), STAMP_OK);
    assert_string_equal(found, "..");
    assert_int_equal(chdir(path), 0);
    assert_int_equal(stamp_workspace_locate(NULL, found, NULL), STAMP_OK);
    assert_string_equal(found, ".");
    assert_int_equal(chdir(dir), 0);
    assert_int_equal(stamp_workspace_locate(NULL, found, NULL), STAMP_E_MISSING);
    assert_int_equal(stamp_workspace_locate("w", found, NULL), STAMP_OK);
    assert_int_equal(stamp_workspace_locate("v", found, NULL), STAMP_E_MISSING);
    assert_int_equal(setenv(STAMP_WORKSPACE_DIR, path, 1), 0);
    assert_int_equal(stamp_workspace_locate(NULL, found, NULL), STAMP_OK);
    assert_string_equal(found, path);
}

/* Replace one file of the first workspace by that of the second. */
static void swap(const char *other, const char *name)
{
    char from[256];
    char to[256];

    (void)snprintf(from, sizeof from, "%s/%s", other, name);
    (void)snprintf(to, sizeof to, "%s/%s", path, name);
    assert_int_equal(rename(from, to), 0);
}

static void parts_of_another_purpose_are_refused(void **state)
{
    static const char *const part[] = {"root.pem", "sub-ca.pem", "trust-bundle"};
    struct stamp_secret *passphrase = NULL;
    struct stamp_workspace_setup production = development;
    char other[96];

    (void)state;
    assert_int_equal(stamp_secret_new(&passphrase, "open sesame", 11, NULL), STAMP_OK);
    production.purpose = STAMP_PRODUCTION;
    assert_int_equal(stamp_workspace_create(path, &production, NULL), STAMP_E_PURPOSE);
    production.passphrase = passphrase;
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
        struct stamp_workspace *ws = NULL;
        struct stamp_error err = STAMP_ERROR_INIT;

        (void)snprintf(path, sizeof path, "%s/d%zu", dir, i);
        (void)snprintf(other, sizeof other, "%s/p%zu", dir, i);
        assert_int_equal(stamp_workspace_create(path, &development, NULL), STAMP_OK);
        assert_int_equal(stamp_workspace_create(other, &production, NULL), STAMP_OK);
        swap(other, part[i]);
        assert_int_equal(stamp_workspace_open(path, &ws, &err), STAMP_E_PURPOSE);
        assert_null(ws);
    }
    stamp_secret_free(&passphrase);
}

static void key_of_another_workspace_is_refused(void **state)
{
    struct stamp_workspace *ws = NULL;
    EVP_PKEY *key = NULL;
    char other[96];

    (void)state;
    (void)snprintf(other, sizeof other, "%s/o", dir);
    assert_int_equal(stamp_workspace_create(path, &development, NULL), STAMP_OK);
    assert_int_equal(stamp_workspace_create(other, &development, NULL), STAMP_OK);
    swap(other, "keys/sub-ca.key");
    swap(other, "keys/owner.key");
    assert_int_equal(stamp_workspace_open(path, &ws, NULL), STAMP_OK);
    assert_int_equal(stamp_workspace_key(ws, STAMP_WORKSPACE_SUB_CA, NULL, &key, NULL),
                     STAMP_E_AUTH);
    assert_null(key);
    assert_int_equal(stamp_workspace_key(ws, STAMP_WORKSPACE_OWNER, NULL, &key, NULL),
                     STAMP_E_AUTH);
    assert_null(key);
    stamp_workspace_close(&ws);
}

static int verdict_on(struct desk *by, struct desk *of)
{
    STAMP_BUFFER_AUTO body = {NULL, 0};
    STAMP_BUFFER_AUTO image = {NULL, 0};
    struct stamp_slice encoded;

    desk_issue(of, &body);
    encoded.p = body.p;
    encoded.len = body.len;
    assert_int_equal(stamp_image_make(&desk_geometry, encoded, NULL, &image, NULL),
                     STAMP_OK);
    return desk_verdict(by, image.p, image.len);
}

static void stamps_are_authentic_at_their_own_workspace_only(void **state)
{
    struct desk a;
    struct desk b;
    struct desk production;

    (void)state;
    desk_open(&a, STAMP_DEVELOPMENT);
    desk_open(&b, STAMP_DEVELOPMENT);
    desk_open(&production, STAMP_PRODUCTION);
    assert_int_equal(verdict_on(&a, &a), 0);
    assert_int_equal(verdict_on(&production, &production), 0);
    assert_int_equal(verdict_on(&a, &b), 3);
    assert_int_equal(verdict_on(&production, &a), 3);
    assert_int_equal(verdict_on(&a, &production), 3);
    desk_close(&a);
    desk_close(&b);
    desk_close(&production);
}

static void anchors_of_both_purposes_do_not_mix(void **state)
{
    struct desk a;
    struct desk production;
    struct stamp_trust *both = NULL;

    (void)state;
    desk_open(&a, STAMP_DEVELOPMENT);
    desk_open(&production, STAMP_PRODUCTION);
    assert_int_equal(stamp_trust_new(&both, NULL), STAMP_OK);
    assert_int_equal(stamp_trust_add(both, a.ws->root, NULL), STAMP_OK);
    assert_int_equal(stamp_trust_add(both, production.ws->root, NULL), STAMP_E_PURPOSE);
    stamp_trust_free(&both);
    desk_close(&a);
    desk_close(&production);
}

static void production_keys_need_the_passphrase(void **state)
{
    struct desk production;
    struct stamp_issuer *issuer = NULL;
    struct stamp_secret *wrong = NULL;

    (void)state;
    desk_open(&production, STAMP_PRODUCTION);
    assert_int_equal(stamp_issuer_new(production.ws, NULL, &issuer, NULL), STAMP_E_AUTH);
    assert_null(issuer);
    assert_int_equal(stamp_secret_new(&wrong, "open barley", 11, NULL), STAMP_OK);
    assert_int_equal(stamp_issuer_new(production.ws, wrong, &issuer, NULL), STAMP_E_AUTH);
    assert_null(issuer);
    stamp_secret_free(&wrong);
    desk_close(&production);
}

#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, open_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(new_workspace_opens_and_keeps_its_keys_private),
        IN_DIR(second_workspace_in_a_directory_is_refused),
        IN_DIR(failed_start_leaves_nothing),
        IN_DIR(names_that_a_stamp_cannot_hold_are_refused),
        IN_DIR(workspace_is_found_from_below),
        IN_DIR(parts_of_another_purpose_are_refused),
        IN_DIR(key_of_another_workspace_is_refused),
        cmocka_unit_test(stamps_are_authentic_at_their_own_workspace_only),
        cmocka_unit_test(anchors_of_both_purposes_do_not_mix),
        cmocka_unit_test(production_keys_need_the_passphrase),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Proofs of possession in escrow: sealed for the owner, bound to the serial. */
#include "host/escrow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/pem.h>

#include "host/key.h"
#include "test/fixture/batch.h"

static const char pop[] = "K7M2P4QRST9V";

struct rig {
    struct batch_fixture f;
    EVP_PKEY *owner;
    char path[64];
    struct stamp_escrow *escrow;
    uint8_t sealed[STAMP_ESCROW_MAX];
    size_t sealed_len;
};

static struct rig rig;

static void put_certificate(const char *path, const char *usage)
{
    X509 *cert = batch_fixture_station(rig.owner, "owner", usage, 30);
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, cert), 1);
    assert_int_equal(fclose(file), 0);
    X509_free(cert);
}

static struct stamp_slice slice(const void *p, size_t len)
{
    struct stamp_slice s = {p, len};

    return s;
}

static int setup(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    batch_fixture_init(&rig.f, STAMP_DEVELOPMENT);
    assert_int_equal(stamp_key_generate(&rig.owner, &err), STAMP_OK);
    (void)snprintf(rig.path, sizeof rig.path, "%s/owner.pem", rig.f.dir);
    put_certificate(rig.path, "critical,keyAgreement");
    assert_int_equal(stamp_escrow_new(rig.path, &rig.escrow, &err), STAMP_OK);
    assert_int_equal(stamp_escrow_seal(rig.escrow, "SN-1", slice(pop, strlen(pop)),
                                       rig.sealed, &rig.sealed_len, &err),
                     STAMP_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    stamp_escrow_free(&rig.escrow);
    EVP_PKEY_free(rig.owner);
    batch_fixture_fini(&rig.f);
    return 0;
}

static enum stamp_err open_as(const char *serial, EVP_PKEY *key,
                              struct stamp_secret **out)
{
    struct stamp_error err = STAMP_ERROR_INIT;

    return stamp_escrow_open(stamp_escrow_envelope(rig.escrow),
                             slice(rig.sealed, rig.sealed_len), serial, key, out, &err);
}

static void owner_key_opens_it(void **state)
{
    struct stamp_secret *out = NULL;
    size_t len = 0;

    (void)state;
    assert_int_equal(rig.sealed_len, 12 + strlen(pop) + 16);
    assert_int_equal(open_as("SN-1", rig.owner, &out), STAMP_OK);
    assert_memory_equal(stamp_secret_use(out, &len), pop, strlen(pop));
    assert_int_equal(len, strlen(pop));
    stamp_secret_free(&out);
}

static void proof_is_not_in_the_clear(void **state)
{
    struct stamp_slice envelope = stamp_escrow_envelope(rig.escrow);

    (void)state;
    assert_null(memmem(rig.sealed, rig.sealed_len, pop, 4));
    assert_null(memmem(envelope.p, envelope.len, pop, 4));
}

static void another_serial_or_key_is_refused(void **state)
{
    struct stamp_secret *out = NULL;

    (void)state;
    assert_int_equal(open_as("SN-2", rig.owner, &out), STAMP_E_AUTH);
    assert_null(out);
    assert_int_equal(open_as("SN-1", rig.f.station_key[0], &out), STAMP_E_AUTH);
    assert_null(out);
}

static void every_changed_byte_is_found(void **state)
{
    struct stamp_secret *out = NULL;

    (void)state;
    for (size_t i = 0; i < rig.sealed_len; i++) {
        rig.sealed[i] ^= 1;
        assert_int_equal(open_as("SN-1", rig.owner, &out), STAMP_E_AUTH);
        rig.sealed[i] ^= 1;
    }
    for (size_t len = 0; len < rig.sealed_len; len++) {
        struct stamp_error err = STAMP_ERROR_INIT;

        assert_int_equal(stamp_escrow_open(stamp_escrow_envelope(rig.escrow),
                                           slice(rig.sealed, len), "SN-1", rig.owner,
                                           &out, &err),
                         STAMP_E_AUTH);
    }
}

static void same_proof_never_looks_the_same(void **state)
{
    uint8_t other[STAMP_ESCROW_MAX];
    size_t len = 0;
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    assert_int_equal(
        stamp_escrow_seal(rig.escrow, "SN-1", slice(pop, strlen(pop)), other, &len, &err),
        STAMP_OK);
    assert_memory_not_equal(other, rig.sealed, len);
}

static void refuses_what_nothing_can_be_sealed_to(void **state)
{
    struct stamp_escrow *out = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    put_certificate(rig.path, "critical,digitalSignature");
    assert_int_equal(stamp_escrow_new(rig.path, &out, &err), STAMP_E_CONFIG);
    assert_non_null(strstr(err.what, rig.path));
    assert_null(out);
    batch_fixture_put(rig.path, (const uint8_t *)"no", 2);
    memset(&err, 0, sizeof err);
    assert_int_equal(stamp_escrow_new(rig.path, &out, &err), STAMP_E_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(owner_key_opens_it),
        cmocka_unit_test(proof_is_not_in_the_clear),
        cmocka_unit_test(another_serial_or_key_is_refused),
        cmocka_unit_test(every_changed_byte_is_found),
        cmocka_unit_test(same_proof_never_looks_the_same),
        cmocka_unit_test(refuses_what_nothing_can_be_sealed_to),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}

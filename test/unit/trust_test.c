/* Chains and claims against trust, as they come from a live device or an image. */
#include "host/trust.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "host/bundle.h"
#include "host/claims.h"
#include "host/key.h"
#include "host/leaf.h"
#include "host/verify.h"
#include "test/unit/desk/desk.h"

static struct desk desk;
static EVP_PKEY *sub_ca_key;
static EVP_PKEY *device_key;
static uint8_t point[STAMP_POINT_SIZE];
static uint8_t *sub_ca_der;
static size_t sub_ca_len;

static int open_desk(void **state)
{
    (void)state;
    desk_open(&desk, STAMP_DEVELOPMENT);
    assert_int_equal(
        stamp_workspace_key(desk.ws, STAMP_WORKSPACE_SUB_CA, NULL, &sub_ca_key, NULL),
        STAMP_OK);
    assert_int_equal(stamp_key_generate(&device_key, NULL), STAMP_OK);
    assert_int_equal(stamp_key_point(device_key, point, NULL), STAMP_OK);
    assert_int_equal(stamp_pki_encode(desk.ws->sub_ca, &sub_ca_der, &sub_ca_len, NULL),
                     STAMP_OK);
    return 0;
}

static int close_desk(void **state)
{
    (void)state;
    EVP_PKEY_free(sub_ca_key);
    EVP_PKEY_free(device_key);
    OPENSSL_free(sub_ca_der);
    desk_close(&desk);
    return 0;
}

/* What a device sends: claims, and the certificate that is made for them. */
struct sent {
    uint8_t claims[512];
    size_t claims_len;
    uint8_t leaf[STAMP_MAX_CERTIFICATE];
    size_t leaf_len;
    uint8_t certs[2 * STAMP_MAX_CERTIFICATE];
    size_t certs_len;
};

static void put_text(struct stamp_cbor_out *o, uint32_t key, const char *text)
{
    stamp_cbor_put_head(o, STAMP_CBOR_UINT, key);
    stamp_cbor_put_string(o, STAMP_CBOR_TEXT, text, strlen(text));
}

static void put_claims(struct sent *s, const char *serial, const char *product,
                       uint32_t purpose, const uint8_t *owner)
{
    struct stamp_cbor_out o;

    stamp_cbor_out_init(&o, s->claims, sizeof s->claims);
    stamp_cbor_put_head(&o, STAMP_CBOR_MAP, 6);
    put_text(&o, STAMP_SERIAL, serial);
    put_text(&o, STAMP_COMPANY, "Example GmbH");
    put_text(&o, STAMP_PRODUCT, product);
    stamp_cbor_put_head(&o, STAMP_CBOR_UINT, STAMP_PURPOSE);
    stamp_cbor_put_head(&o, STAMP_CBOR_UINT, purpose);
    stamp_cbor_put_head(&o, STAMP_CBOR_UINT, STAMP_OWNER_KEY_HASH);
    stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, owner, 32);
    stamp_cbor_put_head(&o, STAMP_CBOR_UINT, 31); /* unknown to us, bound all the same */
    stamp_cbor_put_head(&o, STAMP_CBOR_SIMPLE, 21);
    assert_true(stamp_cbor_out_ok(&o));
    s->claims_len = o.len;
}

static void put_certs(struct sent *s, bool with_sub_ca)
{
    struct stamp_cbor_out o;

    stamp_cbor_out_init(&o, s->certs, sizeof s->certs);
    stamp_cbor_put_head(&o, STAMP_CBOR_ARRAY, with_sub_ca ? 2 : 1);
    stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, s->leaf, s->leaf_len);
    if (with_sub_ca) {
        stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, sub_ca_der, sub_ca_len);
    }
    s->certs_len = o.len;
}

static void put_leaf(struct sent *s, const char *serial, bool bound, time_t from,
                     uint32_t days)
{
    struct stamp_leaf_profile profile = {.organization = "Example GmbH",
                                         .validity_days = days};
    struct stamp_leaf_subject subject = {.serial_number = {0x40},
                                         .serial = serial,
                                         .common_name = serial,
                                         .point = point,
                                         .not_before = from};
    struct stamp_leaf_maker *maker = NULL;
    uint8_t digest[32];

    assert_int_equal(stamp_claims_hash(s->claims, s->claims_len, digest, NULL), STAMP_OK);
    subject.digest = bound ? digest : NULL;
    assert_int_equal(stamp_leaf_new(&profile, desk.ws->sub_ca, sub_ca_key, &maker, NULL),
                     STAMP_OK);
    assert_int_equal(stamp_leaf_make(maker, &subject, s->leaf, &s->leaf_len, NULL),
                     STAMP_OK);
    stamp_leaf_free(&maker);
    put_certs(s, true);
}

static enum stamp_err verify(const struct sent *s, struct stamp_identity *id,
                             struct stamp_error *err)
{
    struct stamp_slice claims = {s->claims, s->claims_len};
    struct stamp_slice certs = {s->certs, s->certs_len};

    return stamp_verify_claims(claims, certs, desk.trust, id, err);
}

static void usual(struct sent *s)
{
    put_claims(s, "SN-1", "Lamp", STAMP_DEVELOPMENT, desk.ws->owner_key_hash);
    put_leaf(s, "SN-1", true, time(NULL) - 5, 0);
}

/* Refused, with this in the message. */
static void refused(const struct sent *s, enum stamp_err want, const char *why)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_identity id;
    struct stamp_identity none;

    memset(&none, 0, sizeof none);
    assert_int_equal(verify(s, &id, &err), want);
    if (strstr(err.what, why) == NULL) {
        fail_msg("'%s' does not say '%s'", err.what, why);
    }
    assert_memory_equal(&id, &none, sizeof id);
}

static void device_is_who_its_claims_say(void **state)
{
    struct sent s;
    struct stamp_identity id;

    (void)state;
    usual(&s);
    assert_int_equal(verify(&s, &id, NULL), STAMP_OK);
    assert_string_equal(id.serial, "SN-1");
    assert_string_equal(id.company, "Example GmbH");
    assert_string_equal(id.product, "Lamp");
    assert_int_equal(id.purpose, STAMP_DEVELOPMENT);
    assert_memory_equal(id.point, point, sizeof point);
    assert_true(id.bound);
}

static void unbound_device_is_said_to_be(void **state)
{
    struct sent s;
    struct stamp_identity id;

    (void)state;
    usual(&s);
    put_leaf(&s, "SN-1", false, time(NULL) - 5, 0);
    assert_int_equal(verify(&s, &id, NULL), STAMP_OK);
    assert_false(id.bound);
    put_leaf(&s, "SN-2", false, time(NULL) - 5, 0);
    refused(&s, STAMP_E_AUTH, "another serial number");
}

static void changed_claim_is_refused(void **state)
{
    struct sent s;
    uint8_t other[32] = {1};

    (void)state;
    usual(&s);
    put_claims(&s, "SN-1", "Lump", STAMP_DEVELOPMENT, desk.ws->owner_key_hash);
    refused(&s, STAMP_E_AUTH, "not what its certificate binds");
    put_claims(&s, "SN-2", "Lamp", STAMP_DEVELOPMENT, desk.ws->owner_key_hash);
    refused(&s, STAMP_E_AUTH, "another serial number");
    put_claims(&s, "SN-1", "Lamp", STAMP_PRODUCTION, desk.ws->owner_key_hash);
    refused(&s, STAMP_E_PURPOSE, "production");
    /* bound by our own authority, and yet not of our owner */
    put_claims(&s, "SN-1", "Lamp", STAMP_DEVELOPMENT, other);
    put_leaf(&s, "SN-1", true, time(NULL) - 5, 0);
    refused(&s, STAMP_E_AUTH, "another owner");
    usual(&s);
    s.claims[s.claims_len - 1] = 0xF4; /* the claim that we do not know */
    refused(&s, STAMP_E_AUTH, "not what its certificate binds");
}

static void dates_are_kept(void **state)
{
    struct sent s;

    (void)state;
    usual(&s);
    put_leaf(&s, "SN-1", true, time(NULL) - (time_t)2 * 86400, 1);
    refused(&s, STAMP_E_AUTH, "expired");
    put_leaf(&s, "SN-1", true, time(NULL) + 86400, 0);
    refused(&s, STAMP_E_AUTH, "not yet valid");
}

static void chain_must_be_whole_and_in_order(void **state)
{
    struct sent s;
    struct stamp_cbor_out o;
    struct stamp_identity id;

    (void)state;
    usual(&s);
    put_certs(&s, false);
    refused(&s, STAMP_E_AUTH, "unable to get");
    stamp_cbor_out_init(&o, s.certs, sizeof s.certs);
    stamp_cbor_put_head(&o, STAMP_CBOR_ARRAY, 3); /* one certificate twice: not needed */
    stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, s.leaf, s.leaf_len);
    stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, sub_ca_der, sub_ca_len);
    stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, sub_ca_der, sub_ca_len);
    s.certs_len = o.len;
    refused(&s, STAMP_E_AUTH, "out of place");
    stamp_cbor_out_init(&o, s.certs, sizeof s.certs);
    stamp_cbor_put_head(&o, STAMP_CBOR_ARRAY, 1); /* an authority is no device */
    stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, sub_ca_der, sub_ca_len);
    s.certs_len = o.len;
    refused(&s, STAMP_E_AUTH, "");
    usual(&s);
    s.certs_len--;
    refused(&s, STAMP_E_FORMAT, "malformed");
    usual(&s);
    s.certs[60] ^= 1;
    assert_int_not_equal(verify(&s, &id, NULL), STAMP_OK);
}

static void malformed_claims_are_no_claims(void **state)
{
    struct sent s;

    (void)state;
    usual(&s);
    for (size_t len = 0; len < s.claims_len; len++) {
        struct sent cut = s;

        cut.claims_len = len;
        refused(&cut, STAMP_E_FORMAT, "malformed");
    }
    s.claims[0] = 0xA5; /* a pair less than there are */
    refused(&s, STAMP_E_FORMAT, "malformed");
}

/* SPEC 7-3 with a value computed by hand: printf '...' | sha256sum */
static void digest_is_that_of_the_label_and_the_claims(void **state)
{
    static const uint8_t body[] = {0xA3, 0x01, 0x61, 'x', 0x18, 0x20, 0x82, 0x50,
                                   1,    2,    3,    4,   5,    6,    7,    8,
                                   9,    10,   11,   12,  13,   14,   15,   16,
                                   0x64, 'a',  'b',  'c', 'd',  0x18, 0x30, 0x00};
    uint8_t claims[128];
    uint8_t hash[32];
    uint8_t want[32];
    uint8_t text[17 + 40] = "devstamp claims 1";
    size_t len;

    (void)state;
    assert_int_equal(
        stamp_claims_encode(body, sizeof body, claims, sizeof claims, &len, NULL),
        STAMP_OK);
    assert_int_equal(len, 1 + 3 + 2 + 2 + 32);
    assert_memory_equal(claims, "\xA2\x01\x61x\x18\x20\x58\x20", 8);
    assert_int_equal(EVP_Digest(body + 6, 23, want, NULL, EVP_sha256(), NULL), 1);
    assert_memory_equal(claims + 8, want, 32);
    memcpy(text + 17, claims, len);
    assert_int_equal(EVP_Digest(text, 17 + len, want, NULL, EVP_sha256(), NULL), 1);
    assert_int_equal(stamp_claims_hash(claims, len, hash, NULL), STAMP_OK);
    assert_memory_equal(hash, want, 32);
    assert_int_equal(stamp_claims_of(body, sizeof body, hash, NULL), STAMP_OK);
    assert_memory_equal(hash, want, 32);
    assert_int_equal(stamp_claims_encode(body, sizeof body, claims, len - 1, &len, NULL),
                     STAMP_E_SPACE);
    assert_int_equal(
        stamp_claims_encode(body, sizeof body - 1, claims, sizeof claims, &len, NULL),
        STAMP_E_FORMAT);
}

static void bundle_is_its_owners_and_of_its_purpose(void **state)
{
    struct stamp_slice in = {desk.ws->bundle, desk.ws->bundle_len};
    struct stamp_bundle b;
    uint8_t other[32] = {0};
    uint8_t forged[STAMP_MAX_BUNDLE];
    struct stamp_slice forgery = {forged, 0};
    const uint8_t *owner = desk.ws->owner_key_hash;

    (void)state;
    assert_int_equal(stamp_bundle_check(in, owner, STAMP_DEVELOPMENT, &b, NULL),
                     STAMP_OK);
    assert_int_equal(b.version, 1);
    assert_int_equal(b.n_anchors, 1);
    assert_int_equal(stamp_bundle_check(in, other, STAMP_DEVELOPMENT, NULL, NULL),
                     STAMP_E_AUTH);
    assert_int_equal(stamp_bundle_check(in, owner, STAMP_PRODUCTION, NULL, NULL),
                     STAMP_E_PURPOSE);
    /* with another key's signature under the owner's name */
    memcpy(forged, in.p, in.len);
    forged[in.len - 1] ^= 1;
    forgery.len = in.len;
    assert_int_equal(stamp_bundle_check(forgery, owner, STAMP_DEVELOPMENT, NULL, NULL),
                     STAMP_E_AUTH);
    assert_int_equal(stamp_bundle_sign(&b, device_key, forged, &forgery.len, NULL),
                     STAMP_OK);
    assert_int_equal(stamp_bundle_check(forgery, owner, STAMP_DEVELOPMENT, NULL, NULL),
                     STAMP_E_AUTH);
    forgery.len--;
    assert_int_equal(stamp_bundle_check(forgery, owner, STAMP_DEVELOPMENT, NULL, NULL),
                     STAMP_E_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(device_is_who_its_claims_say),
        cmocka_unit_test(unbound_device_is_said_to_be),
        cmocka_unit_test(changed_claim_is_refused),
        cmocka_unit_test(dates_are_kept),
        cmocka_unit_test(chain_must_be_whole_and_in_order),
        cmocka_unit_test(malformed_claims_are_no_claims),
        cmocka_unit_test(digest_is_that_of_the_label_and_the_claims),
        cmocka_unit_test(bundle_is_its_owners_and_of_its_purpose),
    };

    return cmocka_run_group_tests(tests, open_desk, close_desk);
}

/*
 * Any bytes as a file for `stamp show` and `stamp verify`: partition, Intel HEX or PEM,
 * plain or encrypted, opened strictly, verified, and shown.
 */
#include <stdint.h>
#include <stdlib.h>

#include "core/bytes.h"
#include "core/crc32.h"
#include "host/imagefile.h"
#include "host/json.h"
#include "host/key.h"
#include "host/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct stamp_trust *trust;
static struct stamp_secret *root_key;

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* Trust in a root whose key is thrown away: nothing may ever be authentic. */
static void set_up(void)
{
    const struct stamp_authority what = {.organization = "Nobody",
                                         .role = "Root",
                                         .purpose = STAMP_DEVELOPMENT,
                                         .path_len = -1};
    EVP_PKEY *key = NULL;
    X509 *root = NULL;

    if (trust != NULL) {
        return;
    }
    require(stamp_key_generate(&key, NULL) == STAMP_OK &&
            stamp_pki_authority(&what, key, NULL, key, &root, NULL) == STAMP_OK &&
            stamp_trust_new(&trust, NULL) == STAMP_OK &&
            stamp_trust_add(trust, root, NULL) == STAMP_OK &&
            stamp_secret_new(&root_key, "0123456789abcdef0123456789abcdef", 32, NULL) ==
                STAMP_OK);
    EVP_PKEY_free(key);
    X509_free(root);
}

static void read_all(const uint8_t *data, size_t len, int64_t at,
                     const struct stamp_secret *key)
{
    STAMP_IMAGE_AUTO *img = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_identity id;
    json_t *json = NULL;

    if (stamp_imagefile_open(data, len, at, key, &img, &err) != STAMP_OK) {
        require(img == NULL && err.code != STAMP_OK && err.what[0] != '\0');
        return;
    }
    require(stamp_verify_image(img, trust, &id, &err) != STAMP_OK);
    require(err.what[0] != '\0' && id.serial[0] == '\0');
    require(stamp_json(img, true, &json, &err) == STAMP_OK);
    json_decref(json);
}

/* A fuzzer does not guess a CRC: put those of the header and, so far as it is there, of
 * the body right, so that it gets behind them. */
static void repair(uint8_t *p, size_t len)
{
    uint32_t body_len;

    if (len < STAMP_HEADER_SIZE) {
        return;
    }
    body_len = stamp_get_u32(p + 12);
    if (len >= STAMP_BODY_OFFSET && body_len <= len - STAMP_BODY_OFFSET) {
        stamp_put_u32(p + 40, stamp_crc32(0, p + STAMP_BODY_OFFSET, body_len));
    }
    stamp_put_u32(p + 60, stamp_crc32(0, p, 60));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint8_t *copy;

    set_up();
    if (len == 0 || len > 65536) {
        return 0;
    }
    read_all(data, len, -1, NULL);
    copy = malloc(len);
    require(copy != NULL);
    for (size_t i = 0; i < len; i++) {
        copy[i] = data[i];
    }
    repair(copy, len);
    read_all(copy, len, -1, root_key);
    read_all(copy, len, 0, NULL);
    free(copy);
    return 0;
}

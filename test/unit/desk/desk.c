#include "test/unit/desk/desk.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/bytes.h"
#include "core/crc32.h"
#include "host/key.h"
#include "host/sig.h"
#include "host/verify.h"

const struct stamp_geometry desk_geometry = {.birth_size = 4096,
                                             .bank_size = 4096,
                                             .erase_size = 4096,
                                             .program_size = 4,
                                             .erased = 0xFF};

static void must(enum stamp_err rc, const struct stamp_error *err)
{
    if (rc != STAMP_OK) {
        fail_msg("%d: %s", rc, err->what);
    }
}

void desk_open(struct desk *d, uint8_t purpose)
{
    struct stamp_workspace_setup setup = {
        .company = "Example GmbH", .product = "Weather Sensor", .purpose = purpose};
    STAMP_SECRET_AUTO struct stamp_secret *passphrase = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;

    memset(d, 0, sizeof *d);
    (void)snprintf(d->dir, sizeof d->dir, "/tmp/stamp-desk-XXXXXX");
    assert_non_null(mkdtemp(d->dir));
    (void)snprintf(d->path, sizeof d->path, "%s/w", d->dir);
    if (purpose == STAMP_PRODUCTION) {
        must(stamp_secret_new(&passphrase, "open sesame", 11, &err), &err);
        setup.passphrase = passphrase;
    }
    must(stamp_workspace_create(d->path, &setup, &err), &err);
    must(stamp_workspace_open(d->path, &d->ws, &err), &err);
    must(stamp_issuer_new(d->ws, passphrase, &d->issuer, &err), &err);
    must(stamp_workspace_trust(d->ws, &d->trust, &err), &err);
}

void desk_close(struct desk *d)
{
    stamp_trust_free(&d->trust);
    stamp_issuer_free(&d->issuer);
    stamp_workspace_close(&d->ws);
    desk_remove(d->dir);
}

void desk_issue(struct desk *d, struct stamp_buffer *body)
{
    struct stamp_registry_row row;
    struct stamp_error err = STAMP_ERROR_INIT;

    must(stamp_registry_reserve(d->ws->registry, d->ws->profile->product,
                                &d->ws->profile->serial, time(NULL), &row, 1, &err),
         &err);
    must(stamp_issue(d->issuer, &row, body, &err), &err);
    stamp_registry_row_fini(&row);
}

static uint32_t place(const struct stamp_geometry *g, enum stamp_which which,
                      uint32_t *size)
{
    *size = which == STAMP_BIRTH ? g->birth_size : g->bank_size;
    return which == STAMP_BIRTH    ? 0
           : which == STAMP_BANK_A ? g->birth_size
                                   : g->birth_size + g->bank_size;
}

/* The birth key of an image, taken without any check: the image may be a bad one. */
static EVP_PKEY *birth_key(const struct stamp_buffer *image)
{
    struct stamp s;
    EVP_PKEY *key = NULL;

    assert_int_equal(
        stamp_decode(&s, image->p + STAMP_BODY_OFFSET, stamp_get_u32(image->p + 12)),
        STAMP_OK);
    assert_int_equal(stamp_key_from_scalar(s.key_private.p, &key, NULL), STAMP_OK);
    return key;
}

void desk_put_bank_body(struct stamp_buffer *image, const struct stamp_geometry *g,
                        enum stamp_which which, uint32_t seq, struct stamp_slice body,
                        EVP_PKEY *signer)
{
    struct stamp_header h = {.kind = STAMP_KIND_OPERATIONAL,
                             .seq = seq,
                             .body_len = (uint32_t)body.len,
                             .birth_size = g->birth_size,
                             .bank_size = g->bank_size};
    uint8_t signed_bytes[STAMP_SIGNED_SIZE + STAMP_MAX_LEN];
    uint32_t size;
    uint8_t *p = image->p + place(g, which, &size);
    EVP_PKEY *key = signer == NULL ? birth_key(image) : signer;

    assert_true(STAMP_BODY_OFFSET + body.len + STAMP_SIGNATURE_SIZE <= size);
    memset(p, g->erased, size);
    stamp_header_encode(&h, p);
    memcpy(p + STAMP_BODY_OFFSET, body.p, body.len);
    memcpy(signed_bytes, p, STAMP_SIGNED_SIZE);
    memcpy(signed_bytes + STAMP_SIGNED_SIZE, body.p, body.len);
    assert_int_equal(stamp_sig_make(key, STAMP_LABEL_BANK, signed_bytes,
                                    STAMP_SIGNED_SIZE + body.len,
                                    p + STAMP_BODY_OFFSET + body.len, NULL),
                     STAMP_OK);
    desk_repair(image, g, which);
    if (signer == NULL) {
        EVP_PKEY_free(key);
    }
}

void desk_put_bank(struct stamp_buffer *image, const struct stamp_geometry *g,
                   enum stamp_which which, uint32_t seq, const struct stamp *items,
                   EVP_PKEY *signer)
{
    uint8_t body[STAMP_MAX_LEN];
    struct stamp_slice encoded = {body, 0};

    assert_int_equal(stamp_encode(items, body, sizeof body, &encoded.len), STAMP_OK);
    desk_put_bank_body(image, g, which, seq, encoded, signer);
}

void desk_repair(struct stamp_buffer *image, const struct stamp_geometry *g,
                 enum stamp_which which)
{
    uint32_t size;
    uint8_t *p = image->p + place(g, which, &size);
    size_t len = stamp_get_u32(p + 12);
    size_t tail = which == STAMP_BIRTH ? 0 : STAMP_SIGNATURE_SIZE;

    if (len <= size - STAMP_BODY_OFFSET - tail) {
        stamp_put_u32(p + 40, stamp_crc32(0, p + STAMP_BODY_OFFSET, len + tail));
    }
    stamp_put_u32(p + 60, stamp_crc32(0, p, 60));
}

int desk_verdict_by(const struct stamp_trust *trust, const uint8_t *bytes, size_t len,
                    const struct stamp_secret *root_key, struct stamp_error *err)
{
    STAMP_IMAGE_AUTO *img = NULL;
    struct stamp_identity id;
    enum stamp_err rc = stamp_image_open(bytes, len, true, root_key, &img, err);

    if (rc == STAMP_OK) {
        rc = stamp_verify_image(img, trust, &id, err);
    }
    return rc == STAMP_OK ? 0 : stamp_verify_refused(rc) ? 3 : 1;
}

int desk_verdict(const struct desk *d, const uint8_t *bytes, size_t len)
{
    return desk_verdict_by(d->trust, bytes, len, NULL, NULL);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

void desk_remove(const char *dir)
{
    (void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

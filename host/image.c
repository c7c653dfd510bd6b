/* Making images; reading them is in image_open.c. */
#include "host/image.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "core/crc32.h"
#include "host/rest.h"

enum stamp_err stamp_buffer_new(struct stamp_buffer *b, size_t len, uint8_t fill,
                                struct stamp_error *err)
{
    b->p = malloc(len == 0 ? 1 : len);
    b->len = b->p == NULL ? 0 : len;
    if (b->p == NULL) {
        (void)stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
        return STAMP_E_NOMEM;
    }
    memset(b->p, fill, len);
    return STAMP_OK;
}

void stamp_buffer_free(struct stamp_buffer *b)
{
    if (b->p != NULL) {
        OPENSSL_cleanse(b->p, b->len);
        free(b->p);
    }
    b->p = NULL;
    b->len = 0;
}

size_t stamp_geometry_size(const struct stamp_geometry *g)
{
    return (size_t)g->birth_size + 2 * (size_t)g->bank_size;
}

static bool possible(const struct stamp_geometry *g)
{
    return g->erase_size > 0 && g->birth_size % g->erase_size == 0 &&
           g->bank_size % g->erase_size == 0 && g->birth_size >= STAMP_REGION_MIN &&
           g->bank_size >= STAMP_REGION_MIN &&
           stamp_geometry_size(g) <= STAMP_IMAGE_MAX &&
           (g->erased == 0xFF || g->erased == 0x00);
}

/* Header, body and (of a bank) signature into an erased region. */
static enum stamp_err put_region(const struct stamp_geometry *g, enum stamp_which which,
                                 struct stamp_header *h, struct stamp_slice raw,
                                 const uint8_t *signature, struct stamp_buffer *out,
                                 struct stamp_error *err)
{
    uint32_t off = which == STAMP_BIRTH ? 0 : g->birth_size;
    uint32_t size = which == STAMP_BIRTH ? g->birth_size : g->bank_size;
    size_t tail = signature == NULL ? 0 : STAMP_SIGNATURE_SIZE;
    uint8_t *body;

    if (which == STAMP_BANK_B) {
        off += g->bank_size;
    }
    if (raw.len + tail > size - STAMP_BODY_OFFSET) {
        (void)stamp_error_set(err, STAMP_E_SPACE, 0,
                              "the stamp needs %zu bytes and the %s region has %u",
                              raw.len + tail + STAMP_BODY_OFFSET,
                              which == STAMP_BIRTH ? "birth" : "operational", size);
        stamp_error_hint(err, "make the partition of the profile larger");
        return STAMP_E_SPACE;
    }
    body = out->p + off + STAMP_BODY_OFFSET;
    memcpy(body, raw.p, raw.len);
    if (tail > 0) {
        memcpy(body + raw.len, signature, tail);
    }
    h->body_len = (uint32_t)raw.len;
    h->birth_size = g->birth_size;
    h->bank_size = g->bank_size;
    h->body_crc = stamp_crc32(0, body, raw.len + tail);
    stamp_header_encode(h, out->p + off);
    return STAMP_OK;
}

/* The birth region from plaintext, encrypted on the way where there is a key. */
static enum stamp_err put_birth(const struct stamp_geometry *g, struct stamp_slice body,
                                const struct stamp_secret *root_key,
                                struct stamp_buffer *out, struct stamp_error *err)
{
    struct stamp_header h = {.kind = STAMP_KIND_BIRTH};
    uint8_t sealed[STAMP_REST_MAX]; /* ciphertext: nothing to wipe */
    uint8_t header[STAMP_HEADER_SIZE];
    struct stamp_slice raw = body;
    enum stamp_err rc;

    if (root_key == NULL) {
        return put_region(g, STAMP_BIRTH, &h, raw, NULL, out, err);
    }
    h.flags = STAMP_FLAG_ENCRYPTED;
    if (RAND_bytes(h.salt, sizeof h.salt) != 1) {
        return stamp_error_set(err, STAMP_E_CRYPTO, 0, "the random generator failed");
    }
    stamp_header_encode(&h, header);
    raw.p = sealed;
    rc = stamp_rest_seal(root_key, header, body, sealed, &raw.len, err);
    if (rc == STAMP_OK && raw.len > STAMP_MAX_LEN) {
        rc = stamp_error_set(err, STAMP_E_SPACE, 0,
                             "encrypted, the stamp is longer than %u bytes",
                             STAMP_MAX_LEN);
    }
    return rc == STAMP_OK ? put_region(g, STAMP_BIRTH, &h, raw, NULL, out, err) : rc;
}

static enum stamp_err new_image(const struct stamp_geometry *g, struct stamp_buffer *out,
                                struct stamp_error *err)
{
    out->p = NULL;
    out->len = 0;
    if (!possible(g)) {
        (void)stamp_error_set(err, STAMP_E_RANGE, 0,
                              "the partition's geometry is impossible");
        return STAMP_E_RANGE;
    }
    return stamp_buffer_new(out, stamp_geometry_size(g), g->erased, err);
}

enum stamp_err stamp_image_make(const struct stamp_geometry *g, struct stamp_slice body,
                                const struct stamp_secret *root_key,
                                struct stamp_buffer *out, struct stamp_error *err)
{
    enum stamp_err rc = new_image(g, out, err);

    if (rc == STAMP_OK) {
        rc = put_birth(g, body, root_key, out, err);
    }
    if (rc != STAMP_OK) {
        stamp_buffer_free(out);
    }
    return rc;
}

enum stamp_err stamp_image_relayout(const struct stamp_image *img,
                                    const struct stamp_geometry *g,
                                    const struct stamp_secret *root_key,
                                    struct stamp_buffer *out, struct stamp_error *err)
{
    const struct stamp_image_region *birth = &img->region[STAMP_BIRTH];
    bool encrypted = (birth->header.flags & STAMP_FLAG_ENCRYPTED) != 0;
    bool banks = img->region[STAMP_BANK_A].whole || img->region[STAMP_BANK_B].whole;
    enum stamp_err rc;

    out->p = NULL;
    out->len = 0;
    if (root_key != NULL && !encrypted && banks) {
        return stamp_error_set(err, STAMP_E_UNSUPPORTED, 0,
                               "an image with operational banks cannot be encrypted");
    }
    rc = new_image(g, out, err);
    if (rc == STAMP_OK && root_key != NULL && !encrypted) {
        rc = put_birth(g, birth->body, root_key, out, err);
    }
    for (unsigned i = 0; i < 3 && rc == STAMP_OK; i++) {
        const struct stamp_image_region *r = &img->region[i];
        struct stamp_header h = r->header;

        if (r->whole && (i != STAMP_BIRTH || root_key == NULL || encrypted)) {
            rc = put_region(g, (enum stamp_which)i, &h, r->raw, r->signature, out, err);
        }
    }
    if (rc != STAMP_OK) {
        stamp_buffer_free(out);
    }
    return rc;
}

const struct stamp *stamp_image_birth(const struct stamp_image *img)
{
    return &img->region[STAMP_BIRTH].stamp;
}

const struct stamp *stamp_image_bank(const struct stamp_image *img)
{
    return img->newest == STAMP_BIRTH ? NULL : &img->region[img->newest].stamp;
}

#include "host/imagefile.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "host/file.h"
#include "host/ihex.h"
#include "host/openssl.h"

#define PEM_BEGIN "-----BEGIN "
#define SECTOR 4096u

bool stamp_imagefile_format(const char *word, enum stamp_image_format *out)
{
    static const char *const name[] = {"partition", "ihex", "pem"};

    for (unsigned i = 0; i < sizeof name / sizeof *name; i++) {
        if (strcmp(word, name[i]) == 0) {
            *out = (enum stamp_image_format)i;
            return true;
        }
    }
    return false;
}

const char *stamp_imagefile_suffix(enum stamp_image_format format)
{
    static const char *const suffix[] = {".bin", ".hex", ".pem"};

    return suffix[format];
}

static enum stamp_err write_pem(struct stamp_slice body, struct stamp_buffer *out,
                                struct stamp_error *err)
{
    STAMP_BIO_AUTO *bio = BIO_new(BIO_s_secmem());
    char *text = NULL;
    long len;
    enum stamp_err rc;

    if (bio == NULL ||
        PEM_write_bio(bio, STAMP_PEM_LABEL, "", body.p, (long)body.len) <= 0) {
        return stamp_openssl_failed(err, "cannot write the stamp as PEM");
    }
    len = BIO_get_mem_data(bio, &text);
    rc = stamp_buffer_new(out, (size_t)len, 0, err);
    if (rc == STAMP_OK) {
        memcpy(out->p, text, out->len);
    }
    return rc;
}

enum stamp_err stamp_imagefile_render(enum stamp_image_format format,
                                      const struct stamp_geometry *g, uint32_t offset,
                                      struct stamp_slice body, struct stamp_buffer *out,
                                      struct stamp_error *err)
{
    STAMP_BUFFER_AUTO image = {NULL, 0};
    enum stamp_err rc = stamp_image_make(g, body, NULL, &image, err);

    out->p = NULL;
    out->len = 0;
    if (rc != STAMP_OK) {
        return rc;
    }
    switch (format) {
    case STAMP_IMAGE_PEM:
        return write_pem(body, out, err);
    case STAMP_IMAGE_IHEX:
        /* who reads it takes what is missing for 0xFF */
        return stamp_ihex_write(image.p, image.len, offset, g->erased == 0xFF ? 0xFF : -1,
                                out, err);
    case STAMP_IMAGE_PARTITION:
    default:
        *out = image;
        image.p = NULL;
        image.len = 0;
        return STAMP_OK;
    }
}

/* PEM has no partition: it is put in one that is just large enough. */
static enum stamp_err open_pem(const uint8_t *bytes, size_t len, struct stamp_image **out,
                               struct stamp_error *err)
{
    STAMP_BIO_AUTO *bio = BIO_new_mem_buf(bytes, (int)len);
    STAMP_BUFFER_AUTO image = {NULL, 0};
    struct stamp_geometry g = {
        .bank_size = SECTOR, .erase_size = SECTOR, .program_size = 1, .erased = 0xFF};
    unsigned char *der = NULL;
    char *label = NULL;
    char *header = NULL;
    long der_len = 0;
    enum stamp_err rc;

    *out = NULL;
    if (bio == NULL || PEM_read_bio(bio, &label, &header, &der, &der_len) != 1 ||
        strcmp(label, STAMP_PEM_LABEL) != 0 || header[0] != '\0' ||
        (size_t)der_len > STAMP_MAX_LEN) {
        ERR_clear_error();
        rc = stamp_error_set(err, STAMP_E_FORMAT, 0, "the PEM file holds no stamp");
    } else {
        struct stamp_slice body = {der, (size_t)der_len};

        g.birth_size =
            (STAMP_BODY_OFFSET + (uint32_t)der_len + SECTOR - 1) / SECTOR * SECTOR;
        rc = stamp_image_make(&g, body, NULL, &image, err);
    }
    OPENSSL_free(label);
    OPENSSL_free(header);
    OPENSSL_clear_free(der, (size_t)der_len);
    return rc == STAMP_OK ? stamp_image_open(image.p, image.len, true, NULL, out, err)
                          : rc;
}

/* Intel HEX leaves erased tails out: the header says how long the partition is. */
static enum stamp_err open_ihex(const uint8_t *bytes, size_t len,
                                const struct stamp_secret *root_key,
                                struct stamp_image **out, struct stamp_error *err)
{
    STAMP_BUFFER_AUTO found = {NULL, 0};
    STAMP_BUFFER_AUTO whole = {NULL, 0};
    struct stamp_header h;
    uint64_t total;
    enum stamp_err rc = stamp_ihex_read(bytes, len, &found, err);

    *out = NULL;
    if (rc != STAMP_OK) {
        return rc;
    }
    total = found.len;
    if (found.len >= STAMP_HEADER_SIZE && stamp_header_decode(found.p, &h) == STAMP_OK) {
        uint64_t size = (uint64_t)h.birth_size + 2 * (uint64_t)h.bank_size;

        total = size > total && size <= STAMP_IMAGE_MAX ? size : total;
    }
    rc = stamp_buffer_new(&whole, (size_t)total, 0xFF, err);
    if (rc != STAMP_OK) {
        return rc;
    }
    memcpy(whole.p, found.p, found.len);
    return stamp_image_open(whole.p, whole.len, true, root_key, out, err);
}

enum stamp_err stamp_imagefile_open(const uint8_t *bytes, size_t len, int64_t at,
                                    const struct stamp_secret *root_key,
                                    struct stamp_image **out, struct stamp_error *err)
{
    *out = NULL;
    if (at >= 0) {
        if ((uint64_t)at > len) {
            return stamp_error_set(err, STAMP_E_CORRUPT, 0,
                                   "the file ends before offset %lld", (long long)at);
        }
        return stamp_image_open(bytes + at, len - (size_t)at, false, root_key, out, err);
    }
    if (len >= sizeof PEM_BEGIN - 1 &&
        memcmp(bytes, PEM_BEGIN, sizeof PEM_BEGIN - 1) == 0) {
        return open_pem(bytes, len, out, err);
    }
    if (len > 0 && bytes[0] == ':') {
        return open_ihex(bytes, len, root_key, out, err);
    }
    return stamp_image_open(bytes, len, true, root_key, out, err);
}

enum stamp_err stamp_imagefile_load(const char *path, int64_t at,
                                    const struct stamp_secret *root_key,
                                    struct stamp_image **out, struct stamp_error *err)
{
    struct stamp_buffer file = {NULL, 0};
    enum stamp_err rc = stamp_file_read(path, STAMP_IMAGE_MAX, &file.p, &file.len, err);

    *out = NULL;
    if (rc != STAMP_OK) {
        return rc;
    }
    rc = stamp_imagefile_open(file.p, file.len, at, root_key, out, err);
    stamp_buffer_free(&file);
    return rc;
}

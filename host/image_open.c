/* Reading an image, strictly: SPEC 3-14, 3-15. */
#include <stdlib.h>
#include <string.h>

#include "host/image.h"
#include "host/rest.h"

static const char *const region_name[] = {"birth region", "bank A", "bank B"};

static enum stamp_err damaged(struct stamp_error *err, const char *what, const char *how)
{
    return stamp_error_set(err, STAMP_E_CORRUPT, 0, "the image is damaged: %s %s", what,
                           how);
}

static bool all(const uint8_t *p, size_t len, uint8_t value)
{
    return len == 0 || (p[0] == value && memcmp(p, p + 1, len - 1) == 0);
}

/* The sizes that the header of the birth region gives. */
static enum stamp_err measure(const uint8_t *bytes, size_t len, bool exact,
                              struct stamp_image *img, struct stamp_error *err)
{
    struct stamp_header h;
    enum stamp_err rc;
    uint64_t total;

    if (len < STAMP_HEADER_SIZE) {
        return damaged(err, "the file", "is too short");
    }
    if (all(bytes, STAMP_HEADER_SIZE, 0xFF) || all(bytes, STAMP_HEADER_SIZE, 0x00)) {
        return stamp_error_set(err, STAMP_E_BLANK, 0, "there is no stamp in it");
    }
    rc = stamp_header_decode(bytes, &h);
    if (rc == STAMP_E_VERSION) {
        (void)stamp_error_set(err, rc, 0,
                              "the stamp is of format version %u, "
                              "and this program reads version %u",
                              bytes[4], STAMP_VERSION);
        stamp_error_hint(err, "use a newer devstamp");
        return rc;
    }
    if (rc != STAMP_OK) {
        return damaged(err, region_name[0], "has no whole header");
    }
    total = (uint64_t)h.birth_size + 2 * (uint64_t)h.bank_size;
    if (h.birth_size < STAMP_REGION_MIN || h.bank_size < STAMP_REGION_MIN ||
        total > STAMP_IMAGE_MAX) {
        return damaged(err, region_name[0], "has impossible sizes");
    }
    if (total > len) {
        return damaged(err, "the file", "is cut short");
    }
    if (exact && total != len) {
        return damaged(err, "the file", "is longer than the partition");
    }
    img->birth_size = h.birth_size;
    img->bank_size = h.bank_size;
    return STAMP_OK;
}

/* The mark is whole repetitions of "LOCK", or is not there. SPEC 3-15. */
static bool mark_ok(const uint8_t *mark, uint8_t erased, bool *locked)
{
    size_t len = STAMP_BODY_OFFSET - STAMP_LOCK_OFFSET;
    size_t n = 0;

    while (n < len && mark[n] == (uint8_t) "LOCK"[n % 4]) {
        n++;
    }
    *locked = n > 0;
    return n % 4 == 0 && all(mark + n, len - n, erased);
}

static bool fixed_bytes_ok(const struct stamp_image_region *r)
{
    const uint8_t *raw = r->raw_header;

    return raw[7] == 0 && all(raw + 44, 16, 0) &&
           ((r->header.flags & STAMP_FLAG_ENCRYPTED) != 0 || all(raw + 16, 16, 0));
}

static enum stamp_err check_space(struct stamp_image *img, enum stamp_which which,
                                  size_t used, const struct stamp_region *place,
                                  struct stamp_error *err)
{
    const uint8_t *p = img->bytes.p + place->off;
    bool mark = true;

    if (which == STAMP_BIRTH) {
        mark = mark_ok(p + STAMP_LOCK_OFFSET, img->erased, &img->locked);
    } else {
        mark = all(p + STAMP_HEADER_SIZE, STAMP_BODY_OFFSET - STAMP_HEADER_SIZE,
                   img->erased);
    }
    if (!mark) {
        return damaged(err, region_name[which], "has a damaged lock mark");
    }
    if (!all(p + used, place->size - used, img->erased)) {
        return damaged(err, region_name[which], "has stray bytes behind its end");
    }
    return STAMP_OK;
}

static enum stamp_err take_region(struct stamp_image *img, enum stamp_which which,
                                  const struct stamp_region *place,
                                  struct stamp_error *err)
{
    struct stamp_image_region *r = &img->region[which];
    const uint8_t *p = img->bytes.p + place->off;
    size_t used = STAMP_BODY_OFFSET + place->body_len;

    if (place->state == STAMP_REGION_BLANK) {
        return all(p, place->size, img->erased)
                   ? STAMP_OK
                   : damaged(err, region_name[which], "is neither erased nor whole");
    }
    if (place->state == STAMP_REGION_NEWER) {
        return stamp_error_set(err, STAMP_E_VERSION, 0, "%s is of a newer format",
                               region_name[which]);
    }
    if (place->state != STAMP_REGION_WHOLE) {
        return damaged(err, region_name[which], "is torn");
    }
    r->whole = true;
    memcpy(r->raw_header, p, sizeof r->raw_header);
    if (stamp_header_decode(p, &r->header) != STAMP_OK || !fixed_bytes_ok(r)) {
        return damaged(err, region_name[which], "has a malformed header");
    }
    r->raw.p = p + STAMP_BODY_OFFSET;
    r->raw.len = place->body_len;
    if (which != STAMP_BIRTH) {
        r->signature = p + used;
        used += STAMP_SIGNATURE_SIZE;
    }
    return check_space(img, which, used, place, err);
}

/* Take the regions apart, for flash that reads `erased` where it is erased. */
static enum stamp_err take_apart(struct stamp_image *img, uint8_t erased,
                                 struct stamp_error *err)
{
    struct stamp_flash flash = {.map = img->bytes.p,
                                .birth_size = img->birth_size,
                                .bank_size = img->bank_size,
                                .erase_size = STAMP_REGION_MIN,
                                .program_size = 1,
                                .erased = erased};
    struct stamp_part part;
    enum stamp_err rc = stamp_part_open(&part, &flash);

    img->erased = erased;
    memset(img->region, 0, sizeof img->region);
    if (rc != STAMP_OK && rc != STAMP_E_CORRUPT) {
        return stamp_error_set(err, rc, 0, "the birth region cannot be read");
    }
    rc = STAMP_OK;
    for (unsigned i = 0; i < 3 && rc == STAMP_OK; i++) {
        rc = take_region(img, (enum stamp_which)i, &part.region[i], err);
    }
    if (rc == STAMP_OK && img->region[1].whole && img->region[2].whole &&
        img->region[1].header.seq == img->region[2].header.seq) {
        rc = damaged(err, "the banks", "have the same sequence number");
    }
    img->newest = (enum stamp_which)part.newest;
    return rc;
}

/* SPEC 6-1. */
static bool bank_holds_only_its_own(const struct stamp_slice *body, const struct stamp *s)
{
    struct stamp_cbor c;
    uint32_t n;

    stamp_cbor_init(&c, body->p, body->len);
    n = stamp_cbor_expect(&c, STAMP_CBOR_MAP);
    for (uint32_t i = 0; i < n; i++) {
        switch (stamp_cbor_uint(&c, STAMP_KEY_LAST)) {
        case STAMP_TRUST_BUNDLE:
        case STAMP_POP:
        case STAMP_SECRET_BARCODES:
        case STAMP_DEVICE_KEY:
        case STAMP_CERTIFICATES:
        case STAMP_CLAIM_STATE:
        case STAMP_NEXT_KEY:
        case STAMP_NEXT_POP:
            break;
        default:
            return false;
        }
        (void)stamp_cbor_skip(&c);
    }
    return c.err == STAMP_OK && s->has_device_key == (s->n_certificates > 0);
}

static enum stamp_err decode_region(struct stamp_image *img, enum stamp_which which,
                                    const struct stamp_secret *root_key,
                                    struct stamp_error *err)
{
    struct stamp_image_region *r = &img->region[which];
    enum stamp_err rc;
    bool fit;

    r->body = r->raw;
    if ((r->header.flags & STAMP_FLAG_ENCRYPTED) != 0) {
        if (root_key == NULL) {
            (void)stamp_error_set(err, STAMP_E_CRYPTO, 0, "the stamp rests encrypted");
            stamp_error_hint(err, "give the device's root key with --root-key FILE");
            return STAMP_E_CRYPTO;
        }
        rc = stamp_buffer_new(&r->plain, r->raw.len, 0, err);
        if (rc == STAMP_OK) {
            r->body.p = r->plain.p;
            rc = stamp_rest_open(root_key, r->raw_header, r->raw, r->plain.p,
                                 &r->body.len, err);
        }
        if (rc != STAMP_OK) {
            return rc;
        }
    }
    rc = stamp_decode(&r->stamp, r->body.p, r->body.len);
    if (rc != STAMP_OK) {
        return stamp_error_set(err, STAMP_E_FORMAT, 0, "%s does not hold a stamp",
                               region_name[which]);
    }
    fit = which == STAMP_BIRTH ? stamp_check_birth(&r->stamp) == STAMP_OK
                               : bank_holds_only_its_own(&r->body, &r->stamp);
    return fit ? STAMP_OK
               : stamp_error_set(err, STAMP_E_FORMAT, 0,
                                 "%s does not hold what it must and may",
                                 region_name[which]);
}

/* The end of one region at least is erased, unless all are full to the brim. */
static bool may_erase_to_zero(const struct stamp_image *img)
{
    return img->bytes.p[img->birth_size - 1] == 0x00 ||
           img->bytes.p[img->birth_size + img->bank_size - 1] == 0x00 ||
           img->bytes.p[img->bytes.len - 1] == 0x00;
}

static enum stamp_err open_bytes(struct stamp_image *img,
                                 const struct stamp_secret *root_key,
                                 struct stamp_error *err)
{
    struct stamp_error other = STAMP_ERROR_INIT;
    enum stamp_err rc = take_apart(img, 0xFF, err);

    /* Flash that erases to zero is rare: the first message is the better one. */
    if (rc != STAMP_OK && may_erase_to_zero(img) &&
        take_apart(img, 0x00, &other) == STAMP_OK) {
        if (err != NULL) {
            stamp_error_clear(err);
        }
        rc = STAMP_OK;
    }
    for (unsigned i = 0; i < 3 && rc == STAMP_OK; i++) {
        if (img->region[i].whole) {
            rc = decode_region(img, (enum stamp_which)i, root_key, err);
        }
    }
    return rc;
}

enum stamp_err stamp_image_open(const uint8_t *bytes, size_t len, bool exact,
                                const struct stamp_secret *root_key,
                                struct stamp_image **out, struct stamp_error *err)
{
    struct stamp_image *img = calloc(1, sizeof *img);
    enum stamp_err rc;

    *out = NULL;
    if (img == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, 0, "out of memory");
    }
    rc = measure(bytes, len, exact, img, err);
    if (rc == STAMP_OK) {
        size_t size = (size_t)img->birth_size + 2 * (size_t)img->bank_size;

        rc = stamp_buffer_new(&img->bytes, size, 0, err);
        if (rc == STAMP_OK) {
            memcpy(img->bytes.p, bytes, size);
            rc = open_bytes(img, root_key, err);
        }
    }
    if (rc != STAMP_OK) {
        stamp_image_free(&img);
    }
    *out = img;
    return rc;
}

void stamp_image_free(struct stamp_image **p)
{
    if (*p == NULL) {
        return;
    }
    for (unsigned i = 0; i < 3; i++) {
        stamp_buffer_free(&(*p)->region[i].plain);
    }
    stamp_buffer_free(&(*p)->bytes);
    free(*p);
    *p = NULL;
}

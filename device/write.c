/*
 * Writing a region: erase it, body (and signature) as they are made, header last. What
 * was not committed by its header counts as torn. Each program unit is programmed at most
 * once between erases. SPEC 3-11.
 *
 * The pieces on the stack are not wiped: they are in flash as they are here.
 */
#include <string.h>

#include "core/crc32.h"
#include "device/device_i.h"

/* Collects bytes into whole program units. Errors stick. What is used most comes first,
 * which makes shorter code. */
struct writer {
    const struct stamp_flash *flash; /* NULL: only counts */
    const struct stamp_device *dev;
    const struct stampi_job *job;
    psa_key_id_t rest; /* PSA_KEY_ID_NULL: items are not encrypted */
    uint32_t len;      /* of all so far */
    uint32_t plain;    /* of the items before they are encrypted */
    uint32_t count;    /* of items */
    uint32_t seen[2];  /* which */
    uint32_t off;      /* where `unit` goes */
    uint32_t crc;
    uint32_t fill;
    enum stamp_err err;
    psa_hash_operation_t hash;       /* of a bank's signature */
    uint8_t unit[STAMP_HEADER_SIZE]; /* a multiple of every program size */
};

enum stamp_err stampi_program(const struct stamp_flash *flash, uint32_t off,
                              const void *p, size_t len)
{
    return flash->program != NULL && flash->program(flash->ctx, off, p, len) == 0
               ? STAMP_OK
               : STAMP_E_FLASH;
}

static void flush(struct writer *w)
{
    uint32_t unit = w->flash->program_size;
    uint32_t len = (w->fill + unit - 1) & ~(unit - 1);

    if (w->err == STAMP_OK && len > 0) {
        memset(w->unit + w->fill, w->flash->erased, len - w->fill);
        w->err = stampi_program(w->flash, w->off, w->unit, len);
    }
    w->off += len;
    w->fill = 0;
}

static void put(struct writer *w, const void *p, size_t len)
{
    const uint8_t *from = p;

    w->len += (uint32_t)len;
    if (w->flash == NULL) {
        return;
    }
    w->crc = stamp_crc32(w->crc, p, len);
    stampi_hash(&w->hash, p, len);
    while (len-- > 0) {
        w->unit[w->fill++] = *from++;
        if (w->fill == sizeof w->unit) {
            flush(w);
        }
    }
}

static void put_head(struct writer *w, enum stamp_cbor_type type, uint32_t arg)
{
    uint8_t head[STAMP_CBOR_HEAD_MAX];

    put(w, head, stamp_cbor_encode_head(head, type, arg));
}

const struct stamp_slice *stampi_change(const struct stamp_change *changes, size_t n,
                                        uint32_t key)
{
    for (; n > 0; n--, changes++) {
        if (changes->key == key) {
            return &changes->value;
        }
    }
    return NULL;
}

/* The value that an item will have. A new one must be one whole CBOR item. */
static enum stamp_err job_value(const struct stampi_job *job, uint32_t key,
                                struct stamp_slice *v)
{
    const struct stamp_slice *change = stampi_change(job->changes, job->n_changes, key);
    struct stamp_cbor c;

    if (change != NULL) {
        *v = *change;
        if (v->p == NULL) {
            return STAMP_E_MISSING;
        }
        stamp_cbor_init(&c, v->p, v->len);
        (void)stamp_cbor_skip(&c);
        return c.left == 0 ? c.err : STAMP_E_FORMAT;
    }
    return job->from != NULL ? stampi_find(job->from, job->from_which, key, v)
                             : STAMP_E_MISSING;
}

/* One item: as it is, or as a record sealed in the work buffer. */
static void put_item(struct writer *w, uint32_t key, struct stamp_slice v)
{
    const struct stamp_port *port = w->dev->port;

    w->count++;
    w->seen[key / 32] |= 1u << key % 32;
    w->plain += (uint32_t)v.len + (key < 24 ? 1 : 2);
    put_head(w, STAMP_CBOR_UINT, key);
    if (w->rest != PSA_KEY_ID_NULL) {
        if (port->work == NULL || port->work_size < v.len + STAMP_WORK_EXTRA) {
            w->err = STAMP_E_SPACE;
            return;
        }
        if (w->flash != NULL && w->err == STAMP_OK) {
            w->err = stampi_crypt(w->rest, key, false, v.p, v.len, port->work);
        }
        v.p = port->work;
        v.len += STAMPI_TAG_SIZE;
        put_head(w, STAMP_CBOR_BYTES, (uint32_t)v.len);
    }
    put(w, v.p, v.len);
}

static void put_items(struct writer *w)
{
    struct stamp_slice v;

    for (uint32_t key = 1; key <= STAMP_KEY_LAST && w->err == STAMP_OK; key++) {
        enum stamp_err rc = job_value(w->job, key, &v);

        if (rc == STAMP_OK) {
            put_item(w, key, v);
        } else if (rc != STAMP_E_MISSING) {
            w->err = rc;
        }
        stampi_done(w->dev);
    }
}

#define BIT(key) (1u << (key) % 32)

/* Are the items that were counted those that the region holds? SPEC 5-20, 6-1. */
static enum stamp_err check_items(const struct writer *w)
{
    const uint32_t pair = BIT(STAMP_DEVICE_KEY) | BIT(STAMP_CERTIFICATES);
    const uint32_t must = BIT(STAMP_SERIAL) | BIT(STAMP_COMPANY) | BIT(STAMP_PRODUCT) |
                          BIT(STAMP_MADE_AT) | BIT(STAMP_PURPOSE) |
                          BIT(STAMP_OWNER_KEY_HASH) | BIT(STAMP_TRUST_BUNDLE);
    const uint32_t bank = pair | BIT(STAMP_POP) | BIT(STAMP_SECRET_BARCODES) |
                          BIT(STAMP_CLAIM_STATE) | BIT(STAMP_NEXT_KEY) |
                          BIT(STAMP_NEXT_POP);
    const struct stampi_job *job = w->job;
    uint8_t head[STAMP_CBOR_HEAD_MAX];
    uint32_t low = w->seen[0];
    uint32_t high = w->seen[1];
    size_t n = stamp_cbor_encode_head(head, STAMP_CBOR_MAP, w->count);

    /* something was left over, or was not in its place */
    if (job->in != NULL &&
        (w->plain + n != job->in_len || memcmp(job->in, head, n) != 0)) {
        return STAMP_E_FORMAT;
    }
    if (job->kind == STAMP_KIND_PENDING) { /* made by the library itself */
        return STAMP_OK;
    }
    if (job->which != STAMP_BIRTH) {
        return (low & ~BIT(STAMP_TRUST_BUNDLE)) != 0 || (high & ~bank) != 0 ||
                       ((high ^ high >> 1) & BIT(STAMP_DEVICE_KEY)) != 0
                   ? STAMP_E_FORMAT
                   : STAMP_OK;
    }
    if ((must & ~low) != 0 || (pair & ~high) != 0) {
        return STAMP_E_MISSING;
    }
    return (high & BIT(STAMP_CLAIM_STATE)) != 0 ? STAMP_E_FORMAT : STAMP_OK;
}

/* The second pass: what was counted is written. */
static void write_region(struct writer *w, struct stamp_header *h)
{
    const struct stamp_region *r = &w->dev->part.region[w->job->which];
    uint8_t raw[STAMP_HEADER_SIZE]; /* the signature, then the header */
    uint32_t count = w->count;

    w->flash = w->dev->part.flash;
    w->off = r->off + STAMP_BODY_OFFSET;
    w->err = stampi_erase(w->flash, r);
    stamp_header_encode(h, raw);
    stampi_sig_begin(&w->hash, STAMP_LABEL_BANK, STAMP_SIGNED_SIZE + h->body_len);
    stampi_hash(&w->hash, raw, STAMP_SIGNED_SIZE);
    put_head(w, STAMP_CBOR_MAP, count);
    put_items(w);
    if (w->err == STAMP_OK && w->job->signer != PSA_KEY_ID_NULL) {
        w->err = stampi_sig_end(&w->hash, w->job->signer, raw, NULL);
        put(w, raw, STAMP_SIGNATURE_SIZE);
    }
    (void)psa_hash_abort(&w->hash);
    flush(w);
    if (w->err == STAMP_OK) {
        h->body_crc = w->crc;
        stamp_header_encode(h, raw);
        w->err = stampi_program(w->flash, r->off, raw, sizeof raw);
    }
}

/* The salt and key of a region that is encrypted. */
static enum stamp_err begin_rest(const struct stamp_port *port, struct stamp_header *h,
                                 psa_key_id_t *rest)
{
    uint8_t raw[STAMPI_HEADER_AT + STAMP_HEADER_SIZE];

    h->flags = STAMP_FLAG_ENCRYPTED;
    if (psa_generate_random(h->salt, sizeof h->salt) != PSA_SUCCESS) {
        return STAMP_E_CRYPTO;
    }
    stamp_header_encode(h, raw + STAMPI_HEADER_AT);
    return stampi_rest_key(port, raw, PSA_KEY_USAGE_ENCRYPT, rest);
}

enum stamp_err stampi_region_write(struct stamp_device *dev, const struct stampi_job *job)
{
    struct stamp_region *r = &dev->part.region[job->which];
    struct stamp_header h;
    struct writer w;
    uint32_t room = r->size - STAMP_BODY_OFFSET;

    memset(&h, 0, sizeof h);
    memset(&w, 0, sizeof w);
    w.dev = dev;
    w.job = job;
    h.kind = job->kind;
    h.seq = job->seq;
    h.birth_size = dev->part.flash->birth_size;
    h.bank_size = dev->part.flash->bank_size;
    if (job->which != STAMP_BIRTH) {
        room -= STAMP_SIGNATURE_SIZE;
    }
    if (dev->port->root_key != NULL) {
        w.err = begin_rest(dev->port, &h, &w.rest);
    }
    put_items(&w);
    put_head(&w, STAMP_CBOR_MAP, w.count);
    h.body_len = w.len;
    if (w.err == STAMP_OK) {
        w.err = check_items(&w);
    }
    if (w.err == STAMP_OK && (w.len > room || w.len > STAMP_MAX_LEN)) {
        w.err = STAMP_E_SPACE;
    }
    if (w.err == STAMP_OK) {
        r->state = STAMP_REGION_TORN;
        write_region(&w, &h);
    }
    (void)psa_destroy_key(w.rest);
    return w.err;
}

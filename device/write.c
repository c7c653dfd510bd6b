/*
 * Writing a region: erase it, body (and signature) as they are made, header last. What
 * was not committed by its header counts as torn. Each program unit is programmed at most
 * once between erases. SPEC 3-11.
 */
#include <mbedtls/platform_util.h>
#include <string.h>

#include "core/crc32.h"
#include "device/device_i.h"

/* Collects bytes into whole program units. Errors stick. */
struct writer {
    const struct stamp_flash *flash;
    psa_hash_operation_t hash; /* of a bank's signature */
    uint32_t off;              /* where `unit` goes */
    uint32_t crc;
    uint32_t fill;
    enum stamp_err err;
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
    uint32_t len = (w->fill + unit - 1) / unit * unit;

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

    w->crc = stamp_crc32(w->crc, p, len);
    stampi_hash(&w->hash, p, len);
    while (len > 0) {
        size_t n = sizeof w->unit - w->fill < len ? sizeof w->unit - w->fill : len;

        memcpy(w->unit + w->fill, from, n);
        w->fill += (uint32_t)n;
        from += n;
        len -= n;
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

/* Walks the items of a job: those that are kept and those that are new, by ascending key.
 */
struct cursor {
    struct stamp_item item;
    bool loaded; /* `item` is the next one of the old region */
    bool end;
    size_t change;
    /* the current one */
    uint32_t key;
    const struct stamp_slice *value; /* NULL: `item` is kept */
};

static enum stamp_err load(const struct stampi_job *job, struct cursor *c)
{
    enum stamp_err rc;

    if (c->loaded || c->end) {
        return STAMP_OK;
    }
    rc = job->empty ? STAMP_E_MISSING
                    : stamp_next(&job->from->part, job->from_which, &c->item);
    c->loaded = rc == STAMP_OK;
    c->end = rc == STAMP_E_MISSING;
    return c->end ? STAMP_OK : rc;
}

static enum stamp_err next(const struct stampi_job *job, struct cursor *c)
{
    for (;;) {
        enum stamp_err rc = load(job, c);
        uint32_t old = c->end ? STAMP_KEY_LAST + 1 : c->item.key;

        if (rc != STAMP_OK) {
            return rc;
        }
        if (c->change == job->n_changes || job->changes[c->change].key > old) {
            c->key = old;
            c->value = NULL;
            c->loaded = false;
            return c->end ? STAMP_E_MISSING : STAMP_OK;
        }
        c->key = job->changes[c->change].key;
        c->value = &job->changes[c->change++].value;
        if (c->key == old) {
            c->loaded = false;
        }
        if (c->value->p != NULL) {
            return STAMP_OK;
        }
    }
}

/* Fill in the lengths of `h`; says the number of items. */
static enum stamp_err measure(const struct stamp_device *dev,
                              const struct stampi_job *job, struct stamp_header *h,
                              uint32_t *count)
{
    uint8_t head[STAMP_CBOR_HEAD_MAX];
    struct cursor c = {0};
    enum stamp_err rc;
    size_t total = 0;
    size_t len;

    for (*count = 0; (rc = next(job, &c)) == STAMP_OK; ++*count) {
        if (c.value != NULL) {
            len = c.value->len;
        } else if ((rc = stampi_value_len(job->from, &c.item, &len)) != STAMP_OK) {
            return rc;
        }
        total += stamp_cbor_encode_head(head, STAMP_CBOR_UINT, c.key);
        if (h->flags != 0) {
            if (dev->port->work == NULL ||
                dev->port->work_size < len + STAMP_WORK_EXTRA) {
                return STAMP_E_SPACE;
            }
            len += STAMPI_TAG_SIZE;
            total += stamp_cbor_encode_head(head, STAMP_CBOR_BYTES, (uint32_t)len);
        }
        total += len;
        if (total > STAMP_MAX_LEN) {
            return STAMP_E_SPACE;
        }
    }
    total += stamp_cbor_encode_head(head, STAMP_CBOR_MAP, *count);
    h->body_len = (uint32_t)total;
    return rc == STAMP_E_MISSING ? STAMP_OK : rc;
}

/* One item as a record under the key `rest`, sealed in the work buffer. */
static enum stamp_err put_sealed(struct writer *w, const struct stampi_job *job,
                                 const struct cursor *c, psa_key_id_t rest)
{
    const struct stamp_port *port = job->from->port;
    struct stamp_slice v = {NULL, 0};
    enum stamp_err rc = STAMP_OK;

    if (c->value != NULL) {
        v = *c->value;
    } else {
        rc = stampi_value(job->from, &c->item, &v);
    }
    if (rc == STAMP_OK && v.p == NULL) {
        v.p = port->work;
        rc = stamp_flash_read(job->from->part.flash, c->item.off, port->work, v.len);
    }
    if (rc == STAMP_OK) {
        rc = stampi_rest_seal(rest, c->key, v.p, v.len, port->work);
    }
    if (rc == STAMP_OK) {
        put_head(w, STAMP_CBOR_BYTES, (uint32_t)(v.len + STAMPI_TAG_SIZE));
        put(w, port->work, v.len + STAMPI_TAG_SIZE);
    }
    mbedtls_platform_zeroize(port->work, port->work_size);
    return rc;
}

/* An item that is kept, in plaintext. */
static enum stamp_err put_kept(struct writer *w, const struct stampi_job *job,
                               const struct stamp_item *item)
{
    struct stampi_reader r;
    struct stamp_slice piece;
    enum stamp_err rc = stampi_read_begin(&r, job->from, item);

    while (rc == STAMP_OK && r.value.len > 0) {
        rc = stampi_read(&r, &piece);
        put(w, piece.p, piece.len);
    }
    stampi_read_end(&r);
    return rc;
}

static enum stamp_err put_body(struct writer *w, const struct stampi_job *job,
                               uint32_t count, psa_key_id_t rest)
{
    struct cursor c = {0};
    enum stamp_err rc = STAMP_OK;

    put_head(w, STAMP_CBOR_MAP, count);
    for (; count > 0 && rc == STAMP_OK && w->err == STAMP_OK; count--) {
        rc = next(job, &c);
        if (rc != STAMP_OK) {
            return rc;
        }
        put_head(w, STAMP_CBOR_UINT, c.key);
        if (rest != PSA_KEY_ID_NULL) {
            rc = put_sealed(w, job, &c, rest);
        } else if (c.value != NULL) {
            put(w, c.value->p, c.value->len);
        } else {
            rc = put_kept(w, job, &c.item);
        }
    }
    return rc == STAMP_OK ? w->err : rc;
}

static enum stamp_err erase(const struct stamp_flash *flash, const struct stamp_region *r)
{
    if (flash->erase == NULL) {
        return STAMP_E_FLASH;
    }
    for (uint32_t off = 0; off < r->size; off += flash->erase_size) {
        if (flash->erase(flash->ctx, r->off + off) != 0) {
            return STAMP_E_FLASH;
        }
    }
    return STAMP_OK;
}

static enum stamp_err write_region(const struct stampi_job *job,
                                   const struct stamp_flash *flash,
                                   const struct stamp_region *r, struct stamp_header *h,
                                   uint32_t count, psa_key_id_t rest)
{
    uint8_t raw[STAMP_HEADER_SIZE];
    uint8_t signature[STAMP_SIGNATURE_SIZE];
    struct writer w;
    enum stamp_err rc = erase(flash, r);

    if (rc != STAMP_OK) {
        return rc;
    }
    stamp_header_encode(h, raw);
    memset(&w, 0, sizeof w);
    w.flash = flash;
    w.off = r->off + STAMP_BODY_OFFSET;
    (void)stampi_sig_begin(&w.hash, STAMP_LABEL_BANK, STAMP_SIGNED_SIZE + h->body_len);
    stampi_hash(&w.hash, raw, STAMP_SIGNED_SIZE);
    rc = put_body(&w, job, count, rest);
    if (rc == STAMP_OK && job->signer != PSA_KEY_ID_NULL) {
        rc = stampi_sig_sign(&w.hash, job->signer, signature);
        if (rc == STAMP_OK) {
            put(&w, signature, sizeof signature);
        }
    }
    (void)psa_hash_abort(&w.hash);
    flush(&w);
    if (rc == STAMP_OK) {
        rc = w.err;
    }
    if (rc == STAMP_OK) {
        h->body_crc = w.crc;
        stamp_header_encode(h, raw);
        rc = stampi_program(flash, r->off, raw, sizeof raw);
    }
    mbedtls_platform_zeroize(&w, sizeof w);
    return rc;
}

/* Take what is in flash now for the region that was written. */
static enum stamp_err read_back(struct stamp_device *dev, enum stamp_which which)
{
    struct stamp_part now;

    if (stamp_part_open(&now, dev->part.flash) == STAMP_E_FLASH) {
        return STAMP_E_FLASH;
    }
    dev->part.region[which] = now.region[which];
    stampi_pick_newest(&dev->part);
    return now.region[which].state == STAMP_REGION_WHOLE ? STAMP_OK : STAMP_E_FLASH;
}

enum stamp_err stampi_region_write(struct stamp_device *dev, const struct stampi_job *job)
{
    const struct stamp_flash *flash = dev->part.flash;
    struct stamp_region *r = &dev->part.region[job->which];
    struct stamp_header h = {
        .kind = job->kind,
        .flags = dev->port->root_key != NULL ? STAMP_FLAG_ENCRYPTED : 0,
        .seq = job->seq,
        .birth_size = flash->birth_size,
        .bank_size = flash->bank_size,
    };
    uint8_t raw[STAMP_HEADER_SIZE];
    psa_key_id_t rest = PSA_KEY_ID_NULL;
    uint32_t room = r->size - STAMP_BODY_OFFSET -
                    (job->which == STAMP_BIRTH ? 0 : STAMP_SIGNATURE_SIZE);
    uint32_t count;
    enum stamp_err rc = measure(dev, job, &h, &count);

    if (rc != STAMP_OK) {
        return rc;
    }
    if (h.body_len > room) {
        return STAMP_E_SPACE;
    }
    if (h.flags != 0) {
        if (psa_generate_random(h.salt, sizeof h.salt) != PSA_SUCCESS) {
            return STAMP_E_CRYPTO;
        }
        stamp_header_encode(&h, raw);
        rc = stampi_rest_key(dev->port, raw, PSA_KEY_USAGE_ENCRYPT, &rest);
    }
    if (rc == STAMP_OK) {
        r->state = STAMP_REGION_TORN;
        rc = write_region(job, flash, r, &h, count, rest);
        (void)psa_destroy_key(rest);
        if (rc == STAMP_OK) {
            rc = read_back(dev, job->which);
        }
    }
    return rc;
}

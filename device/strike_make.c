/* The device's own secrets: made once for an offer, waiting in a pending bank until the
 * birth stamp holds them, so that a unit that lost power goes on with the same keys.
 * SPEC 13-8 to 13-10. */
#include <mbedtls/platform_util.h>
#include <string.h>

#include "device/share_i.h"
#include "device/strike_i.h"

enum {
    CHANGES_MAX = 5,
    SALTED = 1 + 1 + STAMP_SALT_SIZE,
};

bool stampi_pending(const struct stamp_device *dev, uint8_t digest[STAMPI_HASH_SIZE])
{
    const struct stamp_region *r = &dev->part.region[STAMPI_PENDING];
    size_t len;

    return r->state == STAMP_REGION_WHOLE && r->kind == STAMP_KIND_PENDING &&
           (digest == NULL || (stamp_get_string(dev, STAMPI_PENDING, STAMP_OFFER, digest,
                                                STAMPI_HASH_SIZE, &len) == STAMP_OK &&
                               len == STAMPI_HASH_SIZE));
}

enum stamp_err stampi_pending_erase(struct stamp_device *dev)
{
    struct stamp_region *r = &dev->part.region[STAMPI_PENDING];
    enum stamp_err rc = stampi_erase(dev->part.flash, r);

    r->state = STAMP_REGION_TORN;
    r->seq = 0;
    return rc;
}

static psa_status_t random_bytes(uint8_t *p, size_t len)
{
    return psa_generate_random(p, len);
}

/* The changes of a job, with their values one behind the other in `o`. */
struct secrets {
    struct stamp_change change[CHANGES_MAX];
    size_t n;
    struct stamp_cbor_out o;
    enum stamp_err err;
};

static void begin(struct secrets *s, uint32_t key)
{
    s->change[s->n].key = key;
    s->change[s->n].value.p = s->o.p + s->o.len;
}

static void end(struct secrets *s)
{
    struct stamp_slice *v = &s->change[s->n++].value;

    v->len = (size_t)(s->o.p + s->o.len - v->p);
}

static void keep(struct secrets *s, enum stamp_err rc)
{
    s->err = s->err == STAMP_OK ? rc : s->err;
}

static void put_salt(struct secrets *s)
{
    uint8_t salt[STAMP_SALT_SIZE];

    if (random_bytes(salt, sizeof salt) != PSA_SUCCESS) {
        s->err = STAMP_E_CRYPTO;
    }
    stamp_cbor_put_head(&s->o, STAMP_CBOR_ARRAY, 2);
    stamp_cbor_put_string(&s->o, STAMP_CBOR_BYTES, salt, sizeof salt);
    mbedtls_platform_zeroize(salt, sizeof salt);
}

/* Each character as likely as the others. */
static void put_pop(struct secrets *s, const struct stampi_offer *offer)
{
    unsigned n = (unsigned)offer->alphabet.len;

    stamp_cbor_put_head(&s->o, STAMP_CBOR_TEXT, offer->pop_len);
    for (uint32_t left = offer->pop_len; left > 0 && s->err == STAMP_OK;) {
        uint8_t byte;

        if (random_bytes(&byte, 1) != PSA_SUCCESS) {
            s->err = STAMP_E_CRYPTO;
        } else if (byte < 256u - 256u % n) {
            stamp_cbor_put_raw(&s->o, offer->alphabet.p + byte % n, 1);
            left--;
        }
        byte = 0;
    }
}

static void put_secrets(struct secrets *s, const struct stampi_offer *offer)
{
    uint8_t point[STAMP_POINT_SIZE];
    struct stamp_slice pop = {NULL, 0};
    size_t was;

    if (offer->alphabet.p != NULL) {
        begin(s, STAMP_POP);
        put_salt(s);
        put_pop(s, offer);
        end(s);
        pop.len = offer->pop_len;
        pop.p = s->o.p + s->o.len - pop.len;
    }
    if (offer->own_key) {
        begin(s, STAMP_PROVISIONING_PRIVATE);
        put_salt(s);
        keep(s, stampi_put_pair(&s->o, point));
        end(s);
    }
    if (offer->barcodes.p != NULL && pop.p != NULL && stamp_cbor_out_ok(&s->o)) {
        begin(s, STAMP_SECRET_BARCODES);
        was = s->o.len;
        put_salt(s);
        if (stampi_put_barcodes(&s->o, offer->barcodes, true, pop,
                                offer->own_key ? point : NULL) != STAMP_OK) {
            s->err = STAMP_E_FORMAT;
        }
        if (s->o.len > was + SALTED) { /* there are some */
            end(s);
        } else {
            s->o.len = was;
        }
    }
    begin(s, STAMP_DEVICE_KEY);
    keep(s, stampi_put_device_key(&s->o, point));
    end(s);
    begin(s, STAMP_OFFER);
    stamp_cbor_put_string(&s->o, STAMP_CBOR_BYTES, offer->digest, sizeof offer->digest);
    end(s);
}

static enum stamp_err write_pending(struct stamp_device *dev, const struct secrets *s)
{
    struct stampi_job job = {
        .which = STAMPI_PENDING,
        .kind = STAMP_KIND_PENDING,
        .seq = 1,
        .changes = s->change,
        .n_changes = s->n,
    };
    const struct stamp_slice *key = stampi_change(s->change, s->n, STAMP_DEVICE_KEY);
    enum stamp_err rc = stampi_key_parse(dev->port, STAMP_DEVICE_KEY, *key, &job.signer);

    if (rc == STAMP_OK) {
        rc = stampi_region_write(dev, &job);
    }
    stamp_key_unload(job.signer);
    if (rc != STAMP_OK) {
        return rc;
    }
    rc = stamp_part_open(&dev->part, dev->part.flash); /* no stamp yet, so an error */
    return rc != STAMP_E_FLASH && stampi_pending(dev, NULL) ? STAMP_OK : STAMP_E_FLASH;
}

enum stamp_err stampi_pending_make(struct stampi_call *c,
                                   const struct stampi_offer *offer)
{
    struct secrets s;

    memset(&s, 0, sizeof s);
    s.o = stampi_strike_room(stampi_strike_of(c));
    put_secrets(&s, offer);
    if (!stamp_cbor_out_ok(&s.o)) {
        s.err = STAMP_E_SPACE;
    }
    if (s.err == STAMP_OK) {
        s.err = write_pending(c->a->cfg.dev, &s);
    }
    stampi_strike_wipe(stampi_strike_of(c));
    return s.err;
}

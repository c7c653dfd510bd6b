#include "test/powerfail/scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const action_names[ACTIONS] = {"birth", "lock", "replace-first",
                                           "replace-nth", "update"};

static void must(bool ok, const char *what)
{
    if (!ok) {
        (void)fprintf(stderr, "powerfail: cannot prepare: %s\n", what);
        abort();
    }
}

/* An operational stamp: key, certificates, and a claim state that tells one from another.
 */
static size_t encode_operational(const struct fixture *f,
                                 const struct fixture_stamp *birth, uint8_t number,
                                 uint8_t *out, size_t size)
{
    const struct fixture_options small = {.small = true};
    struct fixture_identity id;
    struct stamp_cbor_out o;

    fixture_operational(f, birth, &small, &id);
    stamp_cbor_out_init(&o, out, size);
    stamp_cbor_put_head(&o, STAMP_CBOR_MAP, 3);
    stamp_cbor_put_head(&o, STAMP_CBOR_UINT, STAMP_DEVICE_KEY);
    stamp_cbor_put_raw(&o, id.key, id.key_len);
    stamp_cbor_put_head(&o, STAMP_CBOR_UINT, STAMP_CERTIFICATES);
    stamp_cbor_put_raw(&o, id.certificates, id.certificates_len);
    stamp_cbor_put_head(&o, STAMP_CBOR_UINT, STAMP_CLAIM_STATE);
    stamp_cbor_put_head(&o, STAMP_CBOR_ARRAY, 2);
    stamp_cbor_put_head(&o, STAMP_CBOR_UINT, number);
    stamp_cbor_put_head(&o, STAMP_CBOR_SIMPLE, 20);
    must(stamp_cbor_out_ok(&o), "operational stamp");
    return o.len;
}

static enum stamp_err replace(struct scenario *s, struct stamp_device *dev,
                              unsigned which)
{
    return stamp_bank_replace(dev, s->operational[which], s->operational_len[which]);
}

enum stamp_err scenario_act(struct scenario *s)
{
    static const uint8_t state[] = {0x82, 0x18, 0x63, 0xF5}; /* [99, true] */
    const struct stamp_change change = {STAMP_CLAIM_STATE, {state, sizeof(state)}};
    struct stamp_device dev;
    enum stamp_err rc = stamp_device_open(&dev, &s->nor.port);

    switch (s->action) {
    case BIRTH_WRITE:
        rc = stamp_birth_write(&dev, s->birth.bytes, s->birth.len);
        return rc == STAMP_E_EXISTS ? STAMP_OK : rc;
    case LOCK:
        return stamp_lock(&dev);
    case REPLACE_FIRST:
    case REPLACE_NTH:
        return rc == STAMP_OK ? replace(s, &dev, 3) : rc;
    case UPDATE:
    case ACTIONS:
    default:
        return rc == STAMP_OK ? stamp_bank_update(&dev, &change, 1) : rc;
    }
}

static uint64_t mix(uint64_t hash, const void *p, size_t len)
{
    const uint8_t *bytes = p;

    for (size_t i = 0; i < len; i++) {
        hash = (hash ^ bytes[i]) * 1099511628211u;
    }
    return hash;
}

/* All items, read as a product reads them; 0 where one that is there cannot be read. */
static uint64_t hash_items(const struct stamp_device *dev, enum stamp_which which)
{
    uint64_t hash = 14695981039346656037u;
    uint8_t value[2048];

    for (uint32_t key = 1; key <= STAMP_KEY_LAST; key++) {
        size_t len;
        enum stamp_err rc = stamp_get(dev, which, key, value, sizeof(value), &len);

        if (rc == STAMP_OK) {
            hash = mix(hash, &key, sizeof(key));
            hash = mix(hash, value, len);
        } else if (rc != STAMP_E_MISSING) {
            return 0;
        }
    }
    return hash;
}

static struct finding look(struct scenario *s)
{
    struct finding f = {.what = FOUND_WRONG};
    struct stamp_device dev;

    f.opened = stamp_device_open(&dev, &s->nor.port);
    f.locked = dev.locked;
    if (f.opened == STAMP_OK) {
        f.newest = dev.part.newest;
        f.seq = dev.part.region[f.newest].seq;
        f.birth = hash_items(&dev, STAMP_BIRTH);
        f.operational = hash_items(&dev, STAMP_NEWEST);
    }
    return f;
}

/* Where and with which number a bank lies is for the two boots to agree on, but does not
 * make it old or new. */
static bool same_content(const struct finding *a, const struct finding *b)
{
    return a->opened == b->opened && a->locked == b->locked && a->birth == b->birth &&
           a->operational == b->operational;
}

bool finding_same(const struct finding *a, const struct finding *b)
{
    return same_content(a, b) && a->what == b->what && a->newest == b->newest &&
           a->seq == b->seq;
}

/* Old: the same as before; with a birth stamp, none that counts, and one may be written.
 */
static bool is_old(const struct scenario *s, const struct finding *f)
{
    return s->action == BIRTH_WRITE ? !f->locked && (f->opened == STAMP_E_BLANK ||
                                                     f->opened == STAMP_E_CORRUPT)
                                    : same_content(f, &s->old);
}

struct finding scenario_look(struct scenario *s, const char **why)
{
    struct finding f = look(s);

    *why = NULL;
    if (same_content(&f, &s->new)) {
        f.what = FOUND_NEW;
    } else if (is_old(s, &f)) {
        f.what = FOUND_OLD;
    } else {
        *why = "neither the old stamp nor the new one is there";
    }
    if (s->nor.broken[0] != '\0') {
        *why = s->nor.broken;
        f.what = FOUND_WRONG;
    }
    return f;
}

static void prepare(struct scenario *s)
{
    struct stamp_device dev;

    must(stamp_device_open(&dev, &s->nor.port) == STAMP_E_BLANK, "open of blank flash");
    if (s->action == BIRTH_WRITE) {
        return;
    }
    must(stamp_birth_write(&dev, s->birth.bytes, s->birth.len) == STAMP_OK, "birth");
    if (s->action == REPLACE_NTH) {
        must(stamp_lock(&dev) == STAMP_OK, "lock");
    }
    if (s->action == REPLACE_NTH || s->action == UPDATE) {
        for (unsigned i = 0; i < 3; i++) {
            must(replace(s, &dev, i) == STAMP_OK, "earlier bank");
        }
    }
}

void scenario_init(struct scenario *s, const struct fixture *f,
                   const struct nor_geometry *g, bool encrypted, bool mapped,
                   enum action action)
{
    const struct fixture_options small = {.small = true};

    memset(s, 0, sizeof(*s));
    s->action = action;
    nor_init(&s->nor, g, encrypted, mapped);
    fixture_birth(f, &small, &s->birth);
    for (uint8_t i = 0; i < 4; i++) {
        s->operational_len[i] = encode_operational(f, &s->birth, i, s->operational[i],
                                                   sizeof(s->operational[i]));
    }
    prepare(s);
    s->old = look(s);
    nor_save(&s->nor, &s->before);
    must(scenario_act(s) == STAMP_OK, "the action without a cut");
    s->new = look(s);
    must(s->nor.broken[0] == '\0', s->nor.broken);
    must(s->new.opened == STAMP_OK && s->new.birth != 0 && s->new.operational != 0 &&
             !same_content(&s->old, &s->new),
         "the action without a cut changes nothing");
    nor_restore(&s->nor, &s->before);
}

void scenario_fini(struct scenario *s)
{
    nor_fini(&s->nor);
    nor_image_fini(&s->before);
}

/* The operational banks: the spare one is written, then the newer one counts. SPEC
 * 3-12, 6. */
#include "device/device_i.h"

#define BIT(key) (1u << (key) % 32)

/* SPEC 6-1. */
static const uint32_t allowed[2] = {BIT(STAMP_TRUST_BUNDLE),
                                    BIT(STAMP_POP) | BIT(STAMP_SECRET_BARCODES) |
                                        BIT(STAMP_DEVICE_KEY) | BIT(STAMP_CERTIFICATES) |
                                        BIT(STAMP_CLAIM_STATE)};

/* The bank to write, and its sequence number. */
static enum stamp_err pick(const struct stamp_device *dev, struct stampi_job *job)
{
    if (dev->part.region[STAMP_BIRTH].state != STAMP_REGION_WHOLE) {
        return STAMP_E_BLANK;
    }
    for (unsigned i = STAMP_BANK_A; i <= STAMP_BANK_B; i++) {
        const struct stamp_region *r = &dev->part.region[i];

        if (r->state == STAMP_REGION_NEWER) {
            return STAMP_E_VERSION;
        }
        if (r->state == STAMP_REGION_WHOLE && r->seq > job->seq) {
            job->seq = r->seq;
        }
    }
    job->which = dev->part.newest == STAMP_BANK_A ? STAMP_BANK_B : STAMP_BANK_A;
    job->kind = STAMP_KIND_OPERATIONAL;
    job->may[0] = allowed[0];
    job->may[1] = allowed[1];
    return ++job->seq == 0 ? STAMP_E_RANGE : STAMP_OK;
}

static enum stamp_err write_bank(struct stamp_device *dev, struct stampi_job *job)
{
    enum stamp_err rc = pick(dev, job);

    if (rc == STAMP_OK) {
        rc = stamp_key_load(dev, STAMP_BIRTH, STAMP_DEVICE_KEY, &job->signer);
    }
    if (rc == STAMP_OK) {
        rc = stampi_region_write(dev, job);
        stamp_key_unload(job->signer);
    }
    return rc;
}

enum stamp_err stamp_bank_replace(struct stamp_device *dev, const void *in, size_t in_len)
{
    struct stampi_view view;
    struct stampi_job job = {.from = &view.dev, .from_which = STAMP_BIRTH};
    enum stamp_err rc = stampi_check_map(in, in_len);

    stampi_view_init(&view, dev->port, in, in_len);
    return rc == STAMP_OK ? write_bank(dev, &job) : rc;
}

enum stamp_err stamp_bank_update(struct stamp_device *dev,
                                 const struct stamp_change *changes, size_t n)
{
    struct stampi_job job = {
        .from = dev->part.newest == STAMP_BIRTH ? NULL : dev,
        .from_which = (enum stamp_which)dev->part.newest,
        .changes = changes,
        .n_changes = n,
    };
    struct stamp_cbor c;
    uint32_t last = 0;

    for (size_t i = 0; i < n; i++) {
        stamp_cbor_init(&c, changes[i].value.p, changes[i].value.len);
        if (changes[i].key <= last || changes[i].key > STAMP_KEY_LAST ||
            (changes[i].value.p != NULL &&
             (stamp_cbor_skip(&c).p == NULL || c.left != 0))) {
            return STAMP_E_FORMAT;
        }
        last = changes[i].key;
    }
    return write_bank(dev, &job);
}

/* The operational banks: the spare one is written, then the newer one counts. SPEC
 * 3-12, 6. */
#include "device/device_i.h"

/* SPEC 6-1. */
static bool allowed(uint32_t key)
{
    return key == STAMP_TRUST_BUNDLE || key == STAMP_POP ||
           key == STAMP_SECRET_BARCODES ||
           (key >= STAMP_DEVICE_KEY && key <= STAMP_CLAIM_STATE);
}

/* The bank to write, and its sequence number. */
static enum stamp_err pick(const struct stamp_device *dev, struct stampi_job *job)
{
    uint32_t highest = 0;

    if (dev->part.region[STAMP_BIRTH].state != STAMP_REGION_WHOLE) {
        return STAMP_E_BLANK;
    }
    for (unsigned i = STAMP_BANK_A; i <= STAMP_BANK_B; i++) {
        const struct stamp_region *r = &dev->part.region[i];

        if (r->state == STAMP_REGION_NEWER) {
            return STAMP_E_VERSION;
        }
        if (r->state == STAMP_REGION_WHOLE && r->seq > highest) {
            highest = r->seq;
        }
    }
    job->which = dev->part.newest == STAMP_BANK_A ? STAMP_BANK_B : STAMP_BANK_A;
    job->kind = STAMP_KIND_OPERATIONAL;
    job->seq = highest + 1;
    return highest == UINT32_MAX ? STAMP_E_RANGE : STAMP_OK;
}

static enum stamp_err write_bank(struct stamp_device *dev, struct stampi_job *job)
{
    enum stamp_err rc = stamp_key_load(dev, STAMP_BIRTH, STAMP_DEVICE_KEY, &job->signer);

    if (rc == STAMP_OK) {
        rc = stampi_region_write(dev, job);
        stamp_key_unload(job->signer);
    }
    return rc;
}

/* Only what a bank may hold; key and certificates go together. */
static enum stamp_err check_keys(const struct stamp_device *view)
{
    struct stamp_item item = {0};
    unsigned pair = 0;
    enum stamp_err rc;

    while ((rc = stamp_next(&view->part, STAMP_BIRTH, &item)) == STAMP_OK) {
        if (!allowed(item.key)) {
            return STAMP_E_FORMAT;
        }
        pair += item.key == STAMP_DEVICE_KEY || item.key == STAMP_CERTIFICATES ? 1u : 0u;
    }
    return rc == STAMP_E_MISSING && pair != 1 ? STAMP_OK : STAMP_E_FORMAT;
}

enum stamp_err stamp_bank_replace(struct stamp_device *dev, const void *in, size_t in_len)
{
    struct stampi_view view;
    struct stampi_job job = {.from = &view.dev, .from_which = STAMP_BIRTH};
    enum stamp_err rc = pick(dev, &job);

    if (rc == STAMP_OK) {
        rc = stampi_check_stamp(in, in_len, false);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    stampi_view_init(&view, dev->port, in, in_len);
    rc = check_keys(&view.dev);
    return rc == STAMP_OK ? write_bank(dev, &job) : rc;
}

/* Is the item there once the changes are made? */
static bool stays(const struct stamp_device *dev, const struct stampi_job *job,
                  uint32_t key)
{
    struct stamp_item item;

    for (size_t i = 0; i < job->n_changes; i++) {
        if (job->changes[i].key == key) {
            return job->changes[i].value.p != NULL;
        }
    }
    return !job->empty && stamp_find(&dev->part, job->from_which, key, &item) == STAMP_OK;
}

static enum stamp_err check_changes(const struct stamp_change *changes, size_t n)
{
    struct stamp_cbor c;

    for (size_t i = 0; i < n; i++) {
        if (!allowed(changes[i].key) || (i > 0 && changes[i].key <= changes[i - 1].key)) {
            return STAMP_E_FORMAT;
        }
        stamp_cbor_init(&c, changes[i].value.p, changes[i].value.len);
        if (changes[i].value.p != NULL) {
            (void)stamp_cbor_skip(&c);
        }
        if (c.err != STAMP_OK || (changes[i].value.p != NULL && c.left != 0)) {
            return STAMP_E_FORMAT;
        }
    }
    return STAMP_OK;
}

enum stamp_err stamp_bank_update(struct stamp_device *dev,
                                 const struct stamp_change *changes, size_t n)
{
    struct stampi_job job = {
        .from = dev,
        .from_which = (enum stamp_which)dev->part.newest,
        .empty = dev->part.newest == STAMP_BIRTH,
        .changes = changes,
        .n_changes = n,
    };
    enum stamp_err rc = pick(dev, &job);

    if (rc == STAMP_OK) {
        rc = check_changes(changes, n);
    }
    if (rc == STAMP_OK &&
        stays(dev, &job, STAMP_DEVICE_KEY) != stays(dev, &job, STAMP_CERTIFICATES)) {
        rc = STAMP_E_FORMAT;
    }
    return rc == STAMP_OK ? write_bank(dev, &job) : rc;
}

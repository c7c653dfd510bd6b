/* The operational banks: the spare one is written, then the newer one counts. SPEC
 * 3-12, 6. */
#include "device/device_i.h"

/* The bank to write, and its sequence number. One that is not whole has none. */
static enum stamp_err pick(const struct stamp_device *dev, struct stampi_job *job)
{
    const struct stamp_region *birth = &dev->part.region[STAMP_BIRTH];
    const struct stamp_region *a = &dev->part.region[STAMP_BANK_A];
    const struct stamp_region *b = &dev->part.region[STAMP_BANK_B];

    if (birth->state != STAMP_REGION_WHOLE) {
        return STAMP_E_BLANK;
    }
    if (a->state == STAMP_REGION_NEWER || b->state == STAMP_REGION_NEWER) {
        return STAMP_E_VERSION;
    }
    job->which = dev->part.newest == STAMP_BANK_A ? STAMP_BANK_B : STAMP_BANK_A;
    job->kind = STAMP_KIND_OPERATIONAL;
    job->seq = (a->seq > b->seq ? a->seq : b->seq) + 1;
    return job->seq == 0 ? STAMP_E_RANGE : STAMP_OK;
}

/* Take what is in flash now; what is known of the other bank's signature stays. */
static enum stamp_err read_back(struct stamp_device *dev, enum stamp_which written)
{
    struct stamp_region *r = dev->part.region;
    unsigned other = STAMP_BANK_A + STAMP_BANK_B - (unsigned)written;
    uint8_t state = r[other].state;
    enum stamp_err rc = stamp_part_open(&dev->part, dev->part.flash);

    r[other].state = state;
    stamp_part_pick(&dev->part);
    return rc == STAMP_OK && r[written].state == STAMP_REGION_WHOLE ? STAMP_OK
                                                                    : STAMP_E_FLASH;
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
    return rc == STAMP_OK ? read_back(dev, job->which) : rc;
}

enum stamp_err stamp_bank_replace(struct stamp_device *dev, const void *in, size_t in_len)
{
    struct stampi_view view;
    struct stampi_job job = {
        .from = &view.dev, .from_which = STAMP_BIRTH, .in = in, .in_len = in_len};

    stampi_view_init(&view, dev->port, in, in_len);
    return write_bank(dev, &job);
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

    return write_bank(dev, &job);
}

enum stamp_err stamp_rotate(struct stamp_device *dev, const struct stamp_change *changes,
                            size_t n)
{
    bool bound;
    enum stamp_err rc = stampi_judge(dev, changes, n, &bound);

    return rc == STAMP_OK ? stamp_bank_update(dev, changes, n) : rc;
}

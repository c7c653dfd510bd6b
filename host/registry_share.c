/* Who makes which part of a batch. */
#include <string.h>

#include "host/registry_own.h"

/* In a transaction that holds the batch's row. */
static enum stamp_err lock_batch(struct stamp_registry *r, uint32_t batch,
                                 struct stamp_error *err)
{
    int64_t changed = 0;
    enum stamp_err rc =
        STAMPI_RUN(r, STAMPI_BATCH_LOCK, NULL, NULL, &changed, err, stampi_int(batch));

    return rc == STAMP_OK && changed != 1
               ? stamp_error_set(err, STAMP_E_MISSING, 0, "there is no batch %u",
                                 (unsigned)batch)
               : rc;
}

static enum stamp_err find_volume(struct stamp_registry *r, uint32_t batch,
                                  const char *owner, int64_t *volume,
                                  struct stamp_error *err)
{
    *volume = -1;
    return STAMPI_RUN(r, STAMPI_VOLUME_FIND, stampi_take_number, volume, NULL, err,
                      stampi_int(batch), stampi_text(owner));
}

enum stamp_err stampi_volume(struct stamp_registry *r, uint32_t batch, const char *owner,
                             int64_t *volume, struct stamp_error *err)
{
    enum stamp_err rc = lock_batch(r, batch, err);

    if (rc == STAMP_OK) {
        rc = find_volume(r, batch, owner, volume, err);
    }
    if (rc == STAMP_OK && *volume < 0) {
        rc = STAMPI_RUN(r, STAMPI_VOLUME_ADD, stampi_take_number, volume, NULL, err,
                        stampi_int(batch), stampi_text(owner),
                        stampi_int((int64_t)time(NULL)));
    }
    return rc;
}

enum stamp_err stampi_check_owner(const char *owner, struct stamp_error *err)
{
    enum stamp_err rc =
        stampi_check_text(owner, STAMP_REGISTRY_TEXT_MAX, "volume's owner", err);

    return rc == STAMP_OK && owner[0] == '\0'
               ? stamp_error_set(err, STAMP_E_RANGE, 0, "the volume's owner has no name")
               : rc;
}

enum stamp_err stamp_registry_volume(struct stamp_registry *r, uint32_t batch,
                                     const char *owner, uint32_t *volume,
                                     struct stamp_error *err)
{
    int64_t number = -1;
    enum stamp_err rc = stampi_check_owner(owner, err);

    *volume = 0;
    if (rc == STAMP_OK) {
        rc = stampi_begin(r, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    rc = stampi_finish(r, stampi_volume(r, batch, owner, &number, err), err);
    *volume = rc == STAMP_OK ? (uint32_t)number : 0;
    return rc;
}

struct volumes {
    struct stamp_registry_volume *volume;
    size_t n;
};

/* volume, owner, claimed, done */
static enum stamp_err take_volume(void *ctx, const struct stampi_value *v,
                                  struct stamp_error *err)
{
    struct volumes *all = ctx;
    struct stamp_registry_volume *out = &all->volume[all->n++];

    (void)err;
    out->volume = (uint32_t)v[0].number;
    stampi_get_text(&v[1], out->owner, sizeof out->owner);
    out->claimed = (uint64_t)v[2].number;
    out->done = (uint64_t)v[3].number;
    return STAMP_OK;
}

enum stamp_err stamp_registry_volume_list(struct stamp_registry *r, uint32_t batch,
                                          uint32_t from,
                                          struct stamp_registry_volume *volumes,
                                          size_t max, size_t *n, struct stamp_error *err)
{
    struct volumes all = {volumes, 0};
    enum stamp_err rc =
        STAMPI_RUN(r, STAMPI_VOLUME_LIST, take_volume, &all, NULL, err, stampi_int(batch),
                   stampi_int(from), stampi_int((int64_t)max));

    *n = rc == STAMP_OK ? all.n : 0;
    return rc;
}

struct shares {
    struct stamp_registry_share *share;
    uint32_t batch, volume;
    size_t n;
};

/* first, n, done, mark */
static enum stamp_err take_share(void *ctx, const struct stampi_value *v,
                                 struct stamp_error *err)
{
    struct shares *all = ctx;
    struct stamp_registry_share *s = &all->share[all->n++];

    (void)err;
    memset(s, 0, sizeof *s);
    s->batch = all->batch;
    s->volume = all->volume;
    s->first = (uint32_t)v[0].number;
    s->n = (uint32_t)v[1].number;
    s->done = (uint32_t)v[2].number;
    if (v[3].type == STAMPI_BLOB && v[3].len <= sizeof s->mark) {
        s->mark_len = v[3].len;
        stampi_get_blob(&v[3], s->mark, s->mark_len);
    }
    return STAMP_OK;
}

static enum stamp_err claim(struct stamp_registry *r, struct shares *all,
                            struct stamp_error *err)
{
    enum stamp_err rc = STAMPI_RUN(r, STAMPI_SHARE_OWN, take_share, all, NULL, err,
                                   stampi_int(all->batch), stampi_int(all->volume));

    if (rc == STAMP_OK && all->n == 0) {
        rc = STAMPI_RUN(r, STAMPI_SHARE_TAKE, take_share, all, NULL, err,
                        stampi_int(all->volume), stampi_int(all->batch));
    }
    return rc == STAMP_OK && all->n == 0
               ? stamp_error_set(err, STAMP_E_MISSING, 0,
                                 "nothing of batch %u is left to make",
                                 (unsigned)all->batch)
               : rc;
}

enum stamp_err stamp_registry_share_claim(struct stamp_registry *r, uint32_t batch,
                                          uint32_t volume,
                                          struct stamp_registry_share *share,
                                          struct stamp_error *err)
{
    struct shares all = {share, batch, volume, 0};
    enum stamp_err rc = stampi_begin(r, err);

    memset(share, 0, sizeof *share);
    if (rc == STAMP_OK) {
        rc = stampi_finish(r, claim(r, &all, err), err);
    }
    if (rc != STAMP_OK) {
        memset(share, 0, sizeof *share);
    }
    return rc;
}

enum stamp_err stamp_registry_share_list(struct stamp_registry *r, uint32_t batch,
                                         uint32_t volume,
                                         struct stamp_registry_share *shares, size_t max,
                                         size_t *n, struct stamp_error *err)
{
    struct shares all = {shares, batch, volume, 0};
    enum stamp_err rc =
        STAMPI_RUN(r, STAMPI_SHARE_LIST, take_share, &all, NULL, err, stampi_int(batch),
                   stampi_int(volume), stampi_int((int64_t)max));

    *n = rc == STAMP_OK ? all.n : 0;
    return rc;
}

/* What is not begun is freed; what is begun is cut into a done share and a free one. */
static enum stamp_err release(struct stamp_registry *r, uint32_t batch, uint32_t volume,
                              struct stamp_error *err)
{
    enum stamp_err rc = lock_batch(r, batch, err);

    if (rc == STAMP_OK) {
        rc = STAMPI_RUN(r, STAMPI_SHARE_FREE, NULL, NULL, NULL, err, stampi_int(batch),
                        stampi_int(volume));
    }
    while (rc == STAMP_OK) {
        struct stamp_registry_share s;
        struct shares all = {&s, batch, volume, 0};
        int64_t changed = 0;

        rc = STAMPI_RUN(r, STAMPI_SHARE_OWN, take_share, &all, NULL, err,
                        stampi_int(batch), stampi_int(volume));
        if (rc != STAMP_OK || all.n == 0) {
            return rc;
        }
        rc = STAMPI_RUN(r, STAMPI_SHARE_CUT, NULL, NULL, &changed, err, stampi_int(batch),
                        stampi_int(s.first), stampi_int(volume), stampi_int(s.done));
        if (rc == STAMP_OK && changed == 1) {
            rc = STAMPI_RUN(r, STAMPI_SHARE_ADD, NULL, NULL, NULL, err, stampi_int(batch),
                            stampi_int((int64_t)s.first + s.done),
                            stampi_int(s.n - s.done));
        }
    }
    return rc;
}

enum stamp_err stamp_registry_share_release(struct stamp_registry *r, uint32_t batch,
                                            uint32_t volume, struct stamp_error *err)
{
    enum stamp_err rc = stampi_begin(r, err);

    return rc == STAMP_OK ? stampi_finish(r, release(r, batch, volume, err), err) : rc;
}

/*
 * Runs: devices by the thousand, booked together. What is added goes to an unnamed file
 * first, so that memory stays small and the database is held only while it is written to;
 * fingerprints are kept apart and go into their table in its own order, since random
 * inserts into a large tree are slow: measured, 10 us each at a million where sorted runs
 * take 1.5.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/registry_own.h"
#include "host/registry_run_tree.h"

/* A run's end: an eighth of what is on the books, so that writing the table of keys anew
 * costs the same for each device however large it gets; within what memory allows. */
#define RUN_MIN 16384u
#define RUN_MAX 131072u

#define FILE_BUFFER ((size_t)65536)
#define FINGERPRINT_SIZE 32u
/* Lengths of serial, certificate and sealed proof; fingerprint. */
#define FIXED_SIZE 4u
#define HEAD_SIZE (FIXED_SIZE + FINGERPRINT_SIZE)
#define DEVICE_MAX                                                                       \
    (HEAD_SIZE + STAMP_SERIAL_MAX + STAMP_MAX_CERTIFICATE + STAMP_REGISTRY_SEALED_MAX)

struct key {
    uint8_t fingerprint[FINGERPRINT_SIZE];
    uint32_t index; /* in the run */
};

struct stamp_registry_run {
    int fd;
    uint8_t *buffer; /* FILE_BUFFER bytes, of writing or reading */
    size_t len;      /* bytes in it */
    size_t at;       /* reading: bytes of it that are taken */
    off_t size;      /* bytes in the file */
    struct key *keys;
    uint32_t n, limit, room;
    uint32_t n_sealed; /* devices with a proof in escrow */
    int64_t escrow_key;
};

/* ---- the file ---- */

static enum stamp_err file_failed(int native, struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_IO, native, "the temporary file failed: %s",
                           strerror(native));
}

static enum stamp_err flush(struct stamp_registry_run *run, struct stamp_error *err)
{
    size_t done = 0;

    while (done < run->len) {
        ssize_t n =
            pwrite(run->fd, run->buffer + done, run->len - done, run->size + (off_t)done);

        if (n < 0 && errno != EINTR) {
            return file_failed(errno, err);
        }
        done += n > 0 ? (size_t)n : 0;
    }
    run->size += (off_t)run->len;
    run->len = 0;
    return STAMP_OK;
}

struct reader {
    struct stamp_registry_run *run;
    off_t at; /* in the file */
};

/* Make `len` bytes of the file lie in the buffer, at run->at. */
static enum stamp_err fill(struct reader *r, size_t len, struct stamp_error *err)
{
    struct stamp_registry_run *run = r->run;
    size_t left = run->len - run->at;

    if (left >= len) {
        return STAMP_OK;
    }
    memmove(run->buffer, run->buffer + run->at, left);
    run->at = 0;
    run->len = left;
    while (run->len < len) {
        ssize_t n = pread(run->fd, run->buffer + run->len, FILE_BUFFER - run->len, r->at);

        if (n == 0 || (n < 0 && errno != EINTR)) {
            return file_failed(n == 0 ? EIO : errno, err);
        }
        run->len += n > 0 ? (size_t)n : 0;
        r->at += n > 0 ? n : 0;
    }
    return STAMP_OK;
}

struct device {
    const uint8_t *serial, *fingerprint, *certificate, *sealed;
    size_t serial_len, certificate_len, sealed_len;
};

/* The next device; what it points to stays until the one after it. */
static enum stamp_err next(struct reader *r, struct device *d, struct stamp_error *err)
{
    struct stamp_registry_run *run = r->run;
    const uint8_t *p;
    enum stamp_err rc = fill(r, HEAD_SIZE, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    p = run->buffer + run->at;
    d->serial_len = p[0];
    d->certificate_len = (size_t)(p[1] << 8 | p[2]);
    d->sealed_len = p[3];
    rc = fill(r, HEAD_SIZE + d->serial_len + d->certificate_len + d->sealed_len, err);
    if (rc != STAMP_OK) {
        return rc;
    }
    d->fingerprint = run->buffer + run->at + FIXED_SIZE;
    d->serial = d->fingerprint + FINGERPRINT_SIZE;
    d->certificate = d->serial + d->serial_len;
    d->sealed = d->certificate + d->certificate_len;
    run->at += HEAD_SIZE + d->serial_len + d->certificate_len + d->sealed_len;
    return STAMP_OK;
}

/* ---- adding ---- */

static void set_limit(struct stamp_registry_run *run, uint64_t devices)
{
    uint64_t n = devices / 8;

    run->limit = n < RUN_MIN ? RUN_MIN : n > RUN_MAX ? RUN_MAX : (uint32_t)n;
}

static enum stamp_err count_devices(struct stamp_registry *r, uint64_t *devices,
                                    struct stamp_error *err)
{
    int64_t n = 0;
    enum stamp_err rc = r->db->ops->run(r->db, STAMPI_DEVICES, NULL, 0,
                                        stampi_take_number, &n, NULL, err);

    *devices = (uint64_t)n;
    return rc;
}

/* Not every file system has files without a name; then it has one for a moment. */
static int open_unnamed(const char *dir)
{
    char *name = NULL;
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR) ||
        asprintf(&name, "%s/.registry-run-XXXXXX", dir) < 0) {
        return fd;
    }
    fd = mkostemp(name, O_CLOEXEC);
    if (fd >= 0) {
        (void)unlink(name);
    }
    free(name);
    return fd;
}

enum stamp_err stamp_registry_run_new(struct stamp_registry *r, const char *dir,
                                      struct stamp_registry_run **out,
                                      struct stamp_error *err)
{
    struct stamp_registry_run *run = calloc(1, sizeof *run);
    uint64_t devices = 0;
    enum stamp_err rc;

    *out = run;
    if (run == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    run->fd = open_unnamed(dir);
    run->buffer = malloc(FILE_BUFFER);
    if (run->fd < 0) {
        rc = stamp_error_set(err, STAMP_E_IO, errno, "cannot make a file in '%s': %s",
                             dir, strerror(errno));
    } else if (run->buffer == NULL) {
        rc = stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    } else {
        rc = count_devices(r, &devices, err);
    }
    set_limit(run, devices);
    if (rc != STAMP_OK) {
        stamp_registry_run_free(out);
    }
    return rc;
}

void stamp_registry_run_free(struct stamp_registry_run **p)
{
    if (*p != NULL) {
        if ((*p)->fd >= 0) {
            (void)close((*p)->fd);
        }
        free((*p)->buffer);
        free((*p)->keys);
        free(*p);
    }
    *p = NULL;
}

uint32_t stamp_registry_run_count(const struct stamp_registry_run *run)
{
    return run->n;
}

bool stamp_registry_run_full(const struct stamp_registry_run *run)
{
    return run->n >= run->limit;
}

static enum stamp_err make_room(struct stamp_registry_run *run, struct stamp_error *err)
{
    uint32_t room = run->room == 0 ? RUN_MIN : 2 * run->room;
    void *p;

    if (run->n < run->room) {
        return STAMP_OK;
    }
    if (run->n == RUN_MAX) {
        return stamp_error_set(err, STAMP_E_SPACE, 0, "the run is full");
    }
    p = realloc(run->keys, room * sizeof *run->keys);
    if (p == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    run->keys = p;
    run->room = room;
    return STAMP_OK;
}

enum stamp_err stamp_registry_run_add(struct stamp_registry_run *run,
                                      const struct stamp_registry_device *device,
                                      struct stamp_error *err)
{
    size_t serial_len = strlen(device->serial);
    size_t certificate_len = device->certificate_len;
    uint8_t *p;
    enum stamp_err rc;

    if (serial_len == 0 || serial_len > STAMP_SERIAL_MAX || certificate_len == 0 ||
        certificate_len > STAMP_MAX_CERTIFICATE ||
        device->sealed_len > STAMP_REGISTRY_SEALED_MAX) {
        return stamp_error_set(err, STAMP_E_RANGE, 0, "cannot book such a device");
    }
    rc = make_room(run, err);
    if (rc == STAMP_OK && FILE_BUFFER - run->len < DEVICE_MAX) {
        rc = flush(run, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    p = run->buffer + run->len;
    p[0] = (uint8_t)serial_len;
    p[1] = (uint8_t)(certificate_len >> 8);
    p[2] = (uint8_t)certificate_len;
    p[3] = (uint8_t)device->sealed_len;
    memcpy(p + FIXED_SIZE, device->fingerprint, FINGERPRINT_SIZE);
    memcpy(p + HEAD_SIZE, device->serial, serial_len);
    memcpy(p + HEAD_SIZE + serial_len, device->certificate, certificate_len);
    if (device->sealed_len > 0) {
        memcpy(p + HEAD_SIZE + serial_len + certificate_len, device->sealed,
               device->sealed_len);
        run->n_sealed++;
    }
    run->len += HEAD_SIZE + serial_len + certificate_len + device->sealed_len;
    memcpy(run->keys[run->n].fingerprint, device->fingerprint, FINGERPRINT_SIZE);
    run->keys[run->n].index = run->n;
    run->n++;
    return STAMP_OK;
}

/* ---- booking ---- */

static enum stamp_err add_to_tree(struct stampi_run_tree *tree, const struct device *d,
                                  struct stamp_error *err)
{
    return stampi_run_tree_add(
        tree, (struct stamp_slice){d->serial, d->serial_len}, d->fingerprint,
        (struct stamp_slice){d->certificate, d->certificate_len}, err);
}

static enum stamp_err copy_devices(struct stamp_registry *r,
                                   struct stamp_registry_run *run, int64_t first,
                                   struct stampi_run_tree *tree, struct stamp_error *err)
{
    const struct stampi_ops *ops = r->db->ops;
    struct reader reader = {run, 0};
    struct device d;
    enum stamp_err rc = ops->copy_begin(r->db, STAMPI_COPY_DEVICE, err);

    run->len = run->at = 0;
    for (uint32_t i = 0; i < run->n && rc == STAMP_OK; i++) {
        rc = next(&reader, &d, err);
        if (rc == STAMP_OK) {
            rc = add_to_tree(tree, &d, err);
        }
        if (rc == STAMP_OK) {
            const struct stampi_value v[] = {
                stampi_int(first + i),
                {STAMPI_TEXT, 0, d.serial, d.serial_len},
                stampi_int(STAMP_REGISTRY_ISSUED),
                stampi_blob(d.fingerprint, FINGERPRINT_SIZE),
                stampi_blob(d.certificate, d.certificate_len)};

            rc = ops->copy_row(r->db, v, sizeof v / sizeof *v, err);
        }
    }
    return rc == STAMP_OK ? ops->copy_end(r->db, err) : rc;
}

static enum stamp_err copy_serials(struct stamp_registry *r,
                                   struct stamp_registry_run *run, int64_t first,
                                   struct stamp_error *err)
{
    const struct stampi_ops *ops = r->db->ops;
    struct reader reader = {run, 0};
    struct device d;
    enum stamp_err rc = ops->copy_begin(r->db, STAMPI_COPY_SERIAL, err);

    run->len = run->at = 0;
    for (uint32_t i = 0; i < run->n && rc == STAMP_OK; i++) {
        rc = next(&reader, &d, err);
        if (rc == STAMP_OK) {
            const struct stampi_value v[] = {{STAMPI_TEXT, 0, d.serial, d.serial_len},
                                             stampi_int(first + i)};

            rc = ops->copy_row(r->db, v, sizeof v / sizeof *v, err);
        }
    }
    return rc == STAMP_OK ? ops->copy_end(r->db, err) : rc;
}

/* Only where a profile asks for it. */
static enum stamp_err copy_escrow(struct stamp_registry *r,
                                  struct stamp_registry_run *run, int64_t first,
                                  struct stamp_error *err)
{
    const struct stampi_ops *ops = r->db->ops;
    struct reader reader = {run, 0};
    struct device d;
    enum stamp_err rc = STAMP_OK;

    if (run->n_sealed == 0) {
        return rc;
    }
    rc = ops->copy_begin(r->db, STAMPI_COPY_ESCROW, err);
    run->len = run->at = 0;
    for (uint32_t i = 0; i < run->n && rc == STAMP_OK; i++) {
        rc = next(&reader, &d, err);
        if (rc == STAMP_OK && d.sealed_len > 0) {
            const struct stampi_value v[] = {stampi_int(first + i),
                                             stampi_int(run->escrow_key),
                                             stampi_blob(d.sealed, d.sealed_len)};

            rc = ops->copy_row(r->db, v, sizeof v / sizeof *v, err);
        }
    }
    return rc == STAMP_OK ? ops->copy_end(r->db, err) : rc;
}

void stamp_registry_run_escrow(struct stamp_registry_run *run, int64_t key)
{
    run->escrow_key = key;
}

static int by_fingerprint(const void *a, const void *b)
{
    return memcmp(a, b, FINGERPRINT_SIZE);
}

static enum stamp_err copy_keys(struct stamp_registry *r, struct stamp_registry_run *run,
                                int64_t first, struct stamp_error *err)
{
    const struct stampi_ops *ops = r->db->ops;
    enum stamp_err rc = ops->copy_begin(r->db, STAMPI_COPY_KEY, err);

    qsort(run->keys, run->n, sizeof *run->keys, by_fingerprint);
    for (uint32_t i = 0; i < run->n && rc == STAMP_OK; i++) {
        const struct stampi_value v[] = {
            stampi_blob(run->keys[i].fingerprint, FINGERPRINT_SIZE),
            stampi_int(first + run->keys[i].index)};

        rc = ops->copy_row(r->db, v, sizeof v / sizeof *v, err);
    }
    return rc == STAMP_OK ? ops->copy_end(r->db, err) : rc;
}

/* And the run's leaf of the log. */
static enum stamp_err book_devices(struct stamp_registry *r,
                                   struct stamp_registry_run *run, int64_t first,
                                   time_t now, struct stamp_error *err)
{
    uint8_t root[STAMP_MERKLE_SIZE];
    struct stampi_run_tree tree;
    enum stamp_err rc = stampi_run_tree_init(&tree, err);

    if (rc == STAMP_OK) {
        rc = copy_devices(r, run, first, &tree, err);
    }
    if (rc == STAMP_OK) {
        rc = stampi_run_tree_root(&tree, root, err);
    }
    if (rc == STAMP_OK) {
        rc = stampi_run_tree_keep(r, first, &tree, err);
    }
    stampi_run_tree_fini(&tree);
    return rc == STAMP_OK ? stampi_leaf_run(r, first, run->n, (int64_t)now, root, err)
                          : rc;
}

/* The share first: who has lost it writes nothing at all. The tallies last: others wait
 * for them. */
static enum stamp_err book(struct stamp_registry *r, struct stamp_registry_run *run,
                           const struct stamp_registry_share *share,
                           struct stampi_value mark, time_t now, struct stamp_error *err)
{
    int64_t first = (int64_t)share->batch << 32 | (share->first + share->done);
    int64_t changed = 0;
    STAMPI_TALLY_AUTO tally = {0};
    enum stamp_err rc =
        STAMPI_RUN(r, STAMPI_SHARE_MOVE, NULL, NULL, &changed, err, stampi_int(run->n),
                   mark, stampi_int(share->batch), stampi_int(share->first),
                   stampi_int(share->done), stampi_int(share->volume));

    if (rc == STAMP_OK && changed != 1) {
        rc = stamp_error_set(err, STAMP_E_STATE, 0,
                             "this part of the batch is not volume %u's any more",
                             (unsigned)share->volume);
    }
    if (rc == STAMP_OK) {
        rc = book_devices(r, run, first, now, err);
    }
    if (rc == STAMP_OK) {
        rc = copy_serials(r, run, first, err);
    }
    if (rc == STAMP_OK) {
        rc = copy_keys(r, run, first, err);
    }
    if (rc == STAMP_OK) {
        rc = copy_escrow(r, run, first, err);
    }
    if (rc == STAMP_OK) {
        rc = STAMPI_RUN(r, STAMPI_RUN_ADD, NULL, NULL, NULL, err, stampi_int(first),
                        stampi_int(run->n), stampi_int((int64_t)now), stampi_text(r->who),
                        stampi_text(r->where));
    }
    if (rc == STAMP_OK) {
        rc = stampi_tally(&tally, share->batch, STAMP_REGISTRY_RESERVED, -(int64_t)run->n,
                          err);
    }
    if (rc == STAMP_OK) {
        rc = stampi_tally(&tally, share->batch, STAMP_REGISTRY_ISSUED, run->n, err);
    }
    return rc == STAMP_OK ? stampi_tally_write(r, &tally, err) : rc;
}

/* Ready for the next ones, and for the same again where it failed. */
static void settle(struct stamp_registry_run *run, bool booked)
{
    run->len = run->at = 0;
    if (booked) {
        run->n = 0;
        run->n_sealed = 0;
        run->size = 0;
    }
}

enum stamp_err stamp_registry_run_commit(struct stamp_registry *r,
                                         struct stamp_registry_run *run,
                                         struct stamp_registry_share *share,
                                         const void *mark, size_t mark_len, time_t now,
                                         struct stamp_error *err)
{
    uint64_t devices = 0;
    enum stamp_err rc = STAMP_OK;

    if (run->n == 0 || run->n > share->n - share->done ||
        mark_len > STAMP_REGISTRY_MARK_MAX) {
        return stamp_error_set(err, STAMP_E_RANGE, 0,
                               "the run does not fit what is left of its share");
    }
    rc = flush(run, err);
    if (rc == STAMP_OK) {
        rc = stampi_begin(r, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    rc = book(r, run, share, stampi_blob(mark, mark_len), now, err);
    rc = stampi_finish(r, rc, err);
    if (rc == STAMP_OK) {
        share->done += run->n;
        share->mark_len = mark == NULL ? 0 : mark_len;
        if (share->mark_len > 0) {
            memcpy(share->mark, mark, share->mark_len);
        }
        if (count_devices(r, &devices, NULL) == STAMP_OK) {
            set_limit(run, devices);
        }
    }
    settle(run, rc == STAMP_OK);
    return rc;
}

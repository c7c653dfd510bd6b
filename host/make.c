#include "host/make.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "host/escrow.h"
#include "host/file.h"
#include "host/files.h"
#include "host/registry_escrow.h"

/* Stamps between two waits for the disk. */
#define CHUNK ((size_t)500)

struct run {
    struct stamp_workspace *ws;
    struct stamp_issuer *issuer;
    const struct stamp_make *what;
    struct stamp_geometry geometry;
    char dir[PATH_MAX];          /* where files go, as the user sees it */
    char name[NAME_MAX + 1];     /* of the one file; "" = by serial */
    char book_dir[PATH_MAX];     /* the same directory, as the books have it */
    struct stamp_escrow *escrow; /* of proofs; NULL = none is kept */
    int64_t escrow_key;
    struct sealed *sealed; /* of the chunk */
    size_t n_sealed;
};

struct sealed {
    uint8_t bytes[STAMP_ESCROW_MAX];
    size_t len;
    int64_t device;
};

/* A serial may hold '/', which no file name can; '_' is in no serial. */
static enum stamp_err file_name(const struct run *r, const char *serial,
                                char out[NAME_MAX + 1], struct stamp_error *err)
{
    int n;

    if (r->name[0] != '\0') {
        memcpy(out, r->name, sizeof r->name);
        return STAMP_OK;
    }
    n = snprintf(out, NAME_MAX + 1, "%s%s", serial,
                 stamp_imagefile_suffix(r->what->format));
    if (n < 0 || n > NAME_MAX) {
        return stamp_error_set(err, STAMP_E_RANGE, 0, "the file name is too long");
    }
    for (char *p = out; *p != '\0'; p++) {
        if (*p == '/') {
            *p = '_';
        }
    }
    return STAMP_OK;
}

static enum stamp_err join(const char *dir, const char *name, char **out,
                           struct stamp_error *err)
{
    int n = strcmp(dir, ".") == 0 ? asprintf(out, "%s", name)
                                  : asprintf(out, "%s/%s", dir, name);

    if (n < 0) {
        *out = NULL;
        (void)stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
        return STAMP_E_NOMEM;
    }
    return STAMP_OK;
}

static enum stamp_err split_out(struct run *r, const char *out, struct stamp_error *err)
{
    const char *slash = strrchr(out, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - out);
    const char *base = slash == NULL ? out : slash + 1;

    if (base[0] == '\0' || strlen(base) > NAME_MAX || len >= sizeof r->dir) {
        return stamp_error_set(err, STAMP_E_RANGE, 0, "'%s' cannot be a file", out);
    }
    memcpy(r->name, base, strlen(base) + 1);
    if (slash == NULL) {
        memcpy(r->dir, ".", 2);
    } else if (len == 0) {
        memcpy(r->dir, "/", 2);
    } else {
        memcpy(r->dir, out, len);
        r->dir[len] = '\0';
    }
    return STAMP_OK;
}

static bool is_directory(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Where the files go: stamps/ of the workspace, one file, or a directory. */
static enum stamp_err choose_place(struct run *r, struct stamp_error *err)
{
    const char *out = r->what->out;
    enum stamp_err rc = STAMP_OK;

    if (out == NULL) {
        memcpy(r->book_dir, STAMP_WORKSPACE_STAMPS, sizeof STAMP_WORKSPACE_STAMPS);
        return stamp_workspace_path(r->ws, STAMP_WORKSPACE_STAMPS, r->dir, err);
    }
    if (is_directory(out) || r->what->n > 1) {
        if (strlen(out) >= sizeof r->dir) {
            return stamp_error_set(err, STAMP_E_RANGE, 0, "the path is too long");
        }
        memcpy(r->dir, out, strlen(out) + 1);
        if (mkdir(out, 0700) != 0 && errno != EEXIST) {
            return stamp_error_set(err, STAMP_E_IO, errno, "cannot make '%s': %s", out,
                                   strerror(errno));
        }
    } else {
        rc = split_out(r, out, err);
    }
    if (rc == STAMP_OK && realpath(r->dir, r->book_dir) == NULL) {
        rc = stamp_error_set(err, STAMP_E_IO, errno, "cannot write to '%s': %s", r->dir,
                             strerror(errno));
    }
    return rc;
}

static enum stamp_err open_escrow(struct run *r, struct stamp_error *err)
{
    const char *path = r->ws->profile->pop.escrow_file;
    enum stamp_err rc;

    if (path == NULL) {
        return STAMP_OK;
    }
    r->sealed = calloc(CHUNK, sizeof *r->sealed);
    if (r->sealed == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    rc = stamp_escrow_new(path, &r->escrow, err);
    return rc == STAMP_OK ? stamp_registry_escrow_key(r->ws->registry, 0,
                                                      stamp_escrow_envelope(r->escrow),
                                                      &r->escrow_key, err)
                          : rc;
}

/* Where the profile asks for it, the proof goes to the books, sealed to the owner. */
static enum stamp_err seal_proof(struct run *r, const struct stamp_registry_row *row,
                                 struct stamp_slice body, struct stamp_error *err)
{
    struct stamp s;
    struct sealed *sealed;

    if (r->escrow == NULL) {
        return STAMP_OK;
    }
    if (stamp_decode(&s, body.p, body.len) != STAMP_OK) {
        STAMP_BUG("a stamp that was made does not decode");
    }
    if (s.pop.len == 0) {
        return STAMP_OK;
    }
    sealed = &r->sealed[r->n_sealed++];
    sealed->device = row->id;
    return stamp_escrow_seal(r->escrow, row->serial, s.pop, sealed->bytes, &sealed->len,
                             err);
}

static enum stamp_err book_proofs(struct run *r, struct stamp_error *err)
{
    struct stamp_registry_sealed *all;
    enum stamp_err rc;

    if (r->n_sealed == 0) {
        return STAMP_OK;
    }
    all = calloc(r->n_sealed, sizeof *all);
    if (all == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < r->n_sealed; i++) {
        all[i].device = r->sealed[i].device;
        all[i].p = r->sealed[i].bytes;
        all[i].len = r->sealed[i].len;
    }
    rc = stamp_registry_escrow_add(r->ws->registry, r->escrow_key, all, r->n_sealed, err);
    free(all);
    return rc;
}

static enum stamp_err make_one(struct run *r, struct stamp_registry_row *row,
                               struct stamp_files *files, struct stamp_error *err)
{
    STAMP_BUFFER_AUTO body = {NULL, 0};
    STAMP_BUFFER_AUTO image = {NULL, 0};
    char name[NAME_MAX + 1];
    struct stamp_slice encoded;
    enum stamp_err rc = stamp_issue(r->issuer, row, &body, err);

    encoded.p = body.p;
    encoded.len = body.len;
    if (rc == STAMP_OK) {
        rc = seal_proof(r, row, encoded, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_imagefile_render(r->what->format, &r->geometry,
                                    r->ws->profile->partition.offset, encoded, &image,
                                    err);
    }
    if (rc == STAMP_OK) {
        rc = file_name(r, row->serial, name, err);
    }
    if (rc == STAMP_OK) {
        rc = join(r->book_dir, name, &row->file, err);
    }
    return rc == STAMP_OK
               ? stamp_files_add(files, name, image.p, image.len, STAMP_FILE_SECRET, err)
               : rc;
}

static enum stamp_err make_files(struct run *r, struct stamp_registry_row *rows, size_t n,
                                 struct stamp_error *err)
{
    struct stamp_files *files = NULL;
    enum stamp_err rc = stamp_files_new(r->dir, &files, err);

    r->n_sealed = 0;
    for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
        rc = make_one(r, &rows[i], files, err);
    }
    if (rc == STAMP_OK) {
        rc = book_proofs(r, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_files_commit(files, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_registry_issue(r->ws->registry, rows, n, time(NULL), err);
        if (rc != STAMP_OK) {
            stamp_files_remove(files);
        }
    }
    stamp_files_free(&files);
    return rc;
}

static enum stamp_err reserve(struct run *r, struct stamp_registry_row *rows, size_t n,
                              struct stamp_error *err)
{
    time_t now = time(NULL);

    if (r->what->serial != NULL) {
        return stamp_registry_reserve_serial(r->ws->registry, r->ws->profile->product,
                                             r->what->serial, now, rows, err);
    }
    return stamp_registry_reserve(r->ws->registry, r->ws->profile->product,
                                  &r->ws->profile->serial, now, rows, n, err);
}

static void tell(const struct run *r, const struct stamp_registry_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *base = strrchr(rows[i].file, '/');
        char *path = NULL;

        base = base == NULL ? rows[i].file : base + 1;
        if (join(r->dir, base, &path, NULL) == STAMP_OK) {
            r->what->made(r->what->ctx, rows[i].serial, path);
        }
        free(path);
    }
}

/* Where even this fails, on a full disk say, they stay reserved: not used again either.
 */
static void give_up(struct run *r, const struct stamp_registry_row *rows, size_t n)
{
    if (stamp_registry_give_up(r->ws->registry, rows, n, time(NULL), NULL) != STAMP_OK) {
        return;
    }
}

static enum stamp_err make_chunk(struct run *r, size_t n, struct stamp_error *err)
{
    struct stamp_registry_row *rows = calloc(n, sizeof *rows);
    enum stamp_err rc;

    if (rows == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    rc = reserve(r, rows, n, err);
    if (rc == STAMP_OK) {
        rc = make_files(r, rows, n, err);
        if (rc == STAMP_OK) {
            tell(r, rows, n);
        } else {
            give_up(r, rows, n);
        }
    }
    for (size_t i = 0; i < n; i++) {
        stamp_registry_row_fini(&rows[i]);
    }
    free(rows);
    return rc;
}

enum stamp_err stamp_make_run(struct stamp_workspace *ws, struct stamp_issuer *issuer,
                              const struct stamp_make *what, size_t *done,
                              struct stamp_error *err)
{
    struct run r = {.ws = ws, .issuer = issuer, .what = what};
    enum stamp_err rc;

    *done = 0;
    if (what->n == 0 || (what->serial != NULL && what->n != 1)) {
        return stamp_error_set(err, STAMP_E_RANGE, 0, "cannot make that many stamps");
    }
    stamp_issue_geometry(ws->profile, &r.geometry);
    rc = choose_place(&r, err);
    if (rc == STAMP_OK) {
        rc = open_escrow(&r, err);
    }
    while (rc == STAMP_OK && *done < what->n) {
        size_t n = what->n - *done < CHUNK ? what->n - *done : CHUNK;

        rc = make_chunk(&r, n, err);
        *done += rc == STAMP_OK ? n : 0;
    }
    stamp_escrow_free(&r.escrow);
    free(r.sealed);
    if (rc != STAMP_OK && *done == 0) {
        stamp_error_state(err, "no stamp was made");
    } else if (rc != STAMP_OK) {
        stamp_error_state(err, "%zu of %zu stamps were made", *done, what->n);
    }
    return rc;
}

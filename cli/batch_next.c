#include <getopt.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/batch.h"
#include "cli/batch_station.h"
#include "host/file.h"
#include "host/files.h"
#include "host/flashfile.h"

static const char help[] =
    "usage: stamp batch next FILE --key KEY [OPTION]...\n"
    "\n"
    "Opens the next unused stamp of a batch file and writes its image. Each stamp is\n"
    "handed out once; until it is reported it is in doubt. Prints SERIAL<TAB>IMAGE.\n"
    "\n"
    "  -k, --key KEY           the station's key: a PEM file or a pkcs11: URI\n"
    "      --pin-fd N          read its PIN or passphrase from file descriptor N\n"
    "      --pin-file F        the same from a file\n"
    "  -n, --number N          how many (default: 1)\n"
    "  -o, --output OUT        the image, or a directory (default: SERIAL.bin, here)\n"
    "  -f, --format F          partition (default), ihex or pem\n"
    "  -b, --board BOARD       laid out for this board; else as the batch file says it\n"
    "      --trust PEM         headquarters' root; said once, the books keep it\n"
    "  -C, --dir DIR           the workspace, where there is one\n"
    "  -h, --help              this\n";

static const struct option options[] = {
    {"key", required_argument, NULL, 'k'},
    {"pin-fd", required_argument, NULL, 'P'},
    {"pin-file", required_argument, NULL, 'Q'},
    {"number", required_argument, NULL, 'n'},
    {"output", required_argument, NULL, 'o'},
    {"format", required_argument, NULL, 'f'},
    {"board", required_argument, NULL, 'b'},
    {"trust", required_argument, NULL, 'T'},
    {"dir", required_argument, NULL, 'C'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

/* Durable together: one wait for the disk for all of them. */
#define GROUP_MAX 256u
#define NAME_SIZE (STAMP_SERIAL_SIZE + 8u)

struct args {
    struct batch_station_args station;
    size_t n;
    const char *out;
    enum stamp_image_format format;
    const char *board;
};

struct next {
    const struct args *a;
    struct batch_station station;
    struct stamp_geometry geometry;
    uint32_t offset;
    char dir[PATH_MAX];
    char name[PATH_MAX]; /* "" = of the serial */
    uint32_t index[GROUP_MAX];
    char serial[GROUP_MAX][STAMP_SERIAL_SIZE];
    size_t taken; /* of this group */
    size_t done;  /* in all */
};

/* ---- before anything is handed out ---- */

static enum stamp_err find_layout(struct next *x, struct stamp_error *err)
{
    const struct stamp_board *board;
    struct stamp_profile_partition p;
    enum stamp_err rc;

    if (x->a->board != NULL) {
        board = stamp_board_find(x->a->board);
        x->geometry = board->geometry;
        x->offset = board->offset;
        return STAMP_OK;
    }
    rc = batch_station_partition(&x->station, &p, err);
    if (rc == STAMP_OK) {
        rc = batch_station_geometry(&x->station, &x->geometry, err);
    }
    x->offset = p.offset;
    return rc;
}

/* One that no image can have would cost a stamp. */
static enum stamp_err check_layout(struct next *x, struct stamp_error *err)
{
    STAMP_BUFFER_AUTO image = {NULL, 0};
    static const uint8_t body[1] = {0};
    struct stamp_slice slice = {body, sizeof body};

    return stamp_image_make(&x->geometry, slice, NULL, &image, err);
}

/* Where the images go: what can be refused is refused while nothing is in doubt yet. */
static enum stamp_err find_place(struct next *x, struct stamp_error *err)
{
    const char *out = x->a->out == NULL ? "." : x->a->out;
    char copy[PATH_MAX];
    struct stat st;

    if (strlen(out) >= sizeof x->dir) {
        return stamp_error_set(err, STAMP_E_RANGE, 0, "the path is too long");
    }
    memcpy(x->dir, out, strlen(out) + 1);
    if (stat(out, &st) != 0 || !S_ISDIR(st.st_mode)) {
        if (x->a->n != 1) {
            return stamp_error_set(err, STAMP_E_IO, 0, "'%s' is not a directory", out);
        }
        if (lstat(out, &st) == 0) {
            return stamp_error_set(err, STAMP_E_EXISTS, 0, "'%s' exists already", out);
        }
        memcpy(copy, out, strlen(out) + 1);
        (void)snprintf(x->name, sizeof x->name, "%s", basename(copy));
        memcpy(copy, out, strlen(out) + 1);
        (void)snprintf(x->dir, sizeof x->dir, "%s", dirname(copy));
    }
    if (access(x->dir, W_OK | X_OK) != 0) {
        return stamp_error_set(err, STAMP_E_IO, 0, "cannot write to '%s'", x->dir);
    }
    return STAMP_OK;
}

/* ---- a group ---- */

static void image_name(const struct next *x, size_t i, char out[PATH_MAX])
{
    (void)snprintf(out, PATH_MAX, "%s%s", x->name[0] != '\0' ? x->name : x->serial[i],
                   x->name[0] != '\0' ? "" : stamp_imagefile_suffix(x->a->format));
    for (char *p = out; *p != '\0'; p++) {
        if (*p == '/') {
            *p = '_'; /* a serial may have it, a name may not */
        }
    }
}

static enum stamp_err add_image(struct next *x, struct stamp_files *files, size_t i,
                                struct stamp_buffer *body, struct stamp_error *err)
{
    STAMP_BUFFER_AUTO image = {NULL, 0};
    char name[PATH_MAX];
    size_t len = 0;
    enum stamp_err rc =
        stamp_batch_get(x->station.batch, x->index[i], body->p, &len, err);

    if (rc == STAMP_OK) {
        struct stamp_slice slice = {body->p, len};

        rc = stamp_imagefile_render(x->a->format, &x->geometry, x->offset, slice, &image,
                                    err);
    }
    if (rc == STAMP_OK) {
        image_name(x, i, name);
        rc = stamp_files_add(files, name, image.p, image.len, STAMP_FILE_SECRET, err);
    }
    return rc;
}

static enum stamp_err write_images(struct next *x, struct stamp_files *files,
                                   struct stamp_error *err)
{
    STAMP_BUFFER_AUTO body = {NULL, 0};
    struct stamp_batch_entry entry;
    enum stamp_err rc = stamp_buffer_new(&body, STAMP_MAX_LEN, 0, err);

    for (size_t i = 0; i < x->taken && rc == STAMP_OK; i++) {
        rc = stamp_batch_entry(x->station.batch, x->index[i], &entry, err);
        if (rc == STAMP_OK) {
            memcpy(x->serial[i], entry.serial, sizeof entry.serial);
            rc = add_image(x, files, i, &body, err);
        }
    }
    return rc == STAMP_OK ? stamp_files_commit(files, err) : rc;
}

static enum stamp_err take_group(struct next *x, struct stamp_error *err)
{
    struct stamp_files *files = NULL;
    size_t max = x->a->n - x->done;
    char name[PATH_MAX];
    enum stamp_err rc = stamp_files_new(x->dir, &files, err);

    x->taken = 0;
    if (rc == STAMP_OK) {
        rc = stamp_books_next(x->station.books, time(NULL), x->index,
                              max < GROUP_MAX ? max : GROUP_MAX, &x->taken, err);
    }
    if (rc == STAMP_OK) {
        rc = write_images(x, files, err);
    }
    for (size_t i = 0; i < x->taken && rc == STAMP_OK; i++) {
        image_name(x, i, name);
        (void)printf("%s\t%s%s%s\n", x->serial[i], strcmp(x->dir, ".") == 0 ? "" : x->dir,
                     strcmp(x->dir, ".") == 0 ? "" : "/", name);
    }
    if (rc == STAMP_OK) {
        x->done += x->taken;
        x->taken = 0;
    }
    stamp_files_free(&files);
    return rc;
}

/* ---- the verb ---- */

static int failed(const struct next *x, enum stamp_err rc, struct stamp_error *err)
{
    struct stamp_batch_entry entry;
    const char *file = x->a->station.file;

    if (x->taken == 1 &&
        stamp_batch_entry(x->station.batch, x->index[0], &entry, NULL) == STAMP_OK) {
        stamp_error_state(err,
                          "'%s' is in doubt: it was handed out, its image not "
                          "written",
                          entry.serial);
        stamp_error_hint(err,
                         "stamp batch report %s --unit %s --result scrapped; then the "
                         "next one",
                         file, entry.serial);
    } else if (x->taken > 0) {
        stamp_error_state(err, "%zu stamps are in doubt: handed out, no image written",
                          x->taken);
        stamp_error_hint(err,
                         "stamp batch show %s names them; stamp batch report says "
                         "that they are scrapped",
                         file);
    } else if (x->done > 0) {
        stamp_error_state(err, "%zu of %zu stamps were handed out", x->done, x->a->n);
    } else {
        stamp_error_state(err, "nothing was handed out");
    }
    return batch_station_fail(rc, err);
}

static int run(const struct args *a)
{
    static struct next x; /* large */
    struct stamp_error err = STAMP_ERROR_INIT;
    int status;
    enum stamp_err rc = batch_station_open(&a->station, &x.station, &err);

    x.a = a;
    if (rc == STAMP_OK) {
        rc = find_layout(&x, &err);
    }
    if (rc == STAMP_OK) {
        rc = check_layout(&x, &err);
    }
    if (rc == STAMP_OK) {
        rc = find_place(&x, &err);
    }
    while (rc == STAMP_OK && x.done < a->n) {
        rc = take_group(&x, &err);
    }
    status = rc == STAMP_OK ? cli_flush(CLI_DONE) : failed(&x, rc, &err);
    batch_station_close(&x.station);
    return status;
}

/* -1 = go on, else the exit status */
static int take(struct args *a, int opt)
{
    uint64_t number;

    switch (opt) {
    case 'k':
        a->station.key = optarg;
        return -1;
    case 'P':
        if (!cli_number(optarg, 0, 65535, &number)) {
            return cli_usage("batch next", "'%s' is no file descriptor", optarg);
        }
        a->station.fd = (int)number;
        return -1;
    case 'Q':
        a->station.pin_file = optarg;
        return -1;
    case 'n':
        if (!cli_number(optarg, 1, UINT32_MAX, &number)) {
            return cli_usage("batch next", "'%s' is not a number of stamps", optarg);
        }
        a->n = (size_t)number;
        return -1;
    case 'o':
        a->out = optarg;
        return -1;
    case 'f':
        if (!stamp_imagefile_format(optarg, &a->format)) {
            return cli_usage("batch next", "'%s' is not partition, ihex or pem", optarg);
        }
        return -1;
    case 'b':
        a->board = optarg;
        return -1;
    case 'T':
        a->station.trust = optarg;
        return -1;
    case 'C':
        a->station.workspace = optarg;
        return -1;
    case 'h':
        return cli_help(help);
    default:
        return cli_bad_option("batch next");
    }
}

int batch_next(int argc, char **argv)
{
    struct args a = {.station = {.fd = -1}, .n = 1};
    char names[128];
    int opt;

    while ((opt = getopt_long(argc, argv, "k:n:o:f:b:C:h", options, NULL)) != -1) {
        int status = take(&a, opt);

        if (status >= 0) {
            return status;
        }
    }
    if (argc - optind != 1) {
        return cli_usage("batch next", "one batch file is wanted");
    }
    if (a.station.key == NULL) {
        return cli_usage("batch next", "--key is wanted: the stamps are sealed to it");
    }
    if (a.board != NULL && stamp_board_find(a.board) == NULL) {
        stamp_board_names(names, sizeof names);
        return cli_usage("batch next", "there is no board '%s'; there is %s", a.board,
                         names);
    }
    a.station.file = argv[optind];
    return run(&a);
}

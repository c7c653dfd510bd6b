#include <getopt.h>
#include <stdio.h>

#include "cli/flash.h"
#include "host/flashfile.h"
#include "host/rest.h"

static const char help[] =
    "usage: stamp flash [OPTION]... FILE|SERIAL --board BOARD --flash-file F\n"
    "       stamp flash [OPTION]... FILE|SERIAL --exec 'CMD {image} {offset} {size}'\n"
    "       stamp flash [OPTION]... --batch FILE --key KEY ...\n"
    "\n"
    "Puts a stamp on a board: into the flash file of an emulated one, or with a command\n"
    "that gets the image as a file. From a batch file it is the next unused one, which "
    "is\n"
    "reported as struck; where that fails, it is in doubt.\n"
    "\n"
    "  -b, --board BOARD       qemu-riscv32\n"
    "      --flash-file F      its flash; made, erased, where it is not there\n"
    "      --replace           also over another stamp that is not locked\n"
    "  -e, --exec CMD          run CMD in the shell; {image}, {offset} and {size} stand\n"
    "                          for the file, and where in flash it goes\n"
    "      --offset N          {offset}; else the workspace's profile says it\n"
    "      --root-key FILE     the device's root key: the stamp rests encrypted\n"
    "  -C, --dir DIR           the workspace\n"
    "      --batch FILE        take the next stamp of this batch file\n"
    "  -k, --key KEY           the station's: PEM file, or pkcs11: URI\n"
    "      --pin-file FILE     its PIN or passphrase; mode 0600\n"
    "      --pin-fd N          the same, from file descriptor N\n"
    "  -t, --trust PEM         who signed the batch, at the first use; the books keep "
    "it\n"
    "      --again SERIAL      not the next stamp, but this one, which is in doubt\n"
    "      --chip ID           the unit's chip, for the report\n"
    "  -p, --port TTY          let the unit prove itself there before the report\n"
    "      --wait S            how long it may take to answer (default: 10)\n"
    "  -h, --help              this\n";

static const struct option options[] = {
    {"board", required_argument, NULL, 'b'},
    {"flash-file", required_argument, NULL, 'F'},
    {"replace", no_argument, NULL, 'R'},
    {"exec", required_argument, NULL, 'e'},
    {"offset", required_argument, NULL, 'O'},
    {"root-key", required_argument, NULL, 'K'},
    {"dir", required_argument, NULL, 'C'},
    {"batch", required_argument, NULL, 'B'},
    {"key", required_argument, NULL, 'k'},
    {"pin-file", required_argument, NULL, 'P'},
    {"pin-fd", required_argument, NULL, 'D'},
    {"trust", required_argument, NULL, 't'},
    {"again", required_argument, NULL, 'A'},
    {"chip", required_argument, NULL, 'c'},
    {"port", required_argument, NULL, 'p'},
    {"wait", required_argument, NULL, 'w'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

struct args {
    struct cli_source src;
    struct flash_batch batch; /* and the target, whatever the source */
};

static enum stamp_err load_root_key(const struct args *a, struct stamp_secret **out,
                                    struct stamp_error *err)
{
    *out = NULL;
    return a->src.root_key == NULL ? STAMP_OK
                                   : stamp_rest_load(a->src.root_key, out, err);
}

static int check(const struct flash_target *a)
{
    char names[128];

    if ((a->board != NULL) == (a->exec != NULL)) {
        return cli_usage("flash", "either --board or --exec is wanted");
    }
    if ((a->board != NULL) != (a->flash_file != NULL)) {
        return cli_usage("flash", "--board and --flash-file go together");
    }
    if (a->board != NULL && stamp_board_find(a->board) == NULL) {
        stamp_board_names(names, sizeof names);
        return cli_usage("flash", "there is no board '%s'; there is %s", a->board, names);
    }
    if (a->replace && a->board == NULL) {
        return cli_usage("flash", "--replace goes with --board");
    }
    return -1;
}

static int flash_image(struct args *a, struct stamp_error *err)
{
    struct flash_target *t = &a->batch.target;
    STAMP_IMAGE_AUTO *img = NULL;
    const struct stamp *s;
    bool unchanged = false;
    enum stamp_err rc = cli_open_stamp(&a->src, &img, err);

    if (rc != STAMP_OK) {
        stamp_error_state(err, "nothing was flashed");
        return cli_fail(err);
    }
    rc = flash_put(t, img, &unchanged, err);
    if (rc != STAMP_OK) {
        return cli_fail(err);
    }
    s = stamp_image_birth(img);
    (void)printf("%.*s is %son %s\n", (int)s->serial.len, (const char *)s->serial.p,
                 unchanged ? "already " : "", flash_name(t));
    return cli_flush(CLI_DONE);
}

static int flash(struct args *a)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    STAMP_SECRET_AUTO struct stamp_secret *root_key = NULL;
    int status;

    if (load_root_key(a, &root_key, &err) != STAMP_OK) {
        stamp_error_state(&err, "nothing was flashed");
        return cli_fail(&err);
    }
    a->batch.target.root_key = root_key;
    status = a->batch.station.file != NULL ? flash_from_batch(&a->batch)
                                           : flash_image(a, &err);
    a->batch.target.root_key = NULL;
    return status;
}

/* What is for a batch file only: -2 = none of it. */
static int take_batch(struct flash_batch *b, int opt)
{
    uint64_t number;

    switch (opt) {
    case 'B':
        b->station.file = optarg;
        return -1;
    case 'k':
        b->station.key = optarg;
        return -1;
    case 'P':
        b->station.pin_file = optarg;
        return -1;
    case 'D':
        if (!cli_number(optarg, 0, 65535, &number)) {
            return cli_usage("flash", "'%s' is no file descriptor", optarg);
        }
        b->station.fd = (int)number;
        return -1;
    case 't':
        b->station.trust = optarg;
        return -1;
    case 'A':
        b->again = optarg;
        return -1;
    case 'c':
        b->chip = optarg;
        return -1;
    case 'p':
        b->port = optarg;
        return -1;
    case 'w':
        if (!cli_number(optarg, 0, 3600, &number)) {
            return cli_usage("flash", "'%s' is no time of 0 to 3600 s", optarg);
        }
        b->wait_s = (unsigned)number;
        return -1;
    default:
        return -2;
    }
}

/* -1 = go on, else the exit status */
static int take(struct args *a, int opt)
{
    struct flash_target *t = &a->batch.target;
    uint64_t number;

    switch (opt) {
    case 'b':
        t->board = optarg;
        return -1;
    case 'F':
        t->flash_file = optarg;
        return -1;
    case 'R':
        t->replace = true;
        return -1;
    case 'e':
        t->exec = optarg;
        return -1;
    case 'O':
        if (!cli_number(optarg, 0, UINT32_MAX, &number)) {
            return cli_usage("flash", "'%s' is no offset", optarg);
        }
        t->offset = (int64_t)number;
        return -1;
    case 'K':
        a->src.root_key = optarg;
        return -1;
    case 'C':
        a->src.workspace = t->workspace = a->batch.station.workspace = optarg;
        return -1;
    case 'h':
        return cli_help(help);
    default: {
        int status = take_batch(&a->batch, opt);

        return status == -2 ? cli_bad_option("flash") : status;
    }
    }
}

static int check_source(const struct args *a, int rest)
{
    const struct flash_batch *b = &a->batch;

    if (b->station.file == NULL) {
        if (b->station.key != NULL || b->again != NULL || b->chip != NULL ||
            b->port != NULL) {
            return cli_usage("flash",
                             "--key, --again, --chip and --port go with --batch");
        }
        return rest == 1 ? -1 : cli_usage("flash", "one FILE or SERIAL is wanted");
    }
    if (rest != 0) {
        return cli_usage("flash", "with --batch no FILE or SERIAL is wanted");
    }
    return b->station.key != NULL ? -1 : cli_usage("flash", "--batch wants --key KEY");
}

int cmd_flash(int argc, char **argv)
{
    struct args a = {
        .src = {.offset = -1},
        .batch = {.target = {.offset = -1}, .station = {.fd = -1}, .wait_s = 10}};
    int opt;
    int status;

    while ((opt = getopt_long(argc, argv, "b:e:C:k:t:p:h", options, NULL)) != -1) {
        status = take(&a, opt);
        if (status >= 0) {
            return status;
        }
    }
    status = check_source(&a, argc - optind);
    if (status < 0) {
        status = check(&a.batch.target);
    }
    if (status >= 0) {
        return status;
    }
    a.src.what = argv[optind];
    return flash(&a);
}

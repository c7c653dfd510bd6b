#include <getopt.h>
#include <stdio.h>

#include "cli/flash.h"
#include "host/flashfile.h"
#include "host/rest.h"

static const char help[] =
    "usage: stamp flash [OPTION]... FILE|SERIAL --board BOARD --flash-file F\n"
    "       stamp flash [OPTION]... FILE|SERIAL --exec 'CMD {image} {offset} {size}'\n"
    "\n"
    "Puts a stamp on a board: into the flash file of an emulated one, or with a command\n"
    "that gets the image as a file.\n"
    "\n"
    "  -b, --board BOARD       qemu-riscv32\n"
    "      --flash-file F      its flash; made, erased, where it is not there\n"
    "      --replace           also over another stamp that is not locked\n"
    "  -e, --exec CMD          run CMD in the shell; {image}, {offset} and {size} stand\n"
    "                          for the file, and where in flash it goes\n"
    "      --offset N          {offset}; else the workspace's profile says it\n"
    "      --root-key FILE     the device's root key: the stamp rests encrypted\n"
    "  -C, --dir DIR           the workspace\n"
    "  -h, --help              this\n";

static const struct option options[] = {
    {"board", required_argument, NULL, 'b'},
    {"flash-file", required_argument, NULL, 'F'},
    {"replace", no_argument, NULL, 'R'},
    {"exec", required_argument, NULL, 'e'},
    {"offset", required_argument, NULL, 'O'},
    {"root-key", required_argument, NULL, 'K'},
    {"dir", required_argument, NULL, 'C'},
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

static int flash(struct args *a)
{
    struct flash_target *t = &a->batch.target;
    STAMP_IMAGE_AUTO *img = NULL;
    STAMP_SECRET_AUTO struct stamp_secret *root_key = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    const struct stamp *s;
    bool unchanged = false;
    enum stamp_err rc = cli_open_stamp(&a->src, &img, &err);

    if (rc == STAMP_OK) {
        rc = load_root_key(a, &root_key, &err);
    }
    if (rc != STAMP_OK) {
        stamp_error_state(&err, "nothing was flashed");
        return cli_fail(&err);
    }
    t->root_key = root_key;
    rc = flash_put(t, img, &unchanged, &err);
    t->root_key = NULL;
    if (rc != STAMP_OK) {
        return cli_fail(&err);
    }
    s = stamp_image_birth(img);
    (void)printf("%.*s is %son %s\n", (int)s->serial.len, (const char *)s->serial.p,
                 unchanged ? "already " : "", flash_name(t));
    return cli_flush(CLI_DONE);
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
        a->src.workspace = t->workspace = optarg;
        return -1;
    case 'h':
        return cli_help(help);
    default:
        return cli_bad_option("flash");
    }
}

int cmd_flash(int argc, char **argv)
{
    struct args a = {.src = {.offset = -1}, .batch = {.target = {.offset = -1}}};
    int opt;
    int status;

    while ((opt = getopt_long(argc, argv, "b:e:C:h", options, NULL)) != -1) {
        status = take(&a, opt);
        if (status >= 0) {
            return status;
        }
    }
    if (argc - optind != 1) {
        return cli_usage("flash", "one FILE or SERIAL is wanted");
    }
    a.src.what = argv[optind];
    status = check(&a.batch.target);
    return status >= 0 ? status : flash(&a);
}

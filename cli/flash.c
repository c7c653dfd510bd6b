#include <getopt.h>
#include <stdio.h>

#include "cli/cli.h"
#include "host/exec.h"
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
    const char *board;
    const char *flash_file;
    const char *exec;
    int64_t offset; /* -1 = the profile's */
    bool replace;
};

static enum stamp_err load_root_key(const struct args *a, struct stamp_secret **out,
                                    struct stamp_error *err)
{
    *out = NULL;
    return a->src.root_key == NULL ? STAMP_OK
                                   : stamp_rest_load(a->src.root_key, out, err);
}

static void print_done(const struct stamp_image *img, const char *where, bool unchanged)
{
    const struct stamp *s = stamp_image_birth(img);

    (void)printf("%.*s is %son %s\n", (int)s->serial.len, (const char *)s->serial.p,
                 unchanged ? "already " : "", where);
}

static int to_board(const struct args *a, const struct stamp_image *img,
                    const struct stamp_secret *root_key)
{
    const struct stamp_board *board = stamp_board_find(a->board);
    STAMP_BUFFER_AUTO image = {NULL, 0};
    struct stamp_error err = STAMP_ERROR_INIT;
    bool unchanged = false;
    enum stamp_err rc =
        stamp_image_relayout(img, &board->geometry, root_key, &image, &err);

    if (rc == STAMP_OK) {
        rc = stamp_flashfile_put(board, a->flash_file, &image, a->replace, &unchanged,
                                 &err);
    }
    if (rc != STAMP_OK) {
        stamp_error_state(&err, "the flash was not changed");
        return cli_fail(&err);
    }
    print_done(img, a->board, unchanged);
    return cli_flush(CLI_DONE);
}

/* The place in flash: from the command line, or as the profile says. */
static enum stamp_err find_offset(const struct args *a, uint32_t *offset,
                                  struct stamp_error *err)
{
    STAMP_WORKSPACE_AUTO *ws = NULL;
    enum stamp_err rc = STAMP_OK;

    if (a->offset >= 0) {
        *offset = (uint32_t)a->offset;
        return rc;
    }
    rc = stamp_workspace_open(a->src.workspace, &ws, err);
    if (rc == STAMP_OK) {
        *offset = ws->profile->partition.offset;
    } else {
        stamp_error_hint(err, "say where the partition is with --offset N");
    }
    return rc;
}

/* The geometry of the image itself, to encrypt it on the way. */
static enum stamp_err for_device(const struct stamp_image *img,
                                 const struct stamp_secret *root_key,
                                 struct stamp_buffer *out, struct stamp_error *err)
{
    struct stamp_geometry g = {.birth_size = img->birth_size,
                               .bank_size = img->bank_size,
                               .erase_size = 1,
                               .program_size = 1,
                               .erased = img->erased};

    return stamp_image_relayout(img, &g, root_key, out, err);
}

static int with_command(const struct args *a, const struct stamp_image *img,
                        const struct stamp_secret *root_key)
{
    STAMP_BUFFER_AUTO image = {NULL, 0};
    struct stamp_error err = STAMP_ERROR_INIT;
    uint32_t offset = 0;
    int status = 0;
    enum stamp_err rc = find_offset(a, &offset, &err);

    if (rc == STAMP_OK) {
        rc = for_device(img, root_key, &image, &err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_exec_flash(a->exec, &image, offset, &status, &err);
    }
    if (rc == STAMP_OK && status != 0) {
        (void)stamp_error_set(&err, STAMP_E_DEVICE, status,
                              "the command ended with status %d", status);
        stamp_error_state(&err, "what it did to the device is unknown");
    }
    if (err.code != STAMP_OK) {
        stamp_error_state(&err, "the command was not run");
        return cli_fail(&err);
    }
    print_done(img, "the device", false);
    return cli_flush(CLI_DONE);
}

static int check(const struct args *a)
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

static int flash(const struct args *a)
{
    STAMP_IMAGE_AUTO *img = NULL;
    STAMP_SECRET_AUTO struct stamp_secret *root_key = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    enum stamp_err rc = cli_open_stamp(&a->src, &img, &err);

    if (rc == STAMP_OK) {
        rc = load_root_key(a, &root_key, &err);
    }
    if (rc != STAMP_OK) {
        stamp_error_state(&err, "nothing was flashed");
        return cli_fail(&err);
    }
    return a->board != NULL ? to_board(a, img, root_key) : with_command(a, img, root_key);
}

/* -1 = go on, else the exit status */
static int take(struct args *a, int opt)
{
    uint64_t number;

    switch (opt) {
    case 'b':
        a->board = optarg;
        return -1;
    case 'F':
        a->flash_file = optarg;
        return -1;
    case 'R':
        a->replace = true;
        return -1;
    case 'e':
        a->exec = optarg;
        return -1;
    case 'O':
        if (!cli_number(optarg, 0, UINT32_MAX, &number)) {
            return cli_usage("flash", "'%s' is no offset", optarg);
        }
        a->offset = (int64_t)number;
        return -1;
    case 'K':
        a->src.root_key = optarg;
        return -1;
    case 'C':
        a->src.workspace = optarg;
        return -1;
    case 'h':
        return cli_help(help);
    default:
        return cli_bad_option("flash");
    }
}

int cmd_flash(int argc, char **argv)
{
    struct args a = {.src = {.offset = -1}, .offset = -1};
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
    status = check(&a);
    return status >= 0 ? status : flash(&a);
}

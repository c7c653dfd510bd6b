#include "host/make.h"

#include <getopt.h>
#include <stdio.h>

#include "cli/cli.h"

static const char help[] =
    "usage: stamp make [OPTION]...\n"
    "\n"
    "Makes stamps: keys, certificate, secrets, barcodes. Prints SERIAL<TAB>FILE a "
    "stamp.\n"
    "\n"
    "  -n, --number N          how many (default: 1)\n"
    "  -s, --serial S          this serial; else the profile's pattern gives one\n"
    "  -f, --format F          partition (default), ihex or pem\n"
    "  -o, --output OUT        a file, or with -n a directory (default: stamps/ of the\n"
    "                          workspace)\n"
    "  -C, --dir DIR           the workspace\n"
    "      --passphrase-fd N   read the workspace's passphrase from file descriptor N\n"
    "  -h, --help              this\n";

static const struct option options[] = {
    {"number", required_argument, NULL, 'n'},
    {"serial", required_argument, NULL, 's'},
    {"format", required_argument, NULL, 'f'},
    {"output", required_argument, NULL, 'o'},
    {"dir", required_argument, NULL, 'C'},
    {"passphrase-fd", required_argument, NULL, 'F'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

struct args {
    struct stamp_make make;
    const char *dir;
    int fd;
};

static void print_made(void *ctx, const char *serial, const char *file)
{
    (void)ctx;
    (void)printf("%s\t%s\n", serial, file);
}

static int make(const struct args *a)
{
    STAMP_WORKSPACE_AUTO *ws = NULL;
    STAMP_ISSUER_AUTO *issuer = NULL;
    STAMP_SECRET_AUTO struct stamp_secret *passphrase = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    size_t done = 0;
    enum stamp_err rc = stamp_workspace_open(a->dir, &ws, &err);

    if (rc == STAMP_OK) {
        rc = cli_passphrase(ws, a->fd, &passphrase, &err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_issuer_new(ws, passphrase, &issuer, &err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_make_run(ws, issuer, &a->make, &done, &err);
    }
    if (rc != STAMP_OK) {
        stamp_error_state(&err, "no stamp was made");
        /* a wrong passphrase is no forgery */
        return cli_fail(&err) == CLI_RETRY ? CLI_RETRY : CLI_FAILED;
    }
    return cli_flush(CLI_DONE);
}

/* -1 = go on, else the exit status */
static int take(struct args *a, int opt)
{
    uint64_t number;

    switch (opt) {
    case 'n':
        if (!cli_number(optarg, 1, 10000000, &number)) {
            return cli_usage("make", "'%s' is not a number of stamps", optarg);
        }
        a->make.n = (size_t)number;
        return -1;
    case 's':
        a->make.serial = optarg;
        return -1;
    case 'f':
        if (!stamp_imagefile_format(optarg, &a->make.format)) {
            return cli_usage("make", "'%s' is not partition, ihex or pem", optarg);
        }
        return -1;
    case 'o':
        a->make.out = optarg;
        return -1;
    case 'C':
        a->dir = optarg;
        return -1;
    case 'F':
        if (!cli_number(optarg, 0, 65535, &number)) {
            return cli_usage("make", "'%s' is no file descriptor", optarg);
        }
        a->fd = (int)number;
        return -1;
    case 'h':
        return cli_help(help);
    default:
        return cli_bad_option("make");
    }
}

int cmd_make(int argc, char **argv)
{
    struct args a = {.make = {.n = 1, .made = print_made}, .fd = -1};
    int opt;

    while ((opt = getopt_long(argc, argv, "n:s:f:o:C:h", options, NULL)) != -1) {
        int status = take(&a, opt);

        if (status >= 0) {
            return status;
        }
    }
    if (optind < argc) {
        return cli_usage("make", "'%s' is not understood", argv[optind]);
    }
    if (a.make.serial != NULL && a.make.n != 1) {
        return cli_usage("make", "a serial is for one stamp");
    }
    return make(&a);
}

#include "host/registrar.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "host/file.h"

static const char help[] =
    "usage: stamp registrar add [OPTION]... NAME -o FILE\n"
    "\n"
    "Makes a registrar: who asks the service for certificates in the name of devices, "
    "as\n"
    "`stamp rotate` does on their serial line. FILE gets its certificate and its "
    "private\n"
    "key, mode 0600; whoever has it can replace operational keys, within the service's\n"
    "rate, but no birth key.\n"
    "\n"
    "  -o, --out FILE          the file that is made\n"
    "      --days N            valid for so long, 1 to 3650; else 365\n"
    "      --passphrase-fd N   read the workspace's passphrase from file descriptor N\n"
    "  -C, --dir DIR           the workspace\n"
    "  -h, --help              this\n";

static const struct option options[] = {
    {"out", required_argument, NULL, 'o'},
    {"days", required_argument, NULL, 'D'},
    {"passphrase-fd", required_argument, NULL, 'P'},
    {"dir", required_argument, NULL, 'C'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

struct args {
    const char *name, *out, *dir;
    uint64_t days;
    int fd;
};

static int add(const struct args *a)
{
    STAMP_WORKSPACE_AUTO *ws = NULL;
    STAMP_SECRET_AUTO struct stamp_secret *passphrase = NULL;
    STAMP_SECRET_AUTO struct stamp_secret *pem = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    const uint8_t *bytes;
    size_t len;
    enum stamp_err rc;

    if (access(a->out, F_OK) == 0) { /* before anything is on the books */
        stamp_error_state(&err, "nothing was made");
        (void)stamp_error_set(&err, STAMP_E_EXISTS, 0, "'%s' is there already", a->out);
        return cli_fail(&err);
    }
    rc = stamp_workspace_open(a->dir, &ws, &err);
    if (rc == STAMP_OK) {
        rc = cli_passphrase(ws, a->fd, &passphrase, &err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_registrar_add(ws, a->name, (uint32_t)a->days, passphrase, &pem, &err);
    }
    if (rc == STAMP_OK) {
        bytes = stamp_secret_use(pem, &len);
        rc = stamp_file_write(a->out, bytes, len, STAMP_FILE_SECRET, false, &err);
    }
    if (rc != STAMP_OK) {
        return cli_fail(&err);
    }
    (void)printf("%s\n", a->out);
    return cli_flush(CLI_DONE);
}

int cmd_registrar(int argc, char **argv)
{
    struct args a = {.days = 365, .fd = -1};
    uint64_t number;
    int opt;

    while ((opt = getopt_long(argc, argv, "o:C:h", options, NULL)) != -1) {
        switch (opt) {
        case 'o':
            a.out = optarg;
            break;
        case 'D':
            if (!cli_number(optarg, 1, STAMP_REGISTRAR_DAYS_MAX, &a.days)) {
                return cli_usage("registrar", "'%s' is no number of 1 to %u", optarg,
                                 STAMP_REGISTRAR_DAYS_MAX);
            }
            break;
        case 'P':
            if (!cli_number(optarg, 0, 65535, &number)) {
                return cli_usage("registrar", "'%s' is no file descriptor", optarg);
            }
            a.fd = (int)number;
            break;
        case 'C':
            a.dir = optarg;
            break;
        case 'h':
            return cli_help(help);
        default:
            return cli_bad_option("registrar");
        }
    }
    if (optind == argc || strcmp(argv[optind], "add") != 0) {
        return cli_usage("registrar", "say what to do: add");
    }
    if (optind + 2 != argc) {
        return cli_usage("registrar", "say one name of the registrar");
    }
    a.name = argv[optind + 1];
    return a.out == NULL ? cli_usage("registrar", "say where to: -o FILE") : add(&a);
}

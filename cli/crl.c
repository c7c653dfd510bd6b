#include "host/crl.h"

#include <getopt.h>
#include <stdio.h>

#include "cli/cli.h"

static const char help[] =
    "usage: stamp crl [OPTION]...\n"
    "\n"
    "Writes the revocation list (RFC 5280, DER) of the workspace's sub-CA: of devices\n"
    "that were made here, and of all operational certificates. Births at a station are\n"
    "of that station's authority, whose key is there: the service knows that they are\n"
    "revoked, and no list says it.\n"
    "\n"
    "  -o, --out FILE          where to; else crl.der in the workspace\n"
    "      --days N            until the next list, 1 to 3650; else 7\n"
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

static int crl(const char *dir, const char *out, uint32_t days, int fd)
{
    STAMP_WORKSPACE_AUTO *ws = NULL;
    STAMP_SECRET_AUTO struct stamp_secret *passphrase = NULL;
    STAMP_PKEY_AUTO *key = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    char path[PATH_MAX];
    uint64_t count = 0;
    enum stamp_err rc = stamp_workspace_open(dir, &ws, &err);

    if (rc == STAMP_OK && out == NULL) {
        rc = stamp_workspace_path(ws, "crl.der", path, &err);
        out = path;
    }
    if (rc == STAMP_OK) {
        rc = cli_passphrase(ws, fd, &passphrase, &err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_workspace_key(ws, STAMP_WORKSPACE_SUB_CA, passphrase, &key, &err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_crl_write(ws->registry, ws->sub_ca, key, days, out, &count, &err);
    }
    stamp_free_pkey(&key); /* before its token is closed */
    if (rc != STAMP_OK) {
        return cli_fail(&err);
    }
    (void)printf("%s\t%llu certificates\n", out, (unsigned long long)count);
    return cli_flush(CLI_DONE);
}

int cmd_crl(int argc, char **argv)
{
    const char *out = NULL;
    const char *dir = NULL;
    uint64_t days = 7;
    uint64_t number;
    int fd = -1;
    int opt;

    while ((opt = getopt_long(argc, argv, "o:C:h", options, NULL)) != -1) {
        switch (opt) {
        case 'o':
            out = optarg;
            break;
        case 'D':
            if (!cli_number(optarg, 1, 3650, &days)) {
                return cli_usage("crl", "'%s' is no number of 1 to 3650", optarg);
            }
            break;
        case 'P':
            if (!cli_number(optarg, 0, 65535, &number)) {
                return cli_usage("crl", "'%s' is no file descriptor", optarg);
            }
            fd = (int)number;
            break;
        case 'C':
            dir = optarg;
            break;
        case 'h':
            return cli_help(help);
        default:
            return cli_bad_option("crl");
        }
    }
    if (optind != argc) {
        return cli_usage("crl", "'%s' is one argument too many", argv[optind]);
    }
    return crl(dir, out, (uint32_t)days, fd);
}

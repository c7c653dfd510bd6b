/* `stamp station enrol`: headquarters certifies a station. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/station.h"
#include "host/file.h"
#include "host/station_cert.h"
#include "host/workspace_home.h"

static const char help[] =
    "usage: stamp station enrol CSR -o CERT [OPTION]...\n"
    "\n"
    "Signs what a station asks for (stamp station init) with the workspace's root: a\n"
    "CA for what is born there, a box for its work orders, a key for its journal. CERT\n"
    "is for the station (stamp station init DIR --cert CERT) and for its work orders.\n"
    "\n"
    "  -o, --output CERT       the file to write\n"
    "      --name NAME         of the station, for people\n"
    "      --passphrase-fd N   of a production workspace: read from file descriptor N\n"
    "  -C, --dir DIR           the workspace\n"
    "  -h, --help              this\n";

static const struct option options[] = {
    {"output", required_argument, NULL, 'o'},
    {"name", required_argument, NULL, 'N'},
    {"passphrase-fd", required_argument, NULL, 'p'},
    {"dir", required_argument, NULL, 'C'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

/* A copy for headquarters: it knows the station's journal key from it. */
static enum stamp_err keep(const struct stamp_workspace *ws, const char *pem,
                           const char *written, struct stamp_error *err)
{
    struct stamp_station_cert cert;
    char path[PATH_MAX];
    enum stamp_err rc = stamp_station_cert_load(written, &cert, err);

    if (rc == STAMP_OK) {
        rc = stamp_workspace_path(ws, "stations", path, err);
    }
    if (rc == STAMP_OK && mkdir(path, 0755) != 0 && errno != EEXIST) {
        rc = stamp_error_set(err, STAMP_E_IO, errno, "cannot make '%s': %s", path,
                             strerror(errno));
    }
    if (rc == STAMP_OK) {
        rc = stamp_workspace_station(ws, cert.id, path, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_file_write(path, pem, strlen(pem), STAMP_FILE_PUBLIC, true, err);
    }
    stamp_station_cert_fini(&cert);
    return rc;
}

static int run(const char *csr, const char *out, const char *name, const char *workspace,
               int fd)
{
    STAMP_WORKSPACE_AUTO *ws = NULL;
    STAMP_SECRET_AUTO struct stamp_secret *passphrase = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    uint8_t *text = NULL;
    char *pem = NULL;
    size_t len = 0;
    enum stamp_err rc = stamp_workspace_open(workspace, &ws, &err);

    if (rc == STAMP_OK) {
        rc = stamp_file_read(csr, 65536, &text, &len, &err);
    }
    if (rc == STAMP_OK) {
        rc = cli_passphrase(ws, fd, &passphrase, &err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_station_enrol(ws, (const char *)text, len, name, passphrase, &pem,
                                 &err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_file_write(out, pem, strlen(pem), STAMP_FILE_PUBLIC, false, &err);
    }
    if (rc == STAMP_OK) {
        rc = keep(ws, pem, out, &err);
    }
    free(text);
    free(pem);
    if (rc != STAMP_OK) {
        return cli_fail(&err);
    }
    (void)printf("%s\n", out);
    (void)printf("owner ");
    for (size_t i = 0; i < sizeof ws->owner_key_hash; i++) {
        (void)printf("%02x", ws->owner_key_hash[i]);
    }
    (void)printf("\n");
    return cli_flush(CLI_DONE);
}

int station_enrol(int argc, char **argv)
{
    const char *out = NULL;
    const char *workspace = NULL;
    const char *name = NULL;
    const char *csr;
    uint64_t number;
    int fd = -1;
    int opt;

    while ((opt = getopt_long(argc, argv, "o:C:h", options, NULL)) != -1) {
        switch (opt) {
        case 'o':
            out = optarg;
            break;
        case 'N':
            name = optarg;
            break;
        case 'p':
            if (!cli_number(optarg, 0, 65535, &number)) {
                return cli_usage("station enrol", "'%s' is no file descriptor", optarg);
            }
            fd = (int)number;
            break;
        case 'C':
            workspace = optarg;
            break;
        case 'h':
            return cli_help(help);
        default:
            return cli_bad_option("station enrol");
        }
    }
    csr = station_operand("station enrol", "file of requests", argc, argv);
    if (csr == NULL) {
        return CLI_USAGE;
    }
    return out == NULL ? cli_usage("station enrol", "say where to: -o CERT")
                       : run(csr, out, name, workspace, fd);
}

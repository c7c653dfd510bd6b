#include "host/ocsp.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cli/cli.h"
#include "host/file.h"
#include "host/pki.h"
#include "host/registry_enrol.h"

static const char help[] =
    "usage: stamp ocsp [OPTION]... SERIAL\n"
    "\n"
    "Says of each certificate of a device that the workspace's sub-CA issued whether it\n"
    "is good or revoked, and writes that as an OCSP answer (RFC 6960, DER) signed by "
    "the\n"
    "sub-CA: for a TLS server to staple, or for who has no network. A running service\n"
    "answers for itself: /ocsp.\n"
    "\n"
    "  -o, --out FILE          the answer; else none is signed\n"
    "      --days N            it is good for, 1 to 3650; else 7\n"
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

enum { KEYS_MAX = 16, DAY = 86400 };

struct args {
    const char *serial, *out, *dir;
    uint64_t days;
    int fd;
};

struct answer {
    const struct args *args;
    struct stamp_workspace *ws;
    struct stamp_ca ca;
    struct stamp_ocsp *ocsp;
    unsigned count;
};

/* One certificate, where it is this authority's. */
static enum stamp_err say(struct answer *a, const char *what, struct stamp_slice der,
                          const uint8_t number[STAMP_CERTIFICATE_SERIAL_SIZE],
                          struct stamp_error *err)
{
    static const char *const words[] = {"good", "revoked", "unknown"};
    STAMP_X509_AUTO *cert = NULL;
    struct stamp_ocsp_single single = {
        .md = EVP_sha1(), /* what most who ask have */
        .serial_number = {number, STAMP_CERTIFICATE_SERIAL_SIZE},
        .this_update = time(NULL)};
    enum stamp_err rc;

    if (der.len == 0 || stamp_pki_decode(der, &cert, NULL) != STAMP_OK ||
        X509_check_issued(a->ws->sub_ca, cert) != X509_V_OK) {
        return STAMP_OK;
    }
    single.next_update = single.this_update + (time_t)a->args->days * DAY;
    rc = stamp_registry_certificate_status(a->ws->registry, &a->ca, number,
                                           &single.status, &single.revocation, err);
    if (rc != STAMP_OK) {
        return rc;
    }
    for (size_t i = 0; i < STAMP_CERTIFICATE_SERIAL_SIZE; i++) {
        (void)printf("%02x", number[i]);
    }
    (void)printf("\t%s\t%s%s%s\n", what, words[single.status],
                 single.status == STAMP_CERTIFICATE_REVOKED ? ": " : "",
                 single.status == STAMP_CERTIFICATE_REVOKED
                     ? stamp_reason_name(single.revocation.reason)
                     : "");
    a->count++;
    return stamp_ocsp_add(a->ocsp, &single, err);
}

static enum stamp_err say_all(struct answer *a, struct stamp_error *err)
{
    struct stamp_registry_row row;
    struct stamp_ldevid keys[KEYS_MAX];
    char what[32];
    size_t n = 0;
    enum stamp_err rc = stamp_registry_find(a->ws->registry, a->args->serial, &row, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    rc = say(a, "birth", (struct stamp_slice){row.certificate, row.certificate_len},
             row.certificate_serial, err);
    if (rc == STAMP_OK) {
        rc = stamp_registry_ldevid_list(a->ws->registry, row.id, keys, KEYS_MAX, &n, err);
    }
    stamp_registry_row_fini(&row);
    for (size_t i = 0; i < n; i++) {
        if (rc == STAMP_OK) {
            (void)snprintf(what, sizeof what, "operational %u", keys[i].n);
            rc = say(a, what,
                     (struct stamp_slice){keys[i].certificate, keys[i].certificate_len},
                     keys[i].certificate_serial, err);
        }
        stamp_ldevid_fini(&keys[i]);
    }
    if (rc == STAMP_OK && a->count == 0) {
        rc = stamp_error_set(err, STAMP_E_MISSING, 0,
                             "'%s' has no certificate of this workspace's sub-CA",
                             a->args->serial);
    }
    return rc;
}

static enum stamp_err sign(struct answer *a, struct stamp_error *err)
{
    STAMP_SECRET_AUTO struct stamp_secret *passphrase = NULL;
    STAMP_PKEY_AUTO *key = NULL;
    uint8_t *der = NULL;
    size_t len = 0;
    enum stamp_err rc = cli_passphrase(a->ws, a->args->fd, &passphrase, err);

    if (rc == STAMP_OK) {
        rc = stamp_workspace_key(a->ws, STAMP_WORKSPACE_SUB_CA, passphrase, &key, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_ocsp_sign(a->ocsp, a->ws->sub_ca, key, &der, &len, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_file_write(a->args->out, der, len, STAMP_FILE_PUBLIC, true, err);
    }
    OPENSSL_free(der);
    return rc;
}

static int ocsp(const struct args *args)
{
    struct answer a = {.args = args};
    struct stamp_error err = STAMP_ERROR_INIT;
    enum stamp_err rc = stamp_workspace_open(args->dir, &a.ws, &err);

    if (rc == STAMP_OK) {
        rc = stamp_ca_of(a.ws->sub_ca, &a.ca, &err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_ocsp_new(a.ws->sub_ca, &a.ocsp, &err);
    }
    if (rc == STAMP_OK) {
        rc = say_all(&a, &err);
    }
    if (rc == STAMP_OK && args->out != NULL) {
        rc = sign(&a, &err);
    }
    stamp_ocsp_free(&a.ocsp);
    stamp_workspace_close(&a.ws);
    return rc == STAMP_OK ? cli_flush(CLI_DONE) : cli_fail(&err);
}

int cmd_ocsp(int argc, char **argv)
{
    struct args a = {.days = 7, .fd = -1};
    uint64_t number;
    int opt;

    while ((opt = getopt_long(argc, argv, "o:C:h", options, NULL)) != -1) {
        switch (opt) {
        case 'o':
            a.out = optarg;
            break;
        case 'D':
            if (!cli_number(optarg, 1, 3650, &a.days)) {
                return cli_usage("ocsp", "'%s' is no number of 1 to 3650", optarg);
            }
            break;
        case 'P':
            if (!cli_number(optarg, 0, 65535, &number)) {
                return cli_usage("ocsp", "'%s' is no file descriptor", optarg);
            }
            a.fd = (int)number;
            break;
        case 'C':
            a.dir = optarg;
            break;
        case 'h':
            return cli_help(help);
        default:
            return cli_bad_option("ocsp");
        }
    }
    if (optind + 1 != argc) {
        return cli_usage("ocsp", "say one serial");
    }
    a.serial = argv[optind];
    return ocsp(&a);
}

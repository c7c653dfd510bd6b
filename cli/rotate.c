#include "host/rotate.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "host/est_client.h"
#include "host/tty.h"

static const char help[] =
    "usage: stamp rotate [OPTION]... --port TTY --server URL --registrar FILE\n"
    "\n"
    "Renews a live device's operational identity: it proves who it is, makes its next\n"
    "key, and that is certified by the service; the device checks the certificate\n"
    "against its trust bundle, commits it, and proves that it has its key. After any\n"
    "failure it has the identity that it had; run it again, and it goes on.\n"
    "\n"
    "Exit status: 0 renewed; 1 no answer, or no stamp; 3 not authentic, or refused;\n"
    "4 the port is in use, or the service says: later.\n"
    "\n"
    "  -p, --port TTY          the device's serial port\n"
    "  -s, --server URL        https://HOST:PORT of the service\n"
    "  -r, --registrar FILE    what `stamp registrar add` made\n"
    "  -t, --trust PEM         trust the certificates in this file, of the device and "
    "of\n"
    "                          the service; else the workspace's root\n"
    "      --patience S        seconds, for a service that says \"later\"; else 60\n"
    "      --drop              have the device forget the key that waits, and no more\n"
    "  -C, --dir DIR           the workspace\n"
    "  -h, --help              this\n";

static const struct option options[] = {
    {"port", required_argument, NULL, 'p'},
    {"server", required_argument, NULL, 's'},
    {"registrar", required_argument, NULL, 'r'},
    {"trust", required_argument, NULL, 't'},
    {"patience", required_argument, NULL, 'P'},
    {"drop", no_argument, NULL, 'D'},
    {"dir", required_argument, NULL, 'C'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

struct args {
    const char *port, *pem, *dir;
    struct stamp_est_server server;
    bool drop;
    char ca[PATH_MAX];
};

/* Who is believed, of the device and of the service: --trust, else the workspace. */
static enum stamp_err open_trust(struct args *a, struct stamp_trust **trust,
                                 struct stamp_error *err)
{
    enum stamp_err rc = cli_trust(a->pem, a->dir, trust, err);

    if (rc == STAMP_OK && a->pem != NULL) {
        a->server.ca = a->pem;
    } else if (rc == STAMP_OK) {
        rc = cli_root_file(a->dir, a->ca, err);
        a->server.ca = a->ca;
    }
    return rc;
}

/* The device has a certificate's key: it signs with it. */
static enum stamp_err confirm(struct stamp_smp_client *c, const struct stamp_trust *trust,
                              struct stamp_slice leaf, struct stamp_error *err)
{
    struct stamp_proof proof;
    uint8_t hash[32];
    enum stamp_err rc = stamp_prove_device(c, trust, STAMP_NEWEST, &proof, err);

    if (rc == STAMP_OK &&
        (EVP_Digest(leaf.p, leaf.len, hash, NULL, EVP_sha256(), NULL) != 1 ||
         memcmp(hash, proof.certificate_hash, sizeof hash) != 0)) {
        rc = stamp_error_set(err, STAMP_E_AUTH, 0,
                             "the device shows another certificate than it committed");
    }
    return rc;
}

static enum stamp_err renew(struct stamp_smp_client *c, const struct args *a,
                            const struct stamp_trust *trust, struct stamp_renewal *r,
                            uint32_t *seq, struct stamp_error *err)
{
    STACK_OF(X509) *others = NULL;
    struct stamp_buffer chain = {NULL, 0};
    uint8_t *leaf = NULL;
    size_t len = 0;
    const struct stamp_slice none = {NULL, 0};
    enum stamp_err rc = stamp_est_enrol(
        &a->server, true, (struct stamp_slice){r->request.p, r->request.len}, &leaf, &len,
        err);

    if (rc == STAMP_OK) {
        rc = stamp_est_cacerts(&a->server, &others, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_renewal_judge(r, (struct stamp_slice){leaf, len}, others, none, &chain,
                                 err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_rotate_hand(c, STAMP_HAND_CERTIFICATES,
                               (struct stamp_slice){chain.p, chain.len}, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_rotate_commit(c, seq, err);
    }
    if (rc == STAMP_OK) {
        rc = confirm(c, trust, (struct stamp_slice){leaf, len}, err);
    }
    OPENSSL_free(leaf);
    stamp_buffer_free(&chain);
    sk_X509_pop_free(others, X509_free);
    return rc;
}

static enum stamp_err run(struct args *a, const struct stamp_trust *trust,
                          struct stamp_error *err)
{
    STAMP_TTY_AUTO struct stamp_tty *tty = NULL;
    struct stamp_smp_client client;
    struct stamp_smp_line line;
    struct stamp_proof proof;
    struct stamp_renewal r = {.leaf = NULL};
    uint32_t seq = 0;
    enum stamp_err rc = stamp_tty_open(&tty, a->port, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    line = stamp_smp_tty_line(tty);
    stamp_smp_client_init(&client, &line);
    if (a->drop) {
        rc = stamp_rotate_drop(&client, err);
        return rc;
    }
    rc = stamp_prove_device(&client, trust, STAMP_BIRTH, &proof, err);
    if (rc == STAMP_OK) {
        rc = stamp_renewal_begin(&client, &proof.identity, &r, err);
    }
    if (rc == STAMP_OK) {
        rc = renew(&client, a, trust, &r, &seq, err);
    }
    if (rc == STAMP_OK) {
        (void)printf("%s\trenewed: bank %u, proven with its new key\n",
                     proof.identity.serial, seq);
    } else {
        stamp_error_state(err, seq == 0 ? "the device has the identity that it had"
                                        : "the device committed its new identity");
    }
    stamp_renewal_fini(&r);
    return rc;
}

static int take(struct args *a, int opt)
{
    uint64_t number;

    switch (opt) {
    case 'p':
        a->port = optarg;
        return 0;
    case 's':
        a->server.url = optarg;
        return 0;
    case 'r':
        a->server.client = optarg;
        return 0;
    case 't':
        a->pem = optarg;
        return 0;
    case 'P':
        if (!cli_number(optarg, 0, 86400, &number)) {
            return cli_usage("rotate", "'%s' is no number of seconds", optarg);
        }
        a->server.patience_s = (unsigned)number;
        return 0;
    case 'D':
        a->drop = true;
        return 0;
    case 'C':
        a->dir = optarg;
        return 0;
    default:
        return cli_bad_option("rotate");
    }
}

int cmd_rotate(int argc, char **argv)
{
    STAMP_TRUST_AUTO *trust = NULL;
    struct args a = {.server = {.patience_s = 60}};
    struct stamp_error err = STAMP_ERROR_INIT;
    enum stamp_err rc = STAMP_OK;
    int opt;

    while ((opt = getopt_long(argc, argv, "p:s:r:t:C:h", options, NULL)) != -1) {
        int status = opt == 'h' ? cli_help(help) : take(&a, opt);

        if (opt == 'h' || status != 0) {
            return status;
        }
    }
    if (optind != argc) {
        return cli_usage("rotate", "'%s' is one argument too many", argv[optind]);
    }
    if (a.port == NULL) {
        return cli_usage("rotate", "--port TTY is missing");
    }
    if (!a.drop && (a.server.url == NULL || a.server.client == NULL)) {
        return cli_usage("rotate", "--server URL and --registrar FILE are missing");
    }
    if (!a.drop) {
        rc = open_trust(&a, &trust, &err);
    }
    if (rc == STAMP_E_MISSING && a.pem == NULL) {
        return cli_usage("rotate", "whom to trust? there is no workspace and no --trust");
    }
    if (rc == STAMP_OK) {
        rc = run(&a, trust, &err);
    }
    return rc == STAMP_OK ? cli_flush(CLI_DONE) : cli_fail(&err);
}

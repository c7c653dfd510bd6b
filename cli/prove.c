#include "host/prove.h"

#include <getopt.h>
#include <stdio.h>

#include "cli/cli.h"
#include "host/tty.h"

static const char help[] =
    "usage: stamp prove [OPTION]... --port TTY\n"
    "\n"
    "Lets a live device prove who it is: its certificate chain leads to whom we\n"
    "trust, its claims are what the certificate binds, and it signs a fresh nonce\n"
    "with the certificate's key.\n"
    "\n"
    "Exit status: 0 proven; 1 no answer, or no stamp; 3 not authentic; 4 the port is\n"
    "in use.\n"
    "\n"
    "  -p, --port TTY          the device's serial port\n"
    "  -t, --trust PEM         trust the certificates in this file; else the\n"
    "                          workspace's root\n"
    "      --newest            the operational identity, where the device has one\n"
    "      --timeout MS        wait for an answer, 100 to 60000; else 1000, and 10000\n"
    "                          where the device has to compute\n"
    "  -C, --dir DIR           the workspace\n"
    "  -h, --help              this\n";

static const struct option options[] = {
    {"port", required_argument, NULL, 'p'},
    {"trust", required_argument, NULL, 't'},
    {"newest", no_argument, NULL, 'N'},
    {"timeout", required_argument, NULL, 'T'},
    {"dir", required_argument, NULL, 'C'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

struct args {
    const char *port;
    const char *pem;
    const char *dir;
    enum stamp_which which;
    uint64_t timeout_ms; /* 0 = the usual */
};

static int print_proof(const struct stamp_proof *p)
{
    const struct stamp_identity *id = &p->identity;

    (void)printf("%s\tproven: %s, %s, %s%s\n", id->serial, id->product, id->company,
                 id->purpose == STAMP_PRODUCTION ? "production" : "development",
                 id->bound ? "" : ", unbound: only serial and key are certified");
    (void)printf("  certificate sha256 ");
    for (size_t i = 0; i < sizeof p->certificate_hash; i++) {
        (void)printf("%02x", p->certificate_hash[i]);
    }
    (void)printf("\n  trust bundle %u; says of itself: firmware '%s', %s%s%s\n",
                 p->bundle_version, p->info.firmware, p->info.state,
                 p->info.claimed ? ", claimed" : ", not claimed",
                 p->info.encrypted ? ", encrypted at rest" : "");
    return cli_flush(CLI_DONE);
}

static int prove(const struct args *a)
{
    STAMP_TRUST_AUTO *trust = NULL;
    STAMP_TTY_AUTO struct stamp_tty *tty = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_smp_client client;
    struct stamp_smp_line line;
    struct stamp_proof proof;
    enum stamp_err rc = cli_trust(a->pem, a->dir, &trust, &err);

    if (rc == STAMP_E_MISSING && a->pem == NULL) {
        return cli_usage("prove", "whom to trust? there is no workspace and no --trust");
    }
    if (rc != STAMP_OK) {
        (void)cli_fail(&err);
        return CLI_FAILED;
    }
    rc = stamp_tty_open(&tty, a->port, &err);
    if (rc == STAMP_OK) {
        line = stamp_smp_tty_line(tty);
        stamp_smp_client_init(&client, &line);
        if (a->timeout_ms != 0) {
            client.read_ms = (int)a->timeout_ms;
            client.write_ms = (int)a->timeout_ms;
        }
        rc = stamp_prove_device(&client, trust, a->which, &proof, &err);
    }
    return rc == STAMP_OK ? print_proof(&proof) : cli_fail(&err);
}

int cmd_prove(int argc, char **argv)
{
    struct args a = {.which = STAMP_BIRTH};
    int opt;

    while ((opt = getopt_long(argc, argv, "p:t:C:h", options, NULL)) != -1) {
        switch (opt) {
        case 'p':
            a.port = optarg;
            break;
        case 't':
            a.pem = optarg;
            break;
        case 'N':
            a.which = STAMP_NEWEST;
            break;
        case 'T':
            if (!cli_number(optarg, 100, 60000, &a.timeout_ms)) {
                return cli_usage("prove", "'%s' is no time of 100 to 60000 ms", optarg);
            }
            break;
        case 'C':
            a.dir = optarg;
            break;
        case 'h':
            return cli_help(help);
        default:
            return cli_bad_option("prove");
        }
    }
    if (a.port == NULL) {
        return cli_usage("prove", "--port TTY is missing");
    }
    if (optind != argc) {
        return cli_usage("prove", "'%s' is one argument too many", argv[optind]);
    }
    return prove(&a);
}

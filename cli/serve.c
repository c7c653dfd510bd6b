#include "service/service.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

static const char help[] =
    "usage: stamp serve [OPTION]... [DIR]\n"
    "\n"
    "The service of a workspace: devices that are on its books get and renew their\n"
    "operational certificates over HTTPS (EST, RFC 7030), with their birth certificate,\n"
    "the operational one, or an enrolment token. Programs order batches of stamps over "
    "its\n"
    "API, with a key of `stamp apikey`. Runs until SIGTERM; logs JSON lines on standard\n"
    "error.\n"
    "\n"
    "  -l, --listen ADDR:PORT  where: all addresses of a name, and without ADDR all of "
    "the\n"
    "                          machine; port 0: any that is free. Else 127.0.0.1:8443\n"
    "      --http ADDR:PORT    plain HTTP for what is public, /crl and /ocsp; else only "
    "over\n"
    "                          HTTPS\n"
    "      --admin ADDR:PORT   plain HTTP for who runs it: /metrics (Prometheus), "
    "/healthz\n"
    "                          and /readyz; else not at all\n"
    "  -n, --name NAME         host name or address of this server, for its "
    "certificate;\n"
    "                          up to 8 times. Else the machine's name, localhost and "
    "the\n"
    "                          loopback addresses\n"
    "      --registry R        the books: a file or postgres://...; else the "
    "workspace's\n"
    "      --fronts N          processes that speak TLS, 1 to 32; else 1\n"
    "      --days N            an operational certificate is valid, 1 to 3650; else 90\n"
    "      --per-hour N        new certificates of one device, 1 to 1000000; else 6\n"
    "      --rate N            certificates of all devices in a minute, 1 to 100000000;\n"
    "                          else 60000. Who asks beyond is told to ask again\n"
    "      --batch-rate N      certificates in batches in a minute, likewise; else "
    "1200000\n"
    "      --linking           requests must prove that they are of this TLS connection\n"
    "                          (RFC 7030 3.5); they may in any case\n"
    "      --wrap LABEL        answers to GET under this label are wrapped after 64\n"
    "                          characters, as libest wants them, where others want one\n"
    "                          line; up to 8 times\n"
    "      --plain-keys PRODUCT  keys made for devices of this product (serverkeygen) go "
    "out\n"
    "                          in the clear, inside of TLS alone, where a device does "
    "not\n"
    "                          say how to seal them; else that is refused\n"
    "      --passphrase-fd N   of a production workspace: read it from there\n"
    "  -C, --dir DIR           the workspace\n"
    "  -h, --help              this\n"
    "\n"
    "Keys in a token: $DEVSTAMP_PIN_FILE, or pin-source in the URI, has its PIN.\n";

static const struct option options[] = {
    {"listen", required_argument, NULL, 'l'},
    {"http", required_argument, NULL, 'T'},
    {"admin", required_argument, NULL, 'M'},
    {"name", required_argument, NULL, 'n'},
    {"registry", required_argument, NULL, 'R'},
    {"fronts", required_argument, NULL, 'F'},
    {"days", required_argument, NULL, 'D'},
    {"per-hour", required_argument, NULL, 'H'},
    {"rate", required_argument, NULL, 'r'},
    {"batch-rate", required_argument, NULL, 'b'},
    {"linking", no_argument, NULL, 'L'},
    {"wrap", required_argument, NULL, 'w'},
    {"plain-keys", required_argument, NULL, 'K'},
    {"passphrase-fd", required_argument, NULL, 'P'},
    {"dir", required_argument, NULL, 'C'},
    {"help", no_argument, NULL, 'h'},
    {"as", required_argument, NULL, 'A'}, /* one of the processes: not for people */
    {NULL, 0, NULL, 0},
};

#define PER_HOUR_MAX 1000000u
#define RATE_MAX 100000000u

struct args {
    struct stamp_service_setup setup;
    const char *as;
    uint64_t passphrase_fd;
    bool has_fd;
};

static int run(struct args *a, char *const *argv)
{
    STAMP_WORKSPACE_AUTO *ws = NULL;
    STAMP_SECRET_AUTO struct stamp_secret *passphrase = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    enum stamp_err rc;

    if (a->as != NULL) {
        return stamp_service_child(&a->setup, a->as);
    }
    rc = stamp_workspace_open(a->setup.dir, &ws, &err);
    if (rc == STAMP_OK) {
        rc =
            cli_passphrase(ws, a->has_fd ? (int)a->passphrase_fd : -1, &passphrase, &err);
    }
    stamp_workspace_close(&ws);
    if (rc == STAMP_OK) {
        rc = stamp_service_run(&a->setup, argv, passphrase, &err);
    }
    return rc == STAMP_OK ? CLI_DONE : cli_fail(&err);
}

static bool number(const char *text, uint64_t max, uint32_t *out)
{
    uint64_t n;

    if (!cli_number(text, 1, max, &n)) {
        return false;
    }
    *out = (uint32_t)n;
    return true;
}

/* What an option says; 0, or the status to end with. */
static int take(struct args *a, int opt)
{
    struct stamp_service_setup *s = &a->setup;

    switch (opt) {
    case 'l':
        s->listen = optarg;
        return 0;
    case 'T':
        s->http = optarg;
        return 0;
    case 'M':
        s->admin = optarg;
        return 0;
    case 'n':
        if (s->n_names == SERVICE_NAMES_MAX) {
            return cli_usage("serve", "more than %u names", SERVICE_NAMES_MAX);
        }
        s->name[s->n_names++] = optarg;
        return 0;
    case 'R': /* the processes inherit it */
        return setenv(STAMP_WORKSPACE_REGISTRY, optarg, 1) == 0
                   ? 0
                   : cli_usage("serve", "cannot take '%s'", optarg);
    case 'F':
        return number(optarg, SERVICE_FRONTS_MAX, &s->fronts)
                   ? 0
                   : cli_usage("serve", "'%s' is no number of 1 to %u", optarg,
                               SERVICE_FRONTS_MAX);
    case 'D':
        return number(optarg, SERVICE_DAYS_MAX, &s->days)
                   ? 0
                   : cli_usage("serve", "'%s' is no number of 1 to %u", optarg,
                               SERVICE_DAYS_MAX);
    case 'H':
        return number(optarg, PER_HOUR_MAX, &s->per_hour)
                   ? 0
                   : cli_usage("serve", "'%s' is no number of 1 to %u", optarg,
                               PER_HOUR_MAX);
    case 'r':
        return number(optarg, RATE_MAX, &s->rate)
                   ? 0
                   : cli_usage("serve", "'%s' is no number of 1 to %u", optarg, RATE_MAX);
    case 'b':
        return number(optarg, RATE_MAX, &s->batch_rate)
                   ? 0
                   : cli_usage("serve", "'%s' is no number of 1 to %u", optarg, RATE_MAX);
    case 'L':
        s->linking = true;
        return 0;
    case 'w':
        if (s->n_wrap == SERVICE_NAMES_MAX) {
            return cli_usage("serve", "more than %u labels", SERVICE_NAMES_MAX);
        }
        s->wrap[s->n_wrap++] = optarg;
        return 0;
    case 'K':
        s->plain_keys = optarg;
        return 0;
    case 'P':
        a->has_fd = true;
        return cli_number(optarg, 0, 1023, &a->passphrase_fd)
                   ? 0
                   : cli_usage("serve", "'%s' is no file descriptor", optarg);
    case 'C':
        s->dir = optarg;
        return 0;
    case 'A':
        a->as = optarg;
        return 0;
    default:
        return cli_bad_option("serve");
    }
}

int cmd_serve(int argc, char **argv)
{
    struct args a = {.setup = STAMP_SERVICE_SETUP_INIT};
    int opt;

    while ((opt = getopt_long(argc, argv, "l:n:C:h", options, NULL)) != -1) {
        int status = opt == 'h' ? cli_help(help) : take(&a, opt);

        if (opt == 'h' || status != 0) {
            return status;
        }
    }
    if (optind < argc) {
        a.setup.dir = argv[optind++];
    }
    if (optind != argc) {
        return cli_usage("serve", "'%s' is one argument too many", argv[optind]);
    }
    return run(&a, argv);
}

#include <getopt.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/batch.h"
#include "cli/online.h"
#include "host/batch_make.h"
#include "host/batch_online.h"
#include "host/batchfile.h"
#include "host/file.h"
#include "host/workspace_signer.h"

static const char help[] =
    "usage: stamp batch create --product P --count N --station CERT [OPTION]...\n"
    "\n"
    "Makes a batch of stamps, sealed to a station, and puts them on the books. Whatever\n"
    "breaks it off, the same command again goes on where it was. Prints\n"
    "BATCH<TAB>FILE<TAB>STAMPS.\n"
    "\n"
    "  -p, --product P         the workspace's product, as a check\n"
    "  -n, --count N           how many stamps\n"
    "  -s, --station CERT      who may open it: a certificate, PEM; up to 8 of them\n"
    "  -o, --output FILE       (default: the next free name in batches/ of the\n"
    "                          workspace); never overwritten\n"
    "      --note TEXT         goes into the file and on the books\n"
    "      --id ID             a name: the same command on several machines with one\n"
    "                          PostgreSQL makes one batch, a file each\n"
    "      --server URL        a service (stamp serve) makes it; FILE is fetched from "
    "there\n" CLI_ONLINE_HELP
    "      --threads N         that make stamps (default: one for each core)\n"
    "  -C, --dir DIR           the workspace\n"
    "      --passphrase-fd N   read the workspace's passphrase from file descriptor N\n"
    "  -h, --help              this\n";

static const struct option options[] = {
    {"product", required_argument, NULL, 'p'},
    {"count", required_argument, NULL, 'n'},
    {"station", required_argument, NULL, 's'},
    {"output", required_argument, NULL, 'o'},
    {"note", required_argument, NULL, 'N'},
    {"id", required_argument, NULL, 'I'},
    CLI_ONLINE_OPTIONS,
    {"threads", required_argument, NULL, 'T'},
    {"dir", required_argument, NULL, 'C'},
    {"passphrase-fd", required_argument, NULL, 'F'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

/* A line on a terminal is written this often, one elsewhere that often. */
#define TERMINAL_MS 200
#define PIPE_MS 5000
#define PATIENCE_S 300 /* for a service that is away, or makes another batch */

struct progress {
    bool terminal;
    bool begun;
    long long start_ms;
    long long told_ms;
    uint32_t before; /* what a former run had made */
};

struct args {
    struct stamp_batch_job job;
    const char *product;
    const char *station[STAMP_BATCH_RECIPIENTS_MAX];
    size_t n_stations;
    const char *dir;
    struct cli_online online; /* url NULL = made here */
    int fd;
};

static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
    (void)sig;
    stop = 1;
}

static long long now_ms(void)
{
    struct timespec t = {0, 0};

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void tell(void *ctx, uint32_t done, uint32_t total)
{
    struct progress *p = ctx;
    long long now = now_ms();
    double seconds;
    double rate;

    if (!p->begun) {
        p->begun = true;
        p->before = done;
        p->start_ms = now;
        p->told_ms = now;
        if (done > 0) {
            (void)fprintf(stderr, "going on behind %u stamps that are made\n", done);
        }
        return;
    }
    if (now - p->told_ms < (p->terminal ? TERMINAL_MS : PIPE_MS)) {
        return;
    }
    p->told_ms = now;
    seconds = (double)(now - p->start_ms) / 1000;
    rate = seconds > 0 ? (done - p->before) / seconds : 0;
    if (total > 0) {
        double left = rate > 0 ? (total - done) / rate : 0;

        (void)fprintf(stderr, "%s%u of %u stamps, %.0f/s, %.0f s left%s",
                      p->terminal ? "\r" : "", done, total, rate, left,
                      p->terminal ? "\033[K" : "\n");
    } else {
        (void)fprintf(stderr, "%s%u stamps, %.0f/s%s", p->terminal ? "\r" : "", done,
                      rate, p->terminal ? "\033[K" : "\n");
    }
}

/* The person at headquarters compares this with what the station says. */
static enum stamp_err show_station(X509 *cert, struct stamp_error *err)
{
    char name[256];
    uint8_t md[32];
    unsigned len = 0;

    if (X509_digest(cert, EVP_sha256(), md, &len) != 1) {
        return stamp_openssl_failed(err, "cannot compute a digest");
    }
    stamp_pki_name(cert, name, sizeof name);
    (void)fprintf(stderr, "sealed to %s, SHA-256 ", name);
    for (unsigned i = 0; i < len; i++) {
        (void)fprintf(stderr, "%02X%s", md[i], i + 1 < len ? ":" : "\n");
    }
    return STAMP_OK;
}

static enum stamp_err load_stations(const struct args *a, X509 **certs,
                                    struct stamp_error *err)
{
    for (size_t i = 0; i < a->n_stations; i++) {
        enum stamp_err rc = stamp_pki_load(a->station[i], &certs[i], err);

        if (rc == STAMP_OK) {
            rc = show_station(certs[i], err);
        }
        if (rc != STAMP_OK) {
            return rc;
        }
    }
    return STAMP_OK;
}

static enum stamp_err check_product(const struct args *a,
                                    const struct stamp_workspace *ws,
                                    struct stamp_error *err)
{
    if (strcmp(a->product, ws->profile->product) == 0) {
        return STAMP_OK;
    }
    (void)stamp_error_set(err, STAMP_E_CONFIG, 0, "the workspace is for '%s', not '%s'",
                          ws->profile->product, a->product);
    stamp_error_hint(err, "name that product's workspace with -C DIR");
    return STAMP_E_CONFIG;
}

static int end(const struct args *a, const struct progress *p, enum stamp_err rc,
               const struct stamp_batch_made *made, struct stamp_error *err)
{
    int status;

    (void)a;
    if (p->terminal && p->begun) {
        (void)fprintf(stderr, "\r\033[K");
    }
    if (rc == STAMP_OK) {
        (void)printf("%u\t%s\t%u\n", made->batch.id, made->path, made->count);
        return cli_flush(CLI_DONE);
    }
    if (made->batch.id != 0) {
        stamp_error_state(err, "batch %u is not finished; what was made is kept",
                          made->batch.id);
        stamp_error_hint(err, "run the same command again, it goes on there");
    }
    stamp_error_state(err, "nothing was made");
    status = cli_fail(err);
    if (rc == STAMP_E_MISSING && made->batch.id != 0) {
        return CLI_NOTHING_LEFT;
    }
    /* a wrong passphrase is no forgery */
    return status == CLI_RETRY ? status : CLI_FAILED;
}

static int create(struct args *a)
{
    STAMP_WORKSPACE_AUTO *ws = NULL;
    STAMP_ISSUER_AUTO *issuer = NULL;
    STAMP_SECRET_AUTO struct stamp_secret *passphrase = NULL;
    STAMP_PKEY_AUTO *key = NULL;
    STAMP_X509_AUTO *cert = NULL;
    X509 *stations[STAMP_BATCH_RECIPIENTS_MAX] = {NULL};
    struct stamp_error err = STAMP_ERROR_INIT;
    struct progress progress = {.terminal = isatty(STDERR_FILENO) == 1};
    struct stamp_batch_made made = {.count = 0};
    enum stamp_err rc = stamp_workspace_open(a->dir, &ws, &err);

    if (rc == STAMP_OK) {
        rc = check_product(a, ws, &err);
    }
    if (rc == STAMP_OK) {
        rc = load_stations(a, stations, &err);
    }
    if (rc == STAMP_OK) {
        rc = cli_passphrase(ws, a->fd, &passphrase, &err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_workspace_signer_key(ws, STAMP_ARC_BATCH_SIGNER, passphrase, &key,
                                        &cert, &err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_issuer_new(ws, passphrase, &issuer, &err);
    }
    if (rc == STAMP_OK) {
        a->job.stations = stations;
        a->job.n_stations = a->n_stations;
        a->job.key = key;
        a->job.certificate = cert;
        a->job.progress = tell;
        a->job.ctx = &progress;
        a->job.stop = &stop;
        rc = stamp_batch_make(ws, issuer, &a->job, &made, &err);
    }
    for (size_t i = 0; i < a->n_stations; i++) {
        X509_free(stations[i]);
    }
    return end(a, &progress, rc, &made, &err);
}

/* ---- made by a service ---- */

static int create_online(struct args *a)
{
    X509 *stations[STAMP_BATCH_RECIPIENTS_MAX] = {NULL};
    struct stamp_error err = STAMP_ERROR_INIT;
    struct progress progress = {.terminal = isatty(STDERR_FILENO) == 1};
    struct stamp_batch_online order = {.url = a->online.url,
                                       .path = a->job.path,
                                       .product = a->product,
                                       .note = a->job.note,
                                       .count = a->job.count,
                                       .stations = stations,
                                       .n_stations = a->n_stations,
                                       .patience_s = PATIENCE_S,
                                       .stop = &stop,
                                       .progress = tell,
                                       .ctx = &progress};
    struct stamp_batch_made made = {.count = a->job.count};
    enum stamp_err rc = cli_online_trust(&a->online, a->dir, &err);

    if (rc == STAMP_OK) {
        rc = cli_online_open(&a->online, a->dir, &err);
    }
    if (rc == STAMP_OK) {
        rc = load_stations(a, stations, &err);
    }
    if (rc == STAMP_OK) {
        order.trust = a->online.trust;
        order.https = a->online.https;
        rc = stamp_batch_order_online(&order, &made.batch.id, &err);
        (void)snprintf(made.path, sizeof made.path, "%s", a->job.path);
    }
    for (size_t i = 0; i < a->n_stations; i++) {
        X509_free(stations[i]);
    }
    cli_online_close(&a->online);
    return end(a, &progress, rc, &made, &err);
}

static int take_number(struct args *a, int opt)
{
    uint64_t number;

    if (opt == 'n') {
        if (!cli_number(optarg, 1, STAMP_REGISTRY_BATCH_MAX, &number)) {
            return cli_usage("batch create", "'%s' is no number of stamps", optarg);
        }
        a->job.count = (uint32_t)number;
    } else if (opt == 'T') {
        if (!cli_number(optarg, 1, 256, &number)) {
            return cli_usage("batch create", "'%s' is no number of threads", optarg);
        }
        a->job.threads = (unsigned)number;
    } else {
        if (!cli_number(optarg, 0, 65535, &number)) {
            return cli_usage("batch create", "'%s' is no file descriptor", optarg);
        }
        a->fd = (int)number;
    }
    return -1;
}

/* -1 = go on, else the exit status */
static int take(struct args *a, int opt)
{
    switch (opt) {
    case 'p':
        a->product = optarg;
        return -1;
    case 's':
        if (a->n_stations == STAMP_BATCH_RECIPIENTS_MAX) {
            return cli_usage("batch create", "a batch is for %u stations at most",
                             STAMP_BATCH_RECIPIENTS_MAX);
        }
        a->station[a->n_stations++] = optarg;
        return -1;
    case 'o':
        a->job.path = optarg;
        return -1;
    case 'N':
        a->job.note = optarg;
        return -1;
    case 'I':
        a->job.name = optarg;
        return -1;
    case 'C':
        a->dir = optarg;
        return -1;
    case 'n':
    case 'T':
    case 'F':
        return take_number(a, opt);
    case 'h':
        return cli_help(help);
    default:
        return cli_online_take(&a->online, opt, optarg) ? -1
                                                        : cli_bad_option("batch create");
    }
}

int batch_create(int argc, char **argv)
{
    struct args a = {.fd = -1};
    struct sigaction action;
    int opt;

    while ((opt = getopt_long(argc, argv, "p:n:s:o:C:h", options, NULL)) != -1) {
        int status = take(&a, opt);

        if (status >= 0) {
            return status;
        }
    }
    if (optind < argc) {
        return cli_usage("batch create", "'%s' is not understood", argv[optind]);
    }
    if (a.product == NULL || a.job.count == 0 || a.n_stations == 0) {
        return cli_usage("batch create", "%s is missing",
                         a.product == NULL  ? "--product P"
                         : a.job.count == 0 ? "--count N"
                                            : "--station CERT");
    }
    if (cli_online_check(&a.online, "batch create") != 0) {
        return CLI_USAGE;
    }
    if (a.online.url != NULL && a.job.path == NULL) {
        return cli_usage("batch create", "with --server, -o FILE is wanted");
    }
    if (a.online.url != NULL && (a.job.name != NULL || a.job.threads != 0)) {
        return cli_usage("batch create", "--id and --threads are not for a service");
    }
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    return a.online.url != NULL ? create_online(&a) : create(&a);
}

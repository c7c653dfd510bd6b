/* `stamp VERB`: the table of verbs. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/batch.h"
#include "cli/cli.h"
#include "cli/station.h"
#include "host/secret.h"

static const struct verb {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *what;
} verbs[] = {
    {"init", cmd_init, "make a workspace: profile, keys, certificates, books"},
    {"make", cmd_make, "make stamps"},
    {"show", cmd_show, "say what a stamp holds"},
    {"verify", cmd_verify, "say whether a stamp is authentic"},
    {"label", cmd_label, "draw a stamp's label"},
    {"flash", cmd_flash, "put a stamp on a board"},
    {"batch", cmd_batch, "make stamps in bulk, hand them out, settle"},
    {"order", cmd_order, "work orders for a station in a factory"},
    {"station", cmd_station, "a line in a factory: keys on the units, signed in a token"},
    {"reconcile", cmd_reconcile, "journals of stations against orders and books"},
    {"lock", cmd_lock, "lock a unit at a stage of its own"},
    {"registry", cmd_registry, "ask the books: list, show, export"},
    {"log", cmd_log, "the transparency log: heads, proofs, and whether it is whole"},
    {"serve", cmd_serve, "the service: devices enrol and renew over HTTPS"},
    {"revoke", cmd_revoke, "revoke a device, or its operational certificates"},
    {"crl", cmd_crl, "write the list of what is revoked"},
    {"ocsp", cmd_ocsp, "say, and sign, whether a device's certificates are good"},
    {"registrar", cmd_registrar, "who may ask the service in the name of devices"},
    {"apikey", cmd_apikey, "keys for programs that use the service's API"},
    {"token", cmd_token, "one-time tokens for devices that enrol with nothing else"},
    {"rotate", cmd_rotate, "renew a live device's operational identity"},
    {"prove", cmd_prove, "let a live device prove who it is"},
    {"claim", cmd_claim, "claim a live device with what is on its label"},
};
#define N_VERBS (sizeof verbs / sizeof *verbs)

static int print_help(void)
{
    (void)printf("usage: stamp [-C DIR] [--registry R] VERB ...\n\n");
    for (size_t i = 0; i < N_VERBS; i++) {
        (void)printf("  %-9s %s\n", verbs[i].name, verbs[i].what);
    }
    (void)printf("\n"
                 "  -C, --dir DIR    the workspace; else $DEVSTAMP_DIR, else here or "
                 "above\n"
                 "      --registry R  the books, a file or postgres://...; else "
                 "$DEVSTAMP_REGISTRY,\n"
                 "                   else the workspace's\n"
                 "      --pin-file F  of tokens with the workspace's keys, mode 0600; "
                 "else\n"
                 "                   $DEVSTAMP_PIN_FILE, else it is asked\n"
                 "  -h, --help       this; `stamp VERB --help` for one verb\n"
                 "      --version    the version\n"
                 "\n"
                 "Exit status: 0 done, 1 failed, 2 usage, 3 not authentic, 4 try again "
                 "later,\n"
                 "5 nothing left.\n");
    return cli_flush(CLI_DONE);
}

static int bad(const char *what, const char *arg)
{
    (void)fprintf(stderr, "stamp: %s '%s'\n  try: stamp --help\n", what, arg);
    return CLI_USAGE;
}

static int run_verb(int argc, char **argv)
{
    for (size_t i = 0; i < N_VERBS; i++) {
        if (strcmp(argv[0], verbs[i].name) == 0) {
            return verbs[i].run(argc, argv);
        }
    }
    return bad("there is no verb", argv[0]);
}

/* What an option before the verb stands for: it holds for all that is called. */
static const char *variable_of(const char *opt)
{
    if (strcmp(opt, "-C") == 0 || strcmp(opt, "--dir") == 0) {
        return STAMP_WORKSPACE_DIR;
    }
    if (strcmp(opt, "--pin-file") == 0) {
        return STAMP_WORKSPACE_PIN_FILE;
    }
    return strcmp(opt, "--registry") == 0 ? STAMP_WORKSPACE_REGISTRY : NULL;
}

int main(int argc, char **argv)
{
    int i = 1;

    /* a closed pipe or a file size limit is an error to report, not a death */
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN);
    (void)umask(077);
    stamp_secret_harden();
    for (; i < argc && argv[i][0] == '-'; i++) {
        const char *opt = argv[i];
        const char *variable;

        if (strcmp(opt, "-h") == 0 || strcmp(opt, "--help") == 0) {
            return print_help();
        }
        if (strcmp(opt, "--version") == 0) {
            (void)printf("stamp %s\n", STAMP_VERSION_TEXT);
            return cli_flush(CLI_DONE);
        }
        variable = variable_of(opt);
        if (variable == NULL) {
            return bad("there is no option", opt);
        }
        if (++i == argc) {
            return bad("a value is missing behind", opt);
        }
        if (setenv(variable, argv[i], 1) != 0) {
            return bad("cannot take", argv[i]);
        }
    }
    if (i == argc) {
        (void)fprintf(stderr, "stamp: a verb is missing\n  try: stamp --help\n");
        return CLI_USAGE;
    }
    return run_verb(argc - i, argv + i);
}

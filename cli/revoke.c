#include "host/registry_revoke.h"

#include <getopt.h>
#include <stdio.h>
#include <time.h>

#include "cli/online.h"

static const char help[] =
    "usage: stamp revoke [OPTION]... SERIAL --reason R\n"
    "\n"
    "Revokes a device for ever: it gets no certificate any more, and all of its\n"
    "certificates are on the lists of their authority (stamp crl, and what a running\n"
    "service answers). With --operational only its operational certificates: the device\n"
    "comes back with its birth key.\n"
    "\n"
    "  -r, --reason R          as RFC 5280 names it: unspecified, keyCompromise,\n"
    "                          affiliationChanged, superseded, cessationOfOperation,\n"
    "                          privilegeWithdrawn\n"
    "  -w, --why TEXT          for who reads the device's history\n"
    "      --operational       the operational certificates alone\n"
    "      --server URL        have a service do it (stamp serve)\n" CLI_ONLINE_HELP
    "  -C, --dir DIR           the workspace\n"
    "  -h, --help              this\n";

static const struct option options[] = {
    {"reason", required_argument, NULL, 'r'},
    {"why", required_argument, NULL, 'w'},
    {"operational", no_argument, NULL, 'O'},
    {"dir", required_argument, NULL, 'C'},
    CLI_ONLINE_OPTIONS,
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

struct args {
    const char *serial, *why, *dir;
    enum stamp_reason reason;
    bool has_reason, operational;
    struct cli_online online; /* url NULL = the books are at hand */
};

static int done(const struct args *a, size_t n)
{
    if (a->operational) {
        (void)printf("%s\t%zu operational certificates revoked: %s\n", a->serial, n,
                     stamp_reason_name(a->reason));
    } else {
        (void)printf("%s\trevoked: %s\n", a->serial, stamp_reason_name(a->reason));
    }
    return cli_flush(CLI_DONE);
}

static int revoke_online(struct args *a)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    json_t *answer = NULL;
    size_t n = 0;
    enum stamp_err rc = cli_online_open(&a->online, a->dir, &err);

    if (rc == STAMP_OK) {
        rc = cli_online_post(
            &a->online, STAMP_SERVICE_DEVICES, a->serial, "/revoke",
            json_pack("{s:s, s:s, s:b}", "reason", stamp_reason_name(a->reason), "why",
                      a->why == NULL ? "" : a->why, "operational", a->operational),
            &answer, &err);
    }
    if (rc == STAMP_OK) {
        n = (size_t)json_integer_value(json_object_get(answer, "certificates"));
    }
    json_decref(answer);
    cli_online_close(&a->online);
    return rc == STAMP_OK ? done(a, n) : cli_fail(&err);
}

static int revoke(const struct args *a)
{
    STAMP_REGISTRY_AUTO *r = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    size_t n = 0;
    enum stamp_err rc = cli_books(a->dir, &r, &err);

    if (rc == STAMP_OK && a->operational) {
        rc = stamp_registry_revoke_operational(r, a->serial, a->reason, time(NULL), &n,
                                               &err);
    } else if (rc == STAMP_OK) {
        rc = stamp_registry_revoke(r, a->serial, a->reason, time(NULL),
                                   a->why != NULL ? a->why : stamp_reason_name(a->reason),
                                   &err);
    }
    if (rc != STAMP_OK) {
        stamp_error_state(&err, "nothing was revoked");
        return cli_fail(&err);
    }
    return done(a, n);
}

int cmd_revoke(int argc, char **argv)
{
    struct args a = {.serial = NULL};
    int opt;

    while ((opt = getopt_long(argc, argv, "r:w:C:h", options, NULL)) != -1) {
        switch (opt) {
        case 'r':
            if (!stamp_reason_parse(optarg, &a.reason)) {
                return cli_usage("revoke", "'%s' is no reason of RFC 5280", optarg);
            }
            a.has_reason = true;
            break;
        case 'w':
            a.why = optarg;
            break;
        case 'O':
            a.operational = true;
            break;
        case 'C':
            a.dir = optarg;
            break;
        case 'h':
            return cli_help(help);
        default:
            if (cli_online_take(&a.online, opt, optarg)) {
                break;
            }
            return cli_bad_option("revoke");
        }
    }
    if (optind + 1 != argc) {
        return cli_usage("revoke", "say one serial");
    }
    a.serial = argv[optind];
    if (!a.has_reason) {
        return cli_usage("revoke", "say why: --reason R");
    }
    if (cli_online_check(&a.online, "revoke") != 0) {
        return CLI_USAGE;
    }
    return a.online.url != NULL ? revoke_online(&a) : revoke(&a);
}

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"

static const char help[] =
    "usage: stamp init [OPTION]... [DIR]\n"
    "\n"
    "Makes a workspace in DIR (here, if not given): a profile, the owner's key, a root,\n"
    "a sub-CA, a trust bundle and the books. Its purpose is development, for ever.\n"
    "\n"
    "  -c, --company C         company name (default: Example)\n"
    "  -p, --product P         product name (default: Product)\n"
    "      --registry URL      keep the books in PostgreSQL: postgres://...\n"
    "      --production        for production; its keys are sealed with a passphrase\n"
    "      --keys URI          make owner key, root and sub-CA in a token instead:\n"
    "                          pkcs11:token=T; its PIN as stamp(1) says\n"
    "      --passphrase-fd N   read the passphrase from file descriptor N\n"
    "  -h, --help              this\n";

static const struct option options[] = {
    {"company", required_argument, NULL, 'c'},
    {"product", required_argument, NULL, 'p'},
    {"registry", required_argument, NULL, 'R'},
    {"production", no_argument, NULL, 'P'},
    {"keys", required_argument, NULL, 'K'},
    {"passphrase-fd", required_argument, NULL, 'F'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

/* From a terminal it is asked twice: nobody can read a sealed key with a typing error. */
static enum stamp_err ask(int fd, struct stamp_secret **out, struct stamp_error *err)
{
    STAMP_SECRET_AUTO struct stamp_secret *again = NULL;
    enum stamp_err rc = stamp_secret_ask(out, fd, "New passphrase of the workspace", err);

    if (rc != STAMP_OK || fd >= 0) {
        return rc;
    }
    rc = stamp_secret_ask(&again, fd, "The same again", err);
    if (rc == STAMP_OK && !stamp_secret_equal(*out, again)) {
        rc = stamp_error_set(err, STAMP_E_RANGE, 0, "the two passphrases differ");
    }
    return rc;
}

int cmd_init(int argc, char **argv)
{
    STAMP_SECRET_AUTO struct stamp_secret *passphrase = NULL;
    struct stamp_workspace_setup setup = {
        .company = "Example", .product = "Product", .purpose = STAMP_DEVELOPMENT};
    struct stamp_error err = STAMP_ERROR_INIT;
    const char *dir = ".";
    uint64_t fd = 0;
    bool has_fd = false;
    const char *where = getenv(STAMP_WORKSPACE_REGISTRY);
    enum stamp_err rc = STAMP_OK;
    int opt;

    while ((opt = getopt_long(argc, argv, "c:p:h", options, NULL)) != -1) {
        switch (opt) {
        case 'c':
            setup.company = optarg;
            break;
        case 'p':
            setup.product = optarg;
            break;
        case 'R':
            setup.registry = optarg;
            break;
        case 'K':
            setup.keys = optarg;
            break;
        case 'P':
            setup.purpose = STAMP_PRODUCTION;
            break;
        case 'F':
            if (!cli_number(optarg, 0, 65535, &fd)) {
                return cli_usage("init", "'%s' is no file descriptor", optarg);
            }
            has_fd = true;
            break;
        case 'h':
            return cli_help(help);
        default:
            return cli_bad_option("init");
        }
    }
    if (argc - optind > 1) {
        return cli_usage("init", "more than one directory");
    }
    dir = optind < argc ? argv[optind] : dir;
    if (setup.registry == NULL && where != NULL && stamp_registry_is_url(where)) {
        setup.registry = where; /* all other verbs would look there */
    }
    if (setup.purpose == STAMP_PRODUCTION) {
        rc = ask(has_fd ? (int)fd : -1, &passphrase, &err);
        setup.passphrase = passphrase;
    } else if (has_fd) {
        return cli_usage("init", "--passphrase-fd goes with --production");
    }
    if (rc == STAMP_OK) {
        rc = stamp_workspace_create(dir, &setup, &err);
    }
    if (rc != STAMP_OK) {
        stamp_error_state(&err, "nothing was made");
        /* another purpose is no forgery */
        return cli_fail(&err) == CLI_RETRY ? CLI_RETRY : CLI_FAILED;
    }
    (void)printf("A workspace for %s is in '%s'. Its profile is %s%sdevstamp.yaml.\n",
                 setup.purpose == STAMP_PRODUCTION ? "production" : "development", dir,
                 dir[0] == '.' && dir[1] == '\0' ? "" : dir,
                 dir[0] == '.' && dir[1] == '\0' ? "" : "/");
    return cli_flush(CLI_DONE);
}

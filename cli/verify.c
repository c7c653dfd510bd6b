#include "host/verify.h"

#include <getopt.h>
#include <stdio.h>

#include "cli/cli.h"
#include "host/rest.h"

static const char help[] =
    "usage: stamp verify [OPTION]... FILE...\n"
    "\n"
    "Says whether stamps are authentic: signed by whom we trust, whole, and with "
    "nothing\n"
    "changed. Trust is the workspace's root or --trust; what is inside a file is never\n"
    "trusted. Prints FILE<TAB>VERDICT a file.\n"
    "\n"
    "Exit status: 0 all are authentic; 1 one cannot be read; 3 one is not authentic "
    "(also\n"
    "where another cannot be read).\n"
    "\n"
    "  -t, --trust PEM         trust the certificates in this file\n"
    "      --offset N          the partition begins at byte N of FILE\n"
    "      --root-key FILE     the device's root key, where the stamp rests encrypted\n"
    "  -C, --dir DIR           the workspace\n"
    "  -h, --help              this\n";

static const struct option options[] = {
    {"trust", required_argument, NULL, 't'},    {"offset", required_argument, NULL, 'O'},
    {"root-key", required_argument, NULL, 'K'}, {"dir", required_argument, NULL, 'C'},
    {"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0},
};

struct args {
    const char *pem;
    const char *dir;
    const char *root_key;
    int64_t offset;
};

static int verify_one(const struct args *a, const char *path,
                      const struct stamp_trust *trust,
                      const struct stamp_secret *root_key)
{
    STAMP_IMAGE_AUTO *img = NULL;
    struct stamp_identity id;
    struct stamp_error err = STAMP_ERROR_INIT;
    enum stamp_err rc = stamp_imagefile_load(path, a->offset, root_key, &img, &err);

    if (rc == STAMP_OK) {
        rc = stamp_verify_image(img, trust, &id, &err);
    }
    if (rc == STAMP_OK) {
        (void)printf("%s\tauthentic: %s, %s%s\n", path, id.serial,
                     id.purpose == STAMP_PRODUCTION ? "production" : "development",
                     id.bound ? "" : ", unbound: only serial and key are certified");
        return CLI_DONE;
    }
    (void)printf("%s\t%s: %s\n", path,
                 stamp_verify_refused(rc) ? "not authentic" : "unreadable", err.what);
    if (err.hint[0] != '\0') {
        (void)fflush(stdout);
        (void)fprintf(stderr, "  try: %s\n", err.hint);
    }
    return stamp_verify_refused(rc) ? CLI_NOT_AUTHENTIC : CLI_FAILED;
}

static int verify(const struct args *a, char **files, int n)
{
    STAMP_TRUST_AUTO *trust = NULL;
    STAMP_SECRET_AUTO struct stamp_secret *root_key = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    int worst = CLI_DONE;
    enum stamp_err rc = cli_trust(a->pem, a->dir, &trust, &err);

    if (rc == STAMP_E_MISSING && a->pem == NULL) {
        return cli_usage("verify", "whom to trust? there is no workspace and no --trust");
    }
    if (rc == STAMP_OK && a->root_key != NULL) {
        rc = stamp_rest_load(a->root_key, &root_key, &err);
    }
    if (rc != STAMP_OK) {
        (void)cli_fail(&err);
        return CLI_FAILED;
    }
    for (int i = 0; i < n; i++) {
        int status = verify_one(a, files[i], trust, root_key);

        worst = status > worst ? status : worst; /* 3 over 1 over 0 */
    }
    return cli_flush(worst);
}

int cmd_verify(int argc, char **argv)
{
    struct args a = {.offset = -1};
    uint64_t offset;
    int opt;

    while ((opt = getopt_long(argc, argv, "t:C:h", options, NULL)) != -1) {
        switch (opt) {
        case 't':
            a.pem = optarg;
            break;
        case 'O':
            if (!cli_number(optarg, 0, STAMP_IMAGE_MAX, &offset)) {
                return cli_usage("verify", "'%s' is no offset", optarg);
            }
            a.offset = (int64_t)offset;
            break;
        case 'K':
            a.root_key = optarg;
            break;
        case 'C':
            a.dir = optarg;
            break;
        case 'h':
            return cli_help(help);
        default:
            return cli_bad_option("verify");
        }
    }
    if (optind == argc) {
        return cli_usage("verify", "a FILE is missing");
    }
    return verify(&a, argv + optind, argc - optind);
}

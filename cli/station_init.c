/* `stamp station init`: a station's keys and requests, then what headquarters answers. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/station.h"
#include "host/file.h"
#include "station/site.h"

static const char help[] =
    "usage: stamp station init DIR --token URI [OPTION]...\n"
    "       stamp station init DIR --cert FILE\n"
    "\n"
    "Makes a station: finds or makes its three keys in the token, and writes requests\n"
    "for certificates to DIR/station.csr, for headquarters (stamp station enrol). With\n"
    "--cert takes in what headquarters answered.\n"
    "\n"
    "  -t, --token URI         pkcs11:token=LABEL, the station's token\n"
    "  -c, --cert FILE         the answer of headquarters\n"
    "      --piv               the token is a YubiKey or another PIV: its keys in the "
    "slots\n"
    "                          9c (CA), 9d (box) and 9a (journal) are taken. It keeps "
    "no\n"
    "                          count of the units that were begun: docs/tokens.md\n"
    "      --suffix TEXT       of the keys' names, where others are in the token\n"
    "      --use-limit N       signatures the token allows ever, where it knows that\n"
    "      --pin-fd N          read the PIN from file descriptor N\n"
    "      --pin-file F        the same from a file (mode 0600)\n"
    "  -h, --help              this\n";

static const struct option options[] = {
    {"token", required_argument, NULL, 't'},
    {"cert", required_argument, NULL, 'c'},
    {"suffix", required_argument, NULL, 's'},
    {"use-limit", required_argument, NULL, 'u'},
    {"pin-fd", required_argument, NULL, 'P'},
    {"pin-file", required_argument, NULL, 'Q'},
    {"piv", no_argument, NULL, 'V'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int print_requests(const char *dir, bool piv, const bool made[STAMP_STATION_KEYS])
{
    static const char *const names[STAMP_STATION_KEYS] = {"ca", "box", "journal"};
    struct stamp_error err = STAMP_ERROR_INIT;
    char path[PATH_MAX];
    uint8_t *text = NULL;
    size_t len;

    (void)snprintf(path, sizeof path, "%s/" STAMP_SITE_CSR, dir);
    if (stamp_file_read(path, 65536, &text, &len, &err) != STAMP_OK) {
        return cli_fail(&err);
    }
    for (int i = 0; i < STAMP_STATION_KEYS; i++) {
        (void)fprintf(stderr, "stamp: key %s: %s in the token\n", names[i],
                      made[i] ? "made" : "found");
    }
    (void)fwrite(text, 1, len, stdout);
    free(text);
    if (piv) {
        (void)fprintf(stderr,
                      "stamp: this token keeps no count of the units: a copy of "
                      "'%s' that goes on is found by headquarters, not here\n",
                      dir);
    }
    (void)fprintf(stderr, "stamp: send '%s' to headquarters: stamp station enrol\n",
                  path);
    return cli_flush(CLI_DONE);
}

static int enrol(const char *dir, const char *cert)
{
    STAMP_SITE_AUTO site;
    struct stamp_error err = STAMP_ERROR_INIT;
    enum stamp_err rc = stamp_site_open(dir, &site, &err);

    if (rc == STAMP_OK) {
        rc = stamp_site_enrol(&site, cert, &err);
    }
    if (rc != STAMP_OK) {
        return station_fail(&err, "nothing was changed");
    }
    (void)printf("enrolled for %s; owner ",
                 site.cert.purpose == STAMP_PRODUCTION ? "production" : "development");
    for (size_t i = 0; i < sizeof site.cert.owner_hash; i++) {
        (void)printf("%02x", site.cert.owner_hash[i]);
    }
    (void)printf("\n");
    (void)fprintf(stderr, "stamp: compare the owner with what headquarters says: this "
                          "station now takes orders of nobody else\n");
    return cli_flush(CLI_DONE);
}

int station_init(int argc, char **argv)
{
    struct stamp_site_setup setup = {.pin = {.fd = -1}};
    struct stamp_error err = STAMP_ERROR_INIT;
    bool made[STAMP_STATION_KEYS];
    const char *cert = NULL;
    uint64_t number;
    int opt;

    while ((opt = getopt_long(argc, argv, "t:c:h", options, NULL)) != -1) {
        switch (opt) {
        case 't':
            setup.token = optarg;
            break;
        case 'c':
            cert = optarg;
            break;
        case 's':
            setup.suffix = optarg;
            break;
        case 'V':
            setup.piv = true;
            break;
        case 'u':
            if (!cli_number(optarg, 1, UINT32_MAX, &number)) {
                return cli_usage("station init", "'%s' is no number of uses", optarg);
            }
            setup.limit = (uint32_t)number;
            break;
        case 'P':
            if (!cli_number(optarg, 0, 65535, &number)) {
                return cli_usage("station init", "'%s' is no file descriptor", optarg);
            }
            setup.pin.fd = (int)number;
            break;
        case 'Q':
            setup.pin.file = optarg;
            break;
        case 'h':
            return cli_help(help);
        default:
            return cli_bad_option("station init");
        }
    }
    setup.dir = station_operand("station init", "directory", argc, argv);
    if (setup.dir == NULL) {
        return CLI_USAGE;
    }
    if (cert != NULL) {
        return enrol(setup.dir, cert);
    }
    if (setup.token == NULL || !stamp_token_is_uri(setup.token)) {
        return cli_usage("station init", "give the token: --token pkcs11:token=LABEL");
    }
    if (setup.piv && (setup.suffix != NULL || setup.limit > 0)) {
        return cli_usage("station init", "the keys of a PIV have no names and no limits");
    }
    if (stamp_site_init(&setup, made, &err) != STAMP_OK) {
        return station_fail(&err, "what was made in the token stays there, and is found "
                                  "again");
    }
    return print_requests(setup.dir, setup.piv, made);
}

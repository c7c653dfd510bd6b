#include <getopt.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "host/barcode.h"
#include "host/json.h"
#include "host/pki.h"

static const char help[] =
    "usage: stamp show [OPTION]... FILE|SERIAL\n"
    "\n"
    "Says what a stamp holds; whether it is authentic, `stamp verify` says. Secrets are\n"
    "hidden unless asked for.\n"
    "\n"
    "  -j, --json              JSON, for programs\n"
    "      --secrets           with the proof of possession, secret barcodes and the\n"
    "                          private provisioning key\n"
    "      --offset N          the partition begins at byte N of FILE\n"
    "      --root-key FILE     the device's root key, where the stamp rests encrypted\n"
    "  -C, --dir DIR           the workspace\n"
    "  -h, --help              this\n";

static const struct option options[] = {
    {"json", no_argument, NULL, 'j'},
    {"secrets", no_argument, NULL, 'S'},
    {"offset", required_argument, NULL, 'O'},
    {"root-key", required_argument, NULL, 'K'},
    {"dir", required_argument, NULL, 'C'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static void line(const char *name, struct stamp_slice s)
{
    if (s.p != NULL) {
        (void)printf("%-20s ", name);
        cli_print_text(s.p, s.len);
        (void)putchar('\n');
    }
}

static void print_barcodes(const struct stamp_barcode *b, size_t n, bool hidden)
{
    for (size_t i = 0; i < n; i++) {
        const char *symbology =
            stamp_symbology_name((enum stamp_symbology)b[i].symbology);

        (void)printf("%-20s %.*s, %s: ", "barcode", (int)b[i].name.len,
                     (const char *)b[i].name.p, symbology);
        if (hidden) {
            (void)printf("(secret)\n");
        } else {
            cli_print_text(b[i].payload.p, b[i].payload.len);
            (void)putchar('\n');
        }
    }
}

static void print_fields(const struct stamp *s)
{
    for (size_t i = 0; i < s->n_fields; i++) {
        const struct stamp_field *f = &s->fields[i];

        (void)printf("%-20s %.*s: ", "field", (int)f->name.len, (const char *)f->name.p);
        if (f->type == STAMP_FIELD_TEXT) {
            (void)printf("%.*s\n", (int)f->text.len, (const char *)f->text.p);
        } else if (f->type == STAMP_FIELD_INT) {
            (void)printf("%lld\n", (long long)f->number);
        } else {
            (void)printf("%s\n", f->number != 0 ? "true" : "false");
        }
    }
}

static void print_certificates(const struct stamp *s)
{
    for (size_t i = 0; i < s->n_certificates; i++) {
        STAMP_X509_AUTO *cert = NULL;
        char name[256] = "(not X.509)";

        if (stamp_pki_decode(s->certificates[i], &cert, NULL) == STAMP_OK) {
            stamp_pki_name(cert, name, sizeof name);
        }
        (void)printf("%-20s ", i == 0 ? "certificate" : "  issued by");
        cli_print_text(name, strlen(name));
        (void)putchar('\n');
    }
}

static void print_keys(const struct stamp *s, bool secrets)
{
    static const char *const where[] = {"in the stamp", "in a PSA key slot",
                                        "in a secure element"};

    (void)printf("%-20s P-256, %s\n", "device key", where[s->key_where]);
    if (s->has_provisioning_key) {
        (void)printf("%-20s P-256, %s\n", "provisioning key",
                     s->provisioning_kind == STAMP_PROVISIONING_OWN ? "the device's own"
                                                                    : "a peer's");
    }
    if (secrets && s->provisioning_private.p != NULL) {
        (void)printf("%-20s ", "  private");
        for (size_t i = 0; i < s->provisioning_private.len; i++) {
            (void)printf("%02x", s->provisioning_private.p[i]);
        }
        (void)printf("\n");
    }
    if (s->pop.p != NULL && !secrets) {
        (void)printf("%-20s (secret)\n", "proof of possession");
    } else {
        line("proof of possession", s->pop);
    }
}

static int print_plain(const struct stamp_image *img, bool secrets)
{
    struct stamp s;
    char made_at[21];

    stamp_json_current(img, &s);
    stamp_json_time(s.made_at, made_at);
    line("serial", s.serial);
    line("company", s.company);
    line("product", s.product);
    line("model", s.model);
    line("hardware revision", s.hardware_revision);
    (void)printf("%-20s %s\n", "purpose",
                 s.purpose == STAMP_PRODUCTION ? "production" : "development");
    (void)printf("%-20s %s\n", "made at", made_at);
    print_keys(&s, secrets);
    print_certificates(&s);
    (void)printf("%-20s %s\n", "bound",
                 stamp_json_bound(img) ? "yes"
                                       : "no: the certificate names only serial "
                                         "and key");
    print_barcodes(s.barcodes, s.n_barcodes, false);
    print_barcodes(s.secret_barcodes, s.n_secret_barcodes, !secrets);
    print_fields(&s);
    (void)printf("%-20s %s, %s\n", "state", img->locked ? "locked" : "not locked",
                 stamp_image_bank(img) == NULL ? "as it was born"
                 : s.claimed                   ? "rotated since, claimed"
                                               : "rotated since");
    OPENSSL_cleanse(&s, sizeof s);
    return cli_flush(CLI_DONE);
}

static int print_json(const struct stamp_image *img, bool secrets)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    json_t *json = NULL;
    int status = CLI_DONE;

    if (stamp_json(img, secrets, &json, &err) != STAMP_OK) {
        return cli_fail(&err);
    }
    if (json_dumpf(json, stdout, JSON_INDENT(2)) != 0) {
        status = CLI_FAILED;
    }
    json_decref(json);
    (void)printf("\n");
    return cli_flush(status);
}

int cmd_show(int argc, char **argv)
{
    STAMP_IMAGE_AUTO *img = NULL;
    struct cli_source src = {.offset = -1};
    struct stamp_error err = STAMP_ERROR_INIT;
    bool json = false;
    bool secrets = false;
    uint64_t offset;
    int opt;

    while ((opt = getopt_long(argc, argv, "jC:h", options, NULL)) != -1) {
        switch (opt) {
        case 'j':
            json = true;
            break;
        case 'S':
            secrets = true;
            break;
        case 'O':
            if (!cli_number(optarg, 0, STAMP_IMAGE_MAX, &offset)) {
                return cli_usage("show", "'%s' is no offset", optarg);
            }
            src.offset = (int64_t)offset;
            break;
        case 'K':
            src.root_key = optarg;
            break;
        case 'C':
            src.workspace = optarg;
            break;
        case 'h':
            return cli_help(help);
        default:
            return cli_bad_option("show");
        }
    }
    if (argc - optind != 1) {
        return cli_usage("show", "one FILE or SERIAL is wanted");
    }
    src.what = argv[optind];
    if (cli_open_stamp(&src, &img, &err) != STAMP_OK) {
        (void)cli_fail(&err);
        return CLI_FAILED;
    }
    return json ? print_json(img, secrets) : print_plain(img, secrets);
}

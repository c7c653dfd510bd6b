#include "host/label.h"

#include <getopt.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "host/json.h"

static const char help[] =
    "usage: stamp label [OPTION]... FILE|SERIAL -o F.svg|F.png\n"
    "\n"
    "Draws a stamp's label: product, serial, and the barcodes that the stamp holds. A\n"
    "file with a secret code has mode 0600.\n"
    "\n"
    "  -o, --output FILE       ends in .svg or .png; replaced where it is there\n"
    "      --public            leave secret codes out\n"
    "      --offset N          the partition begins at byte N of FILE\n"
    "      --root-key FILE     the device's root key, where the stamp rests encrypted\n"
    "  -C, --dir DIR           the workspace\n"
    "  -h, --help              this\n";

static const struct option options[] = {
    {"output", required_argument, NULL, 'o'},
    {"public", no_argument, NULL, 'P'},
    {"offset", required_argument, NULL, 'O'},
    {"root-key", required_argument, NULL, 'K'},
    {"dir", required_argument, NULL, 'C'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

/* NUL-terminated copies of the stamp's texts, in one block that is wiped. */
struct texts {
    char *block;
    size_t size;
    size_t used;
};

static const char *keep(struct texts *t, struct stamp_slice s)
{
    char *p = t->block + t->used;

    if (s.p == NULL) {
        return NULL;
    }
    memcpy(p, s.p, s.len);
    p[s.len] = '\0';
    t->used += s.len + 1;
    return p;
}

static void add_codes(struct texts *t, const struct stamp_barcode *b, size_t n,
                      bool secret, struct stamp_label_code *codes, size_t *n_codes)
{
    for (size_t i = 0; i < n; i++) {
        struct stamp_label_code *c = &codes[(*n_codes)++];

        c->name = keep(t, b[i].name);
        c->symbology = (enum stamp_symbology)b[i].symbology;
        c->payload = keep(t, b[i].payload);
        c->secret = secret;
    }
}

static enum stamp_err draw(const struct stamp *s, bool public_only, const char *path,
                           size_t *n_secret, struct stamp_error *err)
{
    struct stamp_label_code codes[2 * STAMP_MAX_BARCODES];
    struct stamp_label label = {.codes = codes};
    struct texts t = {.size = (size_t)2 * STAMP_MAX_LEN};
    enum stamp_err rc;

    t.block = malloc(t.size); /* texts and NULs of a stamp, which is shorter than half */
    if (t.block == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, 0, "out of memory");
    }
    label.serial = keep(&t, s->serial);
    label.company = keep(&t, s->company);
    label.product = keep(&t, s->product);
    label.model = keep(&t, s->model);
    label.hardware_revision = keep(&t, s->hardware_revision);
    add_codes(&t, s->barcodes, s->n_barcodes, false, codes, &label.n_codes);
    *n_secret = public_only ? 0 : s->n_secret_barcodes;
    add_codes(&t, s->secret_barcodes, *n_secret, true, codes, &label.n_codes);
    rc = stamp_label_draw(&label, path, err);
    OPENSSL_cleanse(t.block, t.size);
    free(t.block);
    return rc;
}

static int label(const struct cli_source *src, bool public_only, const char *path)
{
    STAMP_IMAGE_AUTO *img = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp s;
    size_t n_secret = 0;
    enum stamp_err rc = cli_open_stamp(src, &img, &err);

    if (rc == STAMP_OK) {
        stamp_json_current(img, &s);
        rc = draw(&s, public_only, path, &n_secret, &err);
        OPENSSL_cleanse(&s, sizeof s);
    }
    if (rc != STAMP_OK) {
        (void)cli_fail(&err);
        return CLI_FAILED;
    }
    (void)printf("%s%s\n", path,
                 n_secret > 0 ? "\tholds secret codes: only its owner may read it" : "");
    return cli_flush(CLI_DONE);
}

int cmd_label(int argc, char **argv)
{
    struct cli_source src = {.offset = -1};
    const char *path = NULL;
    bool public_only = false;
    uint64_t offset;
    int opt;

    while ((opt = getopt_long(argc, argv, "o:C:h", options, NULL)) != -1) {
        switch (opt) {
        case 'o':
            path = optarg;
            break;
        case 'P':
            public_only = true;
            break;
        case 'O':
            if (!cli_number(optarg, 0, STAMP_IMAGE_MAX, &offset)) {
                return cli_usage("label", "'%s' is no offset", optarg);
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
            return cli_bad_option("label");
        }
    }
    if (argc - optind != 1 || path == NULL) {
        return cli_usage("label", "%s is wanted",
                         path == NULL ? "-o FILE" : "one FILE or SERIAL");
    }
    src.what = argv[optind];
    return label(&src, public_only, path);
}

/* The profile that a new workspace begins with: it explains itself, and it loads. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/file.h"
#include "host/profile.h"

static const char head[] =
    "# devstamp profile: what the stamp of every device of this product holds.\n"
    "# Lines that begin with '#' say what else there is; each shows its default.\n"
    "# Try it: stamp make, stamp show, stamp label.\n"
    "\n";

static const char body[] =
    "# model: M1                   # up to 64 bytes; left out where there is none\n"
    "# hardware_revision: A2       # up to 32 bytes\n"
    "\n"
    "serial:\n"
    "  # Text, and in braces: {year} {yy} {month} {day} {week} {yyyymmdd} (UTC, ISO "
    "week),\n"
    "  # {counter:WIDTH} or {counter:WIDTH:BASE} (base 10, 16, 32), {random:LENGTH}, and "
    "last\n"
    "  # {luhn} (Luhn mod 36 check character) or {luhn:10}. {{ and }} are literal "
    "braces.\n"
    "  pattern: \"SN-{year}{week}-{counter:6}{luhn}\"\n"
    "  # alphabet: " STAMP_ALPHABET_DEFAULT "   # of {random}\n"
    "\n"
    "certificate:                  # IEEE 802.1AR: an identity for the life of the "
    "device\n"
    "  validity_days: 0            # 0: no end (99991231235959Z)\n"
    "  pen: 0                      # your IANA private enterprise number; 0: none\n"
    "  # hardware_type_oid: 1.3.6.1.4.1.99999.1   # of HardwareModuleName\n"
    "  subject:                    # serialNumber is always there\n"
    "    common_name: \"{serial}\"   # {serial} {company} {product} {model} "
    "{hardware_revision}\n"
    "    # organization: Example   # the company where left out\n"
    "    # organizational_unit: Sensors\n"
    "    # country: FR             # two capital letters\n"
    "\n"
    "proof_of_possession:          # drawn at random for each device, printed on its "
    "label\n"
    "  alphabet: " STAMP_ALPHABET_DEFAULT "   # no 0 O 1 I\n"
    "  length: 12                  # 4 to 64; at least 32 bits\n"
    "  # escrow: owner-pop.pem     # the books keep a copy, sealed to this certificate;\n"
    "                              # left out: none is kept\n"
    "\n"
    "provisioning_key:             # the key that a phone app knows from the label\n"
    "  kind: device                # device: the device's own pair; peer: somebody "
    "else's\n"
    "                              # public key; none\n"
    "  # public_key_file: peer.pem # of kind peer; beside this file\n"
    "\n"
    "partition:                    # where the stamp lies in flash; sizes as 4096, 4KiB, "
    "1MiB\n"
    "  offset: 0                   # at the start of a sector\n"
    "  birth_size: 8KiB            # written once; whole sectors\n"
    "  bank_size: 4KiB             # each of two, for what rotates; whole sectors\n"
    "  erase_size: 4KiB            # one sector\n"
    "  program_size: 4             # bytes that are programmed at once, 1 to 64\n"
    "  erased_value: 0xFF          # of an erased byte: 0xFF or 0x00\n"
    "\n"
    "# Up to 8. symbology: qr, datamatrix, code128. payload: one of the words\n"
    "#   serial   the serial number\n"
    "#   dpp      Wi-Fi Easy Connect URI of the provisioning key; `info: TEMPLATE` adds "
    "I:\n"
    "#   claim    serial, key and proof of possession, for `stamp claim`; secret\n"
    "#   esp      JSON for Espressif's provisioning apps; secret. With `esp:` and under "
    "it\n"
    "#            name, transport (ble, softap), security (0, 1, 2), username, password, "
    "network\n"
    "# or a template with {serial} {company} {product} {model} {hardware_revision} "
    "{pop}\n"
    "# {dpp_key} {key_hash} {field.NAME}. With {pop} it is secret: its label is a 0600 "
    "file.\n"
    "barcodes:\n"
    "  - name: serial\n"
    "    symbology: datamatrix\n"
    "    payload: serial\n"
    "  - name: dpp\n"
    "    symbology: qr\n"
    "    payload: dpp\n"
    "  - name: claim\n"
    "    symbology: qr\n"
    "    payload: claim\n"
    "\n"
    "# Up to 16 values of your own, the same in every stamp: text, whole number, true or "
    "false.\n"
    "# fields:\n"
    "#   site: Lyon\n"
    "#   batch: \"007\"\n";

static enum stamp_err check_text(const char *what, const char *text,
                                 struct stamp_error *err)
{
    size_t len = strlen(text);

    if (len < 1 || len > STAMP_MAX_TEXT) {
        return stamp_error_set(err, STAMP_E_RANGE, 0, "the %s must have 1 to %u bytes",
                               what, STAMP_MAX_TEXT);
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c < 0x20 || c == 0x7F) {
            return stamp_error_set(err, STAMP_E_RANGE, 0,
                                   "the %s has a control character", what);
        }
    }
    return STAMP_OK;
}

/* A double-quoted YAML scalar. `out` has room for twice the text and its quotes. */
static void quote(const char *text, char out[2 * STAMP_MAX_TEXT + 3])
{
    *out++ = '"';
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            *out++ = '\\';
        }
        *out++ = *text;
    }
    *out++ = '"';
    *out = '\0';
}

enum stamp_err stamp_profile_write_default(const char *path, const char *company,
                                           const char *product, struct stamp_error *err)
{
    char company_quoted[2 * STAMP_MAX_TEXT + 3];
    char product_quoted[2 * STAMP_MAX_TEXT + 3];
    struct stamp_profile *again = NULL;
    char *text = NULL;
    enum stamp_err rc = check_text("company", company, err);
    int len;

    if (rc == STAMP_OK) {
        rc = check_text("product", product, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    quote(company, company_quoted);
    quote(product, product_quoted);
    len = asprintf(&text, "%scompany: %s\nproduct: %s\n%s", head, company_quoted,
                   product_quoted, body);
    if (len < 0) {
        return stamp_error_set(err, STAMP_E_NOMEM, 0, "out of memory");
    }
    /* Bytes that are no UTF-8 show here, before anything is on the disk. */
    rc = stamp_profile_parse(text, (size_t)len, path, &again, NULL);
    stamp_profile_free(&again);
    if (rc != STAMP_OK) {
        rc = stamp_error_set(err, STAMP_E_RANGE, 0,
                             "the company or the product is not text in UTF-8");
    } else {
        rc = stamp_file_write(path, text, (size_t)len, STAMP_FILE_PUBLIC, false, err);
    }
    free(text);
    return rc;
}

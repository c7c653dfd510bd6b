/* From YAML to the profile: defaults, and the rules that no schema can say. */
#include <stdio.h>
#include <string.h>

#include "host/profile_yaml.h"

#define POP_LENGTH 12u
#define POP_LENGTH_MIN 4u
#define POP_BITS_MIN 32.0
#define VALIDITY_DAYS_MAX 36500u
#define KIB 1024u

static enum stamp_err fill_serial(struct stamp_profile *p, struct stamp_error *err)
{
    const struct yaml_serial *y = &p->own->yaml->serial;
    struct stamp_error inner = STAMP_ERROR_INIT;

    p->serial_text = y->pattern;
    if (stamp_serial_parse(&p->serial, y->pattern, y->alphabet, &inner) != STAMP_OK) {
        /* The alphabet is judged first; the default one is never wrong. */
        const char *path =
            y->alphabet != NULL && strncmp(inner.what, "the serial's alphabet", 21) == 0
                ? "serial.alphabet"
                : "serial.pattern";

        return stampi_doc_fail_at(&p->own->doc, path, err, "%s", inner.what);
    }
    return STAMP_OK;
}

/* Dotted decimal; the first arc is 0..2, the second under 40 after 0 and 1; arcs under
 * 2^31, since some readers of certificates take no larger ones. */
static bool oid_ok(const char *text)
{
    unsigned arcs = 0;
    uint64_t first = 0;

    for (;;) {
        size_t len = strcspn(text, ".");
        char arc[12];
        uint64_t value;

        if (len == 0 || len >= sizeof arc) {
            return false;
        }
        memcpy(arc, text, len);
        arc[len] = '\0';
        if (arc[1] == 'x' || !stampi_number(arc, &value) || value > INT32_MAX) {
            return false;
        }
        first = arcs == 0 ? value : first;
        if (first > 2 || (arcs == 1 && first < 2 && value > 39)) {
            return false;
        }
        arcs++;
        if (text[len] == '\0') {
            return arcs >= 3 && arcs <= 20;
        }
        text += len + 1;
    }
}

/* A serial of the pattern, to try templates with. No time is read: a profile is right or
 * wrong whatever the day. */
static enum stamp_err sample_serial(const struct stamp_profile *p,
                                    char serial[STAMP_SERIAL_SIZE],
                                    struct stamp_error *err)
{
    return stamp_serial_format(&p->serial, 0, 0, serial, STAMP_SERIAL_SIZE, err);
}

static enum stamp_err check_subject(struct stamp_profile *p, struct stamp_error *err)
{
    const struct stamp_profile_certificate *c = &p->certificate;
    struct stamp_error inner = STAMP_ERROR_INIT;
    struct stamp_barcode_vars vars;
    char serial[STAMP_SERIAL_SIZE];
    char name[65];

    if (c->country != NULL && (c->country[0] < 'A' || c->country[0] > 'Z' ||
                               c->country[1] < 'A' || c->country[1] > 'Z')) {
        return stampi_doc_fail_at(&p->own->doc, "certificate.subject.country", err,
                                  "'country' must be two capital letters");
    }
    if (sample_serial(p, serial, err) != STAMP_OK) {
        return STAMP_E_CRYPTO;
    }
    stamp_profile_vars(p, &vars);
    vars.serial = serial;
    if (stamp_template_fill(c->common_name, &vars, name, sizeof name, &inner) !=
        STAMP_OK) {
        return stampi_doc_fail_at(
            &p->own->doc, "certificate.subject.common_name", err, "common_name: %s",
            inner.code == STAMP_E_SPACE ? "it becomes longer than 64 bytes" : inner.what);
    }
    return STAMP_OK;
}

static enum stamp_err fill_certificate(struct stamp_profile *p, struct stamp_error *err)
{
    static const struct yaml_subject no_subject;
    const struct yaml_certificate *y = p->own->yaml->certificate;
    const struct yaml_subject *s =
        y == NULL || y->subject == NULL ? &no_subject : y->subject;
    struct stamp_profile_certificate *c = &p->certificate;

    c->organization = s->organization != NULL ? s->organization : p->company;
    c->organizational_unit = s->organizational_unit;
    c->common_name = s->common_name != NULL ? s->common_name : "{serial}";
    c->country = s->country;
    if (y != NULL) {
        c->validity_days = y->validity_days;
        c->pen = y->pen;
        c->hardware_type_oid = y->hardware_type_oid;
    }
    if (c->validity_days > VALIDITY_DAYS_MAX) {
        return stampi_doc_fail_at(&p->own->doc, "certificate.validity_days", err,
                                  "'validity_days' must be at most %u; 0 is for ever",
                                  VALIDITY_DAYS_MAX);
    }
    if (c->pen > INT32_MAX) {
        return stampi_doc_fail_at(&p->own->doc, "certificate.pen", err,
                                  "'pen' must be at most %d", INT32_MAX);
    }
    if (c->hardware_type_oid != NULL && !oid_ok(c->hardware_type_oid)) {
        return stampi_doc_fail_at(&p->own->doc, "certificate.hardware_type_oid", err,
                                  "'hardware_type_oid' must be an object identifier, as "
                                  "1.3.6.1.4.1.99999.1");
    }
    return check_subject(p, err);
}

static enum stamp_err check_alphabet(struct stamp_profile *p, struct stamp_error *err)
{
    const char *a = p->pop.alphabet;

    for (size_t i = 0; a[i] != '\0'; i++) {
        if (a[i] <= ' ' || a[i] > '~') {
            return stampi_doc_fail_at(
                &p->own->doc, "proof_of_possession.alphabet", err,
                "'alphabet' may hold printable ASCII without the space "
                "only");
        }
        if (strchr(a + i + 1, a[i]) != NULL) {
            return stampi_doc_fail_at(&p->own->doc, "proof_of_possession.alphabet", err,
                                      "'alphabet' has '%c' twice", a[i]);
        }
    }
    return STAMP_OK;
}

static enum stamp_err fill_pop(struct stamp_profile *p, struct stamp_error *err)
{
    const struct yaml_pop *y = p->own->yaml->proof_of_possession;
    struct stamp_profile_pop *pop = &p->pop;
    double bits;

    pop->alphabet =
        y != NULL && y->alphabet != NULL ? y->alphabet : STAMP_ALPHABET_DEFAULT;
    pop->length = y != NULL && y->length != NULL ? *y->length : POP_LENGTH;
    pop->escrow_file = y == NULL ? NULL : y->escrow;
    if (pop->length < POP_LENGTH_MIN || pop->length > STAMP_MAX_TEXT) {
        return stampi_doc_fail_at(&p->own->doc, "proof_of_possession.length", err,
                                  "'length' must be %u to %u", POP_LENGTH_MIN,
                                  STAMP_MAX_TEXT);
    }
    if (check_alphabet(p, err) != STAMP_OK) {
        return STAMP_E_CONFIG;
    }
    bits = stamp_alphabet_bits(strlen(pop->alphabet), pop->length);
    if (bits < POP_BITS_MIN) {
        return stampi_doc_fail_at(
            &p->own->doc, "proof_of_possession", err,
            "%u of %zu characters can be guessed: %d bits, and at least "
            "%d are wanted",
            pop->length, strlen(pop->alphabet), (int)bits, (int)POP_BITS_MIN);
    }
    return STAMP_OK;
}

static enum stamp_err fill_provisioning(struct stamp_profile *p, struct stamp_error *err)
{
    const struct yaml_provisioning *y = p->own->yaml->provisioning_key;

    p->provisioning = y == NULL ? STAMP_PROFILE_KEY_DEVICE : y->kind;
    p->peer_key_file = y == NULL ? NULL : y->public_key_file;
    if (p->provisioning == STAMP_PROFILE_KEY_PEER && p->peer_key_file == NULL) {
        return stampi_doc_fail_at(&p->own->doc, "provisioning_key", err,
                                  "'public_key_file' is missing: kind peer needs it");
    }
    if (p->provisioning != STAMP_PROFILE_KEY_PEER && p->peer_key_file != NULL) {
        return stampi_doc_fail_at(&p->own->doc, "provisioning_key.public_key_file", err,
                                  "'public_key_file' is for kind peer only");
    }
    return STAMP_OK;
}

/* A number, or one with KiB or MiB behind it. */
static bool parse_size(const char *text, uint32_t *out)
{
    size_t len = strcspn(text, "KM ");
    const char *unit = text + len + strspn(text + len, " ");
    uint64_t factor = 1;
    uint64_t value;
    char number[24];

    if (strcmp(unit, "KiB") == 0) {
        factor = KIB;
    } else if (strcmp(unit, "MiB") == 0) {
        factor = (uint64_t)KIB * KIB;
    } else if (text[len] != '\0') {
        return false;
    }
    if (len >= sizeof number) {
        return false;
    }
    memcpy(number, text, len);
    number[len] = '\0';
    if (!stampi_number(number, &value) || value > UINT32_MAX / factor) {
        return false;
    }
    *out = (uint32_t)(value * factor);
    return true;
}

static enum stamp_err fill_size(struct stamp_profile *p, const char *path,
                                const char *text, uint32_t *out, struct stamp_error *err)
{
    char shown[48];

    if (text == NULL || parse_size(text, out)) {
        return STAMP_OK;
    }
    return stampi_doc_fail_at(
        &p->own->doc, path, err,
        "'%s' must be a size, as 4096, 0x1000, 4KiB or 1MiB; '%s' is not",
        strrchr(path, '.') + 1, stampi_shown(text, shown));
}

static bool power_of_two(uint32_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

static enum stamp_err check_partition(struct stamp_profile *p, uint32_t program_size,
                                      uint32_t erased, struct stamp_error *err)
{
    const struct stamp_profile_partition *t = &p->partition;
    struct stampi_doc *doc = &p->own->doc;

    if (!power_of_two(program_size) || program_size > 64) {
        return stampi_doc_fail_at(doc, "partition.program_size", err,
                                  "'program_size' must be 1, 2, 4, 8, 16, 32 or 64");
    }
    if (erased != 0 && erased != 0xFF) {
        return stampi_doc_fail_at(doc, "partition.erased_value", err,
                                  "'erased_value' must be 0x00 or 0xFF");
    }
    if (!power_of_two(t->erase_size) || t->erase_size < 512) {
        return stampi_doc_fail_at(doc, "partition.erase_size", err,
                                  "'erase_size' must be a power of two, 512 or more");
    }
    if (t->birth_size == 0 || t->birth_size % t->erase_size != 0) {
        return stampi_doc_fail_at(doc, "partition.birth_size", err,
                                  "'birth_size' must be whole sectors of %u bytes",
                                  t->erase_size);
    }
    if (t->bank_size == 0 || t->bank_size % t->erase_size != 0) {
        return stampi_doc_fail_at(doc, "partition.bank_size", err,
                                  "'bank_size' must be whole sectors of %u bytes",
                                  t->erase_size);
    }
    if (t->offset % t->erase_size != 0) {
        return stampi_doc_fail_at(doc, "partition.offset", err,
                                  "'offset' must be at the start of a sector of %u bytes",
                                  t->erase_size);
    }
    if ((uint64_t)t->offset + t->birth_size + 2 * (uint64_t)t->bank_size > UINT32_MAX) {
        return stampi_doc_fail_at(doc, "partition", err,
                                  "the partition ends beyond 4 GiB");
    }
    return STAMP_OK;
}

static enum stamp_err fill_partition(struct stamp_profile *p, struct stamp_error *err)
{
    static const struct yaml_partition nothing;
    const struct yaml_partition *y =
        p->own->yaml->partition == NULL ? &nothing : p->own->yaml->partition;
    struct stamp_profile_partition *t = &p->partition;
    uint32_t program_size = y->program_size == NULL ? 4 : *y->program_size;
    uint32_t erased = y->erased_value == NULL ? 0xFF : *y->erased_value;
    enum stamp_err rc;

    t->erase_size = 4 * KIB;
    rc = fill_size(p, "partition.erase_size", y->erase_size, &t->erase_size, err);
    /* Where nothing is said, at least one sector, however large that is. */
    t->birth_size = t->erase_size > 8 * KIB ? t->erase_size : 8 * KIB;
    t->bank_size = t->erase_size > 4 * KIB ? t->erase_size : 4 * KIB;
    if (rc == STAMP_OK) {
        rc = fill_size(p, "partition.offset", y->offset, &t->offset, err);
    }
    if (rc == STAMP_OK) {
        rc = fill_size(p, "partition.birth_size", y->birth_size, &t->birth_size, err);
    }
    if (rc == STAMP_OK) {
        rc = fill_size(p, "partition.bank_size", y->bank_size, &t->bank_size, err);
    }
    if (rc == STAMP_OK) {
        rc = check_partition(p, program_size, erased, err);
    }
    t->program_size = (uint16_t)program_size;
    t->erased_value = (uint8_t)erased;
    return rc;
}

enum stamp_err stampi_profile_fill(struct stamp_profile *p, struct stamp_error *err)
{
    static enum stamp_err (*const parts[])(struct stamp_profile *,
                                           struct stamp_error *) = {
        fill_serial,       stampi_profile_fields, fill_certificate,        fill_pop,
        fill_provisioning, fill_partition,        stampi_profile_barcodes,
    };
    enum stamp_err rc = STAMP_OK;

    p->company = p->own->yaml->company;
    p->product = p->own->yaml->product;
    p->model = p->own->yaml->model;
    p->hardware_revision = p->own->yaml->hardware_revision;
    for (size_t i = 0; rc == STAMP_OK && i < sizeof parts / sizeof *parts; i++) {
        rc = parts[i](p, err);
    }
    return rc;
}

/* Barcodes of a label, through libzint: from the payload to dark rectangles. */
#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <zint.h>

#include "host/label_own.h"

#define UTF8_ECI 26
#define QR_LEVEL_M 2
#define BAR_HEIGHT 30.0f     /* modules, where the bar's height is ours to choose */
#define VECTOR_UNITS 2.0f    /* libzint's vector units in a module */
#define SIZE_WANTED 260u     /* dots: 22 mm */
#define MATRIX_MODULE_MIN 4u /* 0.34 mm: for cheap printers and old phones */
#define MATRIX_MODULE_MAX 8u
#define BAR_MODULE_MIN 2u /* 0.17 mm */
#define BAR_MODULE_MAX 4u

static bool ascii(const char *text, bool printable)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text > 0x7E || (printable && (unsigned char)*text < 0x20)) {
            return false;
        }
    }
    return true;
}

/* Quiet zones: QR 4 modules (ISO 18004), Data Matrix 1 (ISO 16022, two here), Code 128 10
 * at the sides (ISO 15417). */
static void set_up(struct zint_symbol *s, const struct stamp_label_code *src,
                   struct stampi_code *code)
{
    /* Bytes as they are. Where they are more than ASCII, the code says that they are
     * UTF-8. */
    s->input_mode = DATA_MODE;
    s->eci = ascii(src->payload, false) ? 0 : UTF8_ECI;
    s->show_hrt = 0;
    s->output_options |= BARCODE_NO_QUIET_ZONES;
    switch (src->symbology) {
    case STAMP_DATA_MATRIX:
        s->symbology = BARCODE_DATAMATRIX;
        s->option_3 = DM_SQUARE;
        code->quiet_x = 2;
        code->quiet_y = 2;
        break;
    case STAMP_CODE128:
        s->symbology = BARCODE_CODE128;
        s->height = BAR_HEIGHT;
        code->quiet_x = 10;
        code->quiet_y = 1;
        break;
    case STAMP_QR:
    default:
        s->symbology = BARCODE_QRCODE;
        s->option_1 = QR_LEVEL_M;
        code->quiet_x = 4;
        code->quiet_y = 4;
        break;
    }
}

/* Modules as large as is good, and small enough to fit. */
static enum stamp_err set_size(const struct stamp_label_code *src, uint32_t columns,
                               uint32_t rows, struct stampi_code *code,
                               struct stamp_error *err)
{
    bool bars = src->symbology == STAMP_CODE128;
    uint32_t least = bars ? BAR_MODULE_MIN : MATRIX_MODULE_MIN;
    uint32_t most = bars ? BAR_MODULE_MAX : MATRIX_MODULE_MAX;
    uint32_t across = columns + 2 * code->quiet_x;
    uint32_t module = (bars ? STAMPI_INNER : SIZE_WANTED) / across;

    module = module < least ? least : module;
    module = module > most ? most : module;
    if (across * module > STAMPI_INNER) {
        (void)stamp_error_set(err, STAMP_E_SPACE, 0,
                              "the barcode '%s' (%s, %zu bytes) is wider than the label",
                              src->name, stamp_symbology_name(src->symbology),
                              strlen(src->payload));
        stamp_error_hint(err, "use qr or datamatrix in the profile");
        return STAMP_E_SPACE;
    }
    code->module = module;
    code->width = across * module;
    code->height = (rows + 2 * code->quiet_y) * module;
    return STAMP_OK;
}

static enum stamp_err take_rects(const struct zint_vector *vector,
                                 struct stampi_code *code, struct stamp_error *err)
{
    size_t n = 0;

    for (const struct zint_vector_rect *r = vector->rectangles; r != NULL; r = r->next) {
        n++;
    }
    code->rects = calloc(n + 1, sizeof *code->rects);
    if (code->rects == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    for (const struct zint_vector_rect *r = vector->rectangles; r != NULL; r = r->next) {
        code->rects[code->n_rects++] = (struct stampi_rect){
            (double)(r->x / VECTOR_UNITS), (double)(r->y / VECTOR_UNITS),
            (double)(r->width / VECTOR_UNITS), (double)(r->height / VECTOR_UNITS)};
    }
    return STAMP_OK;
}

static enum stamp_err encode(struct zint_symbol *s, const struct stamp_label_code *src,
                             struct stampi_code *code, struct stamp_error *err)
{
    size_t len = strlen(src->payload);
    unsigned char *payload;
    enum stamp_err rc;
    int status;

    set_up(s, src, code);
    payload = malloc(len + 1);
    if (payload == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    memcpy(payload, src->payload, len + 1);
    status = ZBarcode_Encode_and_Buffer_Vector(s, payload, (int)len, 0);
    OPENSSL_cleanse(payload, len);
    free(payload);
    if (status == ZINT_ERROR_TOO_LONG) {
        return stamp_error_set(err, STAMP_E_SPACE, status,
                               "the barcode '%s' has %zu bytes: too large for %s",
                               src->name, len, stamp_symbology_name(src->symbology));
    }
    /* libzint's own words may quote the payload, and that may be secret: not shown. */
    if (status >= ZINT_ERROR || s->vector == NULL) {
        return stamp_error_set(
            err, status == ZINT_ERROR_MEMORY ? STAMP_E_NOMEM : STAMP_E_FORMAT, status,
            "cannot encode the barcode '%s' as %s (%d)", src->name,
            stamp_symbology_name(src->symbology), status);
    }
    rc = set_size(src, (uint32_t)(s->vector->width / VECTOR_UNITS + 0.5f),
                  (uint32_t)(s->vector->height / VECTOR_UNITS + 0.5f), code, err);
    return rc == STAMP_OK ? take_rects(s->vector, code, err) : rc;
}

enum stamp_err stampi_code_encode(const struct stamp_label_code *src,
                                  struct stampi_code *code, struct stamp_error *err)
{
    struct zint_symbol *s;
    enum stamp_err rc;

    memset(code, 0, sizeof *code);
    if (src->payload[0] == '\0' || *stamp_symbology_name(src->symbology) == '\0') {
        return stamp_error_set(err, STAMP_E_RANGE, 0, "the barcode '%s' is empty",
                               src->name);
    }
    if (src->symbology == STAMP_CODE128 && !ascii(src->payload, true)) {
        return stamp_error_set(
            err, STAMP_E_FORMAT, 0,
            "the barcode '%s' has a character that code128 cannot carry", src->name);
    }
    s = ZBarcode_Create();
    if (s == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    rc = encode(s, src, code, err);
    OPENSSL_cleanse(s->encoded_data, sizeof s->encoded_data);
    OPENSSL_cleanse(s->text, sizeof s->text);
    ZBarcode_Delete(s);
    return rc;
}

void stampi_code_fini(struct stampi_code *code)
{
    if (code->rects != NULL) {
        OPENSSL_cleanse(code->rects, code->n_rects * sizeof *code->rects);
    }
    free(code->rects);
    memset(code, 0, sizeof *code);
}

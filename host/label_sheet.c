/*
 * Where everything on a label goes. A first code that is narrow enough stands at the
 * upper left with the text beside it; the other codes follow in rows. Quiet zones are
 * part of the codes' sizes, so nothing comes into them.
 */
#include <math.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "host/label_own.h"

#define GAP 18u         /* dots between things, 1.5 mm */
#define BESIDE_MAX 300u /* a wider first code does not leave room for text beside it */
#define CAPTION_SIZE 26.0
#define CAPTION_LEAST 18.0
#define CAPTION_LINES 2u

struct style {
    double most;
    double least;
    size_t lines;
    bool bold;
    bool mono;
};

static uint32_t up(double dots)
{
    return (uint32_t)ceil(dots);
}

/* A surface to measure on: the same fonts and no hinting, so SVG and PNG agree. */
static cairo_t *measure_new(void)
{
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_A8, 1, 1);
    cairo_t *cr = cairo_create(surface);
    cairo_font_options_t *options = cairo_font_options_create();

    cairo_surface_destroy(surface);
    cairo_font_options_set_hint_style(options, CAIRO_HINT_STYLE_NONE);
    cairo_font_options_set_hint_metrics(options, CAIRO_HINT_METRICS_OFF);
    cairo_set_font_options(cr, options);
    cairo_font_options_destroy(options);
    return cr;
}

static enum stamp_err encode_codes(const struct stamp_label *label,
                                   struct stampi_sheet *sheet, cairo_t *cr,
                                   struct stamp_error *err)
{
    for (size_t i = 0; i < label->n_codes; i++) {
        const struct stamp_label_code *src = &label->codes[i];
        struct stampi_code *code = &sheet->code[i];
        enum stamp_err rc = stampi_code_encode(src, code, err);

        sheet->n_codes = i + 1;
        if (rc != STAMP_OK) {
            return rc;
        }
        code->caption.text = src->name;
        rc = stampi_text_fit(cr, &code->caption, (double)code->width, CAPTION_SIZE,
                             CAPTION_LEAST, CAPTION_LINES, err);
        if (rc != STAMP_OK) {
            return rc;
        }
    }
    return STAMP_OK;
}

static enum stamp_err add_text(struct stampi_sheet *sheet, cairo_t *cr, const char *text,
                               double width, const struct style *style,
                               struct stamp_error *err)
{
    struct stampi_text *t = &sheet->text[sheet->n_texts];

    if (text == NULL || *text == '\0') {
        return STAMP_OK;
    }
    t->text = text;
    t->bold = style->bold;
    t->mono = style->mono;
    sheet->n_texts++;
    return stampi_text_fit(cr, t, width, style->most, style->least, style->lines, err);
}

static enum stamp_err add_texts(const struct stamp_label *label,
                                struct stampi_sheet *sheet, cairo_t *cr, double width,
                                struct stamp_error *err)
{
    static const struct style product = {42.0, 26.0, 2, true, false};
    static const struct style company = {30.0, 22.0, 2, false, false};
    static const struct style model = {28.0, 22.0, 2, false, false};
    static const struct style serial = {38.0, 24.0, 2, true, true};
    const char *m = label->model == NULL ? "" : label->model;
    const char *h = label->hardware_revision == NULL ? "" : label->hardware_revision;
    enum stamp_err rc;

    (void)snprintf(sheet->model, sizeof sheet->model, "%s%s%s%s", m,
                   *m != '\0' && *h != '\0' ? ", " : "", *h != '\0' ? "rev. " : "", h);
    (void)snprintf(sheet->serial, sizeof sheet->serial, "S/N %s", label->serial);
    rc = add_text(sheet, cr, label->product, width, &product, err);
    if (rc == STAMP_OK) {
        rc = add_text(sheet, cr, label->company, width, &company, err);
    }
    if (rc == STAMP_OK) {
        rc = add_text(sheet, cr, sheet->model, width, &model, err);
    }
    return rc == STAMP_OK ? add_text(sheet, cr, sheet->serial, width, &serial, err) : rc;
}

static uint32_t texts_height(const struct stampi_sheet *sheet)
{
    double height = 0.0;

    for (size_t i = 0; i < sheet->n_texts; i++) {
        height += stampi_text_height(&sheet->text[i]) + 4.0;
    }
    return up(height);
}

/* A code with its caption. */
static uint32_t cell_height(const struct stampi_code *code)
{
    return code->height + up(stampi_text_height(&code->caption));
}

/* One row from `first` on: as many as fit, spread evenly. Returns the first of the next
 * row. */
static size_t place_row(struct stampi_sheet *sheet, size_t first, uint32_t y,
                        uint32_t *tall)
{
    uint32_t used = 0;
    uint32_t space;
    uint32_t x;
    size_t n = 0;

    while (first + n < sheet->n_codes &&
           used + sheet->code[first + n].width <= STAMPI_INNER) {
        used += sheet->code[first + n].width + GAP;
        n++;
    }
    used -= (uint32_t)n * GAP;
    space = (STAMPI_INNER - used) / ((uint32_t)n + 1);
    x = STAMPI_MARGIN + space;
    *tall = 0;
    for (size_t i = first; i < first + n; i++) {
        sheet->code[i].x = x;
        sheet->code[i].y = y;
        x += sheet->code[i].width + space;
        *tall =
            cell_height(&sheet->code[i]) > *tall ? cell_height(&sheet->code[i]) : *tall;
    }
    return first + n;
}

static enum stamp_err place(const struct stamp_label *label, struct stampi_sheet *sheet,
                            cairo_t *cr, struct stamp_error *err)
{
    bool beside = sheet->n_codes > 0 && sheet->code[0].width <= BESIDE_MAX;
    uint32_t left = beside ? sheet->code[0].width + GAP : 0;
    uint32_t y = STAMPI_MARGIN;
    uint32_t tall = 0;
    enum stamp_err rc = add_texts(label, sheet, cr, (double)(STAMPI_INNER - left), err);

    if (rc != STAMP_OK) {
        return rc;
    }
    sheet->text_x = STAMPI_MARGIN + left;
    sheet->text_y = y;
    tall = texts_height(sheet);
    if (beside) {
        sheet->code[0].x = STAMPI_MARGIN;
        sheet->code[0].y = y;
        tall = cell_height(&sheet->code[0]) > tall ? cell_height(&sheet->code[0]) : tall;
    }
    y += tall;
    for (size_t i = beside ? 1 : 0; i < sheet->n_codes;) {
        y += GAP;
        i = place_row(sheet, i, y, &tall);
        y += tall;
    }
    sheet->height = y + STAMPI_MARGIN;
    return STAMP_OK;
}

enum stamp_err stampi_sheet_lay(const struct stamp_label *label,
                                struct stampi_sheet *sheet, struct stamp_error *err)
{
    cairo_t *cr;
    enum stamp_err rc;

    memset(sheet, 0, sizeof *sheet);
    if (label->n_codes > STAMPI_CODES_MAX) {
        return stamp_error_set(err, STAMP_E_RANGE, 0, "a label has at most %zu barcodes",
                               STAMPI_CODES_MAX);
    }
    if (label->serial == NULL || *label->serial == '\0' || strlen(label->serial) > 128) {
        return stamp_error_set(err, STAMP_E_RANGE, 0, "a label needs a serial");
    }
    cr = measure_new();
    rc = encode_codes(label, sheet, cr, err);
    if (rc == STAMP_OK) {
        rc = place(label, sheet, cr, err);
    }
    cairo_destroy(cr);
    return rc;
}

static void draw_code(cairo_t *cr, const struct stampi_code *code)
{
    double m = (double)code->module;
    double x = (double)(code->x + code->quiet_x * code->module);
    double y = (double)(code->y + code->quiet_y * code->module);

    /* One path and one fill: no hairlines between modules, in whatever program shows it.
     */
    for (size_t i = 0; i < code->n_rects; i++) {
        const struct stampi_rect *r = &code->rects[i];

        cairo_rectangle(cr, x + r->x * m, y + r->y * m, r->width * m, r->height * m);
    }
    cairo_fill(cr);
    stampi_text_draw(cr, &code->caption, (double)code->x,
                     (double)(code->y + code->height), (double)code->width);
}

void stampi_sheet_draw(cairo_t *cr, const struct stampi_sheet *sheet)
{
    cairo_font_options_t *options = cairo_font_options_create();
    double y = (double)sheet->text_y;

    cairo_font_options_set_hint_style(options, CAIRO_HINT_STYLE_NONE);
    cairo_font_options_set_hint_metrics(options, CAIRO_HINT_METRICS_OFF);
    cairo_set_font_options(cr, options);
    cairo_font_options_destroy(options);
    cairo_set_source_rgb(cr, 1.0, 1.0, 1.0);
    cairo_paint(cr);
    cairo_set_source_rgb(cr, 0.0, 0.0, 0.0);
    for (size_t i = 0; i < sheet->n_texts; i++) {
        stampi_text_draw(cr, &sheet->text[i], (double)sheet->text_x, y, 0.0);
        y += stampi_text_height(&sheet->text[i]) + 4.0;
    }
    for (size_t i = 0; i < sheet->n_codes; i++) {
        draw_code(cr, &sheet->code[i]);
    }
}

void stampi_sheet_fini(struct stampi_sheet *sheet)
{
    for (size_t i = 0; i < sheet->n_codes; i++) {
        stampi_code_fini(&sheet->code[i]);
    }
    OPENSSL_cleanse(sheet, sizeof *sheet);
}

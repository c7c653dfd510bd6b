/*
 * How a label is made, shared by the files of host/label: a code of modules, a text that
 * fits, and where everything goes. The unit is the dot, 1/300 inch, in PNG and SVG alike.
 */
#ifndef HOST_LABEL_OWN_H
#define HOST_LABEL_OWN_H

#include <cairo.h>
#include <stddef.h>
#include <stdint.h>

#include "host/barcode.h"
#include "host/label.h"

#define STAMPI_DOTS_PER_INCH 300.0
#define STAMPI_LABEL_WIDTH 732u /* 62 mm */
#define STAMPI_MARGIN 30u       /* 2.5 mm */
#define STAMPI_INNER (STAMPI_LABEL_WIDTH - 2u * STAMPI_MARGIN)
#define STAMPI_LINES 8u
#define STAMPI_CODES_MAX ((size_t)2 * STAMP_MAX_BARCODES)

/* A dark area of a code, in modules. */
struct stampi_rect {
    double x;
    double y;
    double width;
    double height;
};

/** Text broken into lines that fit a width. */
struct stampi_text {
    const char *text; /* borrowed */
    struct {
        size_t at;
        size_t len;
    } line[STAMPI_LINES];
    size_t n_lines;
    double size; /* dots of the font's body */
    bool bold;
    bool mono;
};

/** One barcode: its modules, its size with quiet zone, its place, its caption. */
struct stampi_code {
    struct stampi_rect *rects;
    size_t n_rects;
    uint32_t module;  /* dots of one module */
    uint32_t quiet_x; /* modules on each side */
    uint32_t quiet_y;
    uint32_t width; /* dots, quiet zone included */
    uint32_t height;
    uint32_t x; /* of the upper left corner of the quiet zone */
    uint32_t y;
    struct stampi_text caption; /* under it, centred */
};

/** The whole label, laid out. */
struct stampi_sheet {
    struct stampi_code code[STAMPI_CODES_MAX];
    size_t n_codes;
    struct stampi_text text[4]; /* product, company, model, serial */
    size_t n_texts;
    char model[160];
    char serial[160];
    uint32_t text_x;
    uint32_t text_y;
    uint32_t height; /* of the label */
};

/** Encode one payload with libzint. On failure `code` holds nothing to free. */
STAMP_MUST_USE enum stamp_err stampi_code_encode(const struct stamp_label_code *src,
                                                 struct stampi_code *code,
                                                 struct stamp_error *err);

/** Wipe and free the modules. */
void stampi_code_fini(struct stampi_code *code);

/**
 * Break `t->text` into lines of at most `width` dots, in the largest size of
 * `least`..`most` that needs no more than `lines` of them; at `least`, as many as it
 * takes.
 *
 * @retval STAMP_E_SPACE   longer than STAMPI_LINES lines
 * @retval STAMP_E_FORMAT  not text in UTF-8
 */
STAMP_MUST_USE enum stamp_err stampi_text_fit(cairo_t *cr, struct stampi_text *t,
                                              double width, double most, double least,
                                              size_t lines, struct stamp_error *err);

/** Dots that the lines take from top to bottom. */
double stampi_text_height(const struct stampi_text *t);

/** Draw with the upper left corner at x, y; or each line centred in `width` where that is
 * not 0. */
void stampi_text_draw(cairo_t *cr, const struct stampi_text *t, double x, double y,
                      double width);

/** Encode and place everything; the sheet is to be ended by stampi_sheet_fini() in any
 * case. */
STAMP_MUST_USE enum stamp_err stampi_sheet_lay(const struct stamp_label *label,
                                               struct stampi_sheet *sheet,
                                               struct stamp_error *err);
void stampi_sheet_draw(cairo_t *cr, const struct stampi_sheet *sheet);
void stampi_sheet_fini(struct stampi_sheet *sheet);

#endif

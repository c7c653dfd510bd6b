#include "host/label.h"

#include <cairo-svg.h>
#include <cairo.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "core/crc32.h"
#include "host/file.h"
#include "host/label_own.h"

#define MM_PER_DOT (25.4 / STAMPI_DOTS_PER_INCH)
#define PNG_HEAD 33u /* signature and IHDR */
#define PNG_PHYS 21u /* a pHYs chunk */
#define DOTS_PER_METRE 11811u

/* The file as it grows. It may show secrets, so no copy of it is left behind. */
struct bytes {
    uint8_t *p;
    size_t len;
    size_t size;
};

static void bytes_free(struct bytes *b)
{
    if (b->p != NULL) {
        OPENSSL_cleanse(b->p, b->size);
    }
    free(b->p);
    memset(b, 0, sizeof *b);
}

static cairo_status_t append(void *closure, const unsigned char *data, unsigned int len)
{
    struct bytes *b = closure;

    if (b->size - b->len < len) {
        struct bytes larger = {NULL, b->len, 2 * b->size + len + 4096};

        larger.p = malloc(larger.size);
        if (larger.p == NULL) {
            return CAIRO_STATUS_NO_MEMORY;
        }
        if (b->len > 0) {
            memcpy(larger.p, b->p, b->len);
        }
        bytes_free(b);
        *b = larger;
    }
    memcpy(b->p + b->len, data, len);
    b->len += len;
    return CAIRO_STATUS_SUCCESS;
}

static enum stamp_err drawn(cairo_status_t status, struct stamp_error *err)
{
    if (status == CAIRO_STATUS_SUCCESS) {
        return STAMP_OK;
    }
    return stamp_error_set(
        err, status == CAIRO_STATUS_NO_MEMORY ? STAMP_E_NOMEM : STAMP_E_FORMAT,
        (long)status, "cannot draw the label: %s", cairo_status_to_string(status));
}

/* SVG in millimetres, so that it prints in its size. */
static enum stamp_err draw_svg(const struct stampi_sheet *sheet, struct bytes *out,
                               struct stamp_error *err)
{
    cairo_surface_t *surface = cairo_svg_surface_create_for_stream(
        append, out, STAMPI_LABEL_WIDTH * MM_PER_DOT, (double)sheet->height * MM_PER_DOT);
    cairo_t *cr = cairo_create(surface);
    cairo_status_t status;

    cairo_svg_surface_set_document_unit(surface, CAIRO_SVG_UNIT_MM);
    cairo_scale(cr, MM_PER_DOT, MM_PER_DOT);
    stampi_sheet_draw(cr, sheet);
    status = cairo_status(cr);
    cairo_destroy(cr);
    cairo_surface_finish(surface);
    if (status == CAIRO_STATUS_SUCCESS) {
        status = cairo_surface_status(surface);
    }
    cairo_surface_destroy(surface);
    return drawn(status, err);
}

static void put32(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)(value >> 24);
    p[1] = (uint8_t)(value >> 16);
    p[2] = (uint8_t)(value >> 8);
    p[3] = (uint8_t)value;
}

/* cairo writes no resolution, and without one a printer guesses: a pHYs chunk behind IHDR
 * (PNG, 11.3.5.3). */
static cairo_status_t add_resolution(struct bytes *png)
{
    static const uint8_t room[PNG_PHYS];
    uint8_t *chunk;
    cairo_status_t status = append(png, room, PNG_PHYS);

    if (status != CAIRO_STATUS_SUCCESS || png->len < PNG_HEAD + PNG_PHYS) {
        return status;
    }
    chunk = png->p + PNG_HEAD;
    memmove(chunk + PNG_PHYS, chunk, png->len - PNG_HEAD - PNG_PHYS);
    put32(chunk, 9);
    memcpy(chunk + 4, "pHYs", 4);
    put32(chunk + 8, DOTS_PER_METRE);
    put32(chunk + 12, DOTS_PER_METRE);
    chunk[16] = 1;
    put32(chunk + 17, stamp_crc32(0, chunk + 4, 13));
    return CAIRO_STATUS_SUCCESS;
}

static enum stamp_err draw_png(const struct stampi_sheet *sheet, struct bytes *out,
                               struct stamp_error *err)
{
    cairo_surface_t *surface = cairo_image_surface_create(
        CAIRO_FORMAT_RGB24, (int)STAMPI_LABEL_WIDTH, (int)sheet->height);
    cairo_t *cr = cairo_create(surface);
    cairo_status_t status;

    stampi_sheet_draw(cr, sheet);
    status = cairo_status(cr);
    cairo_destroy(cr);
    if (status == CAIRO_STATUS_SUCCESS) {
        status = cairo_surface_write_to_png_stream(surface, append, out);
    }
    if (status == CAIRO_STATUS_SUCCESS) {
        status = add_resolution(out);
    }
    if (cairo_image_surface_get_data(surface) != NULL) {
        OPENSSL_cleanse(cairo_image_surface_get_data(surface),
                        (size_t)cairo_image_surface_get_stride(surface) * sheet->height);
    }
    cairo_surface_destroy(surface);
    return drawn(status, err);
}

bool stamp_label_secret(const struct stamp_label *label)
{
    for (size_t i = 0; i < label->n_codes; i++) {
        if (label->codes[i].secret) {
            return true;
        }
    }
    return false;
}

enum stamp_err stamp_label_draw(const struct stamp_label *label, const char *path,
                                struct stamp_error *err)
{
    size_t len = strlen(path);
    bool svg = len > 4 && strcmp(path + len - 4, ".svg") == 0;
    bool png = len > 4 && strcmp(path + len - 4, ".png") == 0;
    struct bytes out = {NULL, 0, 0};
    struct stampi_sheet sheet;
    enum stamp_err rc;

    if (!svg && !png) {
        return stamp_error_set(
            err, STAMP_E_RANGE, 0,
            "a label is a file whose name ends in .svg or .png, not '%s'", path);
    }
    rc = stampi_sheet_lay(label, &sheet, err);
    if (rc == STAMP_OK) {
        rc = svg ? draw_svg(&sheet, &out, err) : draw_png(&sheet, &out, err);
    }
    stampi_sheet_fini(&sheet);
    if (rc == STAMP_OK) {
        rc = stamp_file_write(
            path, out.p, out.len,
            stamp_label_secret(label) ? STAMP_FILE_SECRET : STAMP_FILE_PUBLIC, true, err);
    }
    bytes_free(&out);
    return rc;
}

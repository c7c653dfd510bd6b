/* Text of a label: broken and shrunk until it fits, never cut. */
#include <string.h>

#include "host/label_own.h"

#define SPACING 1.25 /* from line to line, in sizes */

static void select_font(cairo_t *cr, const struct stampi_text *t, double size)
{
    cairo_select_font_face(cr, t->mono ? "DejaVu Sans Mono" : "DejaVu Sans",
                           CAIRO_FONT_SLANT_NORMAL,
                           t->bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(cr, size);
}

/* Dots that `len` bytes of the text take. Texts are short: STAMP_MAX_PAYLOAD at most. */
static double width_of(cairo_t *cr, const char *text, size_t len)
{
    cairo_text_extents_t extents;
    char part[STAMP_MAX_PAYLOAD + 1];

    len = len < sizeof part ? len : sizeof part - 1;
    memcpy(part, text, len);
    part[len] = '\0';
    cairo_text_extents(cr, part, &extents);
    return extents.x_advance;
}

/* The next place after `at` where a line could end: behind a character, or a word. */
static size_t next_break(const char *text, size_t at, bool words)
{
    if (text[at] == '\0') {
        return at;
    }
    do {
        at++;
    } while (text[at] != '\0' &&
             (((unsigned char)text[at] & 0xC0) == 0x80 || (words && text[at] != ' ')));
    return at;
}

/* The longest line from `at` that fits; at least one character. A word that is wider than
 * the line is broken anywhere. */
static size_t take_line(cairo_t *cr, const char *text, size_t at, double width)
{
    size_t end = at;

    for (int words = 1; words >= 0 && end == at; words--) {
        size_t next = next_break(text, at, words != 0);

        while (next > end && width_of(cr, text + at, next - at) <= width) {
            end = next;
            next = next_break(text, end, words != 0);
        }
    }
    return end > at ? end : next_break(text, at, false);
}

/* True where all of it fits into `most` lines. */
static bool break_lines(cairo_t *cr, struct stampi_text *t, double width, size_t most)
{
    size_t at = 0;

    t->n_lines = 0;
    while (t->text[at] != '\0') {
        size_t end;

        if (t->n_lines == most) {
            return false;
        }
        end = take_line(cr, t->text, at, width);
        t->line[t->n_lines].at = at;
        t->line[t->n_lines++].len = end - at;
        at = end;
        while (t->text[at] == ' ') {
            at++;
        }
    }
    return true;
}

enum stamp_err stampi_text_fit(cairo_t *cr, struct stampi_text *t, double width,
                               double most, double least, size_t lines,
                               struct stamp_error *err)
{
    bool fits = false;

    if (strlen(t->text) > STAMP_MAX_PAYLOAD) {
        return stamp_error_set(err, STAMP_E_SPACE, 0, "a text is too long for the label");
    }
    t->size = most;
    while (!fits && t->size > least) {
        select_font(cr, t, t->size);
        fits = break_lines(cr, t, width, lines);
        t->size -= fits ? 0.0 : 1.0;
    }
    if (!fits) {
        t->size = least;
        select_font(cr, t, least);
        fits = break_lines(cr, t, width, STAMPI_LINES);
    }
    if (cairo_status(cr) != CAIRO_STATUS_SUCCESS) {
        return stamp_error_set(err, STAMP_E_FORMAT, (long)cairo_status(cr),
                               "cannot draw a text of the label: %s",
                               cairo_status_to_string(cairo_status(cr)));
    }
    return fits ? STAMP_OK
                : stamp_error_set(err, STAMP_E_SPACE, 0,
                                  "a text is too long for the label");
}

double stampi_text_height(const struct stampi_text *t)
{
    return (double)t->n_lines * t->size * SPACING;
}

void stampi_text_draw(cairo_t *cr, const struct stampi_text *t, double x, double y,
                      double width)
{
    cairo_font_extents_t font;

    select_font(cr, t, t->size);
    cairo_font_extents(cr, &font);
    for (size_t i = 0; i < t->n_lines; i++) {
        const char *text = t->text + t->line[i].at;
        size_t len = t->line[i].len;
        char part[STAMP_MAX_PAYLOAD + 1];
        double indent = width > 0.0 ? (width - width_of(cr, text, len)) / 2.0 : 0.0;

        memcpy(part, text, len);
        part[len] = '\0';
        cairo_move_to(cr, x + indent, y + (double)i * t->size * SPACING + font.ascent);
        cairo_show_text(cr, part);
    }
}

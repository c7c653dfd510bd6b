#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/file.h"
#include "host/label.h"
#include "host/label_own.h"

#define URI                                                                              \
    "DPP:K:MDkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDIgACZ4DF/HAnXixwYaDnh3uxdN6t65iHAn8/qDZUFYun" \
    "9Qw=;;"

static char dir[64];
static char path[128];

static int make_dir(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/stamp-label-XXXXXX");
    (void)snprintf(path, sizeof path, "%s/a.png", mkdtemp(dir));
    return 0;
}

static size_t count_files(void)
{
    size_t n = 0;
    DIR *d = opendir(dir);

    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    }
    closedir(d);
    return n;
}

static int remove_dir(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(dir);
}

static struct stamp_label label_of(const struct stamp_label_code *codes, size_t n)
{
    return (struct stamp_label){"SN-0042", "ACME", "Sensor", "M1", "A2", codes, n};
}

static mode_t mode_of(const char *file)
{
    struct stat st;

    assert_int_equal(stat(file, &st), 0);
    return st.st_mode & 0777;
}

static void secret_code_makes_a_private_file(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_label_code codes[] = {{"serial", STAMP_DATA_MATRIX, "SN-0042", false},
                                       {"claim", STAMP_QR, "STAMP:x", true}};
    struct stamp_label label = label_of(codes, 2);
    mode_t old = umask(0);

    (void)state;
    assert_true(stamp_label_secret(&label));
    assert_int_equal(stamp_label_draw(&label, path, &err), STAMP_OK);
    assert_int_equal(mode_of(path), 0600);
    label.n_codes = 1;
    assert_false(stamp_label_secret(&label));
    assert_int_equal(stamp_label_draw(&label, path, &err), STAMP_OK);
    assert_int_equal(mode_of(path), 0644);
    label.n_codes = 2;
    assert_int_equal(stamp_label_draw(&label, path, &err), STAMP_OK);
    assert_int_equal(mode_of(path), 0600);
    umask(old);
}

static void png_says_its_resolution(void **state)
{
    static const uint8_t want[21] = {0,    0,    0, 9,    'p',  'H',  'Y',
                                     's',  0,    0, 0x2E, 0x23, 0,    0,
                                     0x2E, 0x23, 1, 0x78, 0xA5, 0x3F, 0x76};
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_label label = label_of(NULL, 0);
    uint8_t *png;
    size_t len;

    (void)state;
    assert_int_equal(stamp_label_draw(&label, path, &err), STAMP_OK);
    assert_int_equal(stamp_file_read(path, 1 << 20, &png, &len, &err), STAMP_OK);
    assert_memory_equal(png + 33, want, sizeof want);
    assert_memory_equal(png + len - 8, "IEND\xAE\x42\x60\x82", 8);
    free(png);
}

struct box {
    uint32_t x;
    uint32_t y;
    uint32_t width;
    uint32_t height;
};

static bool apart(const struct box *a, const struct box *b)
{
    return a->x + a->width <= b->x || b->x + b->width <= a->x ||
           a->y + a->height <= b->y || b->y + b->height <= a->y;
}

/* Whatever is on the label: no code's quiet zone meets another code, a caption, the text,
 * or the edge. */
static void assert_tidy(const struct stampi_sheet *s)
{
    struct box box[2 * STAMPI_CODES_MAX + 1];
    size_t n = 0;
    double height = 0.0;

    for (size_t i = 0; i < s->n_texts; i++) {
        height += stampi_text_height(&s->text[i]);
    }
    box[n++] =
        (struct box){s->text_x, s->text_y, STAMPI_LABEL_WIDTH - STAMPI_MARGIN - s->text_x,
                     (uint32_t)height};
    for (size_t i = 0; i < s->n_codes; i++) {
        const struct stampi_code *c = &s->code[i];

        box[n++] = (struct box){c->x, c->y, c->width, c->height};
        box[n++] = (struct box){c->x, c->y + c->height, c->width,
                                (uint32_t)stampi_text_height(&c->caption)};
        for (size_t k = 0; k < c->n_rects; k++) {
            assert_true(c->rects[k].x >= 0.0 && c->rects[k].y >= 0.0);
            assert_true((c->rects[k].x + c->rects[k].width + 2.0 * c->quiet_x) *
                            c->module <=
                        c->width);
            assert_true((c->rects[k].y + c->rects[k].height + 2.0 * c->quiet_y) *
                            c->module <=
                        c->height);
        }
    }
    for (size_t i = 0; i < n; i++) {
        assert_in_range(box[i].x, STAMPI_MARGIN, STAMPI_LABEL_WIDTH);
        assert_true(box[i].x + box[i].width <= STAMPI_LABEL_WIDTH - STAMPI_MARGIN);
        assert_true(box[i].y + box[i].height <= s->height - STAMPI_MARGIN);
        for (size_t k = i + 1; k < n; k++) {
            assert_true(apart(&box[i], &box[k]));
        }
    }
}

static void nothing_overlaps(void **state)
{
    static const enum stamp_symbology kinds[] = {STAMP_QR, STAMP_DATA_MATRIX,
                                                 STAMP_CODE128};
    char long_text[STAMP_MAX_PAYLOAD + 1];
    unsigned seed = 1;

    (void)state;
    memset(long_text, 'x', STAMP_MAX_PAYLOAD);
    long_text[STAMP_MAX_PAYLOAD] = '\0';
    for (int round = 0; round < 300; round++) {
        struct stamp_error err = STAMP_ERROR_INIT;
        struct stamp_label_code codes[16];
        struct stamp_label label = label_of(codes, (unsigned)rand_r(&seed) % 17);
        struct stampi_sheet sheet;

        for (size_t i = 0; i < label.n_codes; i++) {
            enum stamp_symbology kind = kinds[rand_r(&seed) % 3];
            size_t most = kind == STAMP_CODE128 ? 25 : STAMP_MAX_PAYLOAD;
            size_t len = 1 + (size_t)rand_r(&seed) % most;

            codes[i] = (struct stamp_label_code){
                rand_r(&seed) % 2 == 0 ? "claim" : "a name of thirty-two characters!",
                kind, long_text + STAMP_MAX_PAYLOAD - len, false};
        }
        label.product =
            rand_r(&seed) % 2 == 0 ? "Sensor" : long_text + STAMP_MAX_PAYLOAD - 64;
        label.company =
            rand_r(&seed) % 4 == 0 ? NULL : "The company of many words and more";
        assert_int_equal(stampi_sheet_lay(&label, &sheet, &err), STAMP_OK);
        assert_int_equal(sheet.n_codes, label.n_codes);
        assert_tidy(&sheet);
        stampi_sheet_fini(&sheet);
    }
}

/* Every character of the text is in one line, in order; only spaces at breaks go. */
static void assert_whole(const struct stampi_text *t)
{
    size_t at = 0;

    for (size_t l = 0; l < t->n_lines; l++) {
        while (at < t->line[l].at) {
            assert_int_equal(t->text[at++], ' ');
        }
        at += t->line[l].len;
        assert_int_not_equal((unsigned char)t->text[at] & 0xC0, 0x80);
    }
    assert_int_equal(at, strlen(t->text));
}

static void long_texts_are_never_cut(void **state)
{
    static const char *const products[] = {
        "Sensor",
        "A product of quite many words that will not fit on one line now",
        "WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW",
        "M\xC3\xBCM\xC3\xBCM\xC3\xBCM\xC3\xBCM\xC3\xBCM\xC3\xBCM\xC3\xBCM\xC3\xBCM\xC3"
        "\xBCM"
        "\xC3\xBCM\xC3\xBCM\xC3\xBCM\xC3\xBCM\xC3\xBCM\xC3\xBCM\xC3\xBCM\xC3\xBCM\xC3\xBC"
        "M\xC3"
        "\xBCM\xC3\xBC",
    };
    struct stamp_label_code code = {"dpp", STAMP_QR, URI, false};
    struct stamp_label label = label_of(&code, 1);

    (void)state;
    label.serial = "0000000000000000000000000000000000000000000000000000000000000042";
    for (size_t i = 0; i < sizeof products / sizeof *products; i++) {
        struct stamp_error err = STAMP_ERROR_INIT;
        struct stampi_sheet s;

        label.product = products[i];
        assert_int_equal(stampi_sheet_lay(&label, &s, &err), STAMP_OK);
        assert_int_equal(s.n_texts, 4);
        assert_string_equal(s.text[3].text,
                            "S/N 00000000000000000000000000000000000000000000000"
                            "00000000000000042");
        assert_tidy(&s);
        for (size_t t = 0; t < s.n_texts; t++) {
            assert_whole(&s.text[t]);
        }
        stampi_sheet_fini(&s);
    }
}

static void what_cannot_be_drawn_is_refused_and_leaves_the_old_file(void **state)
{
    static char long_text[4001];
    static const struct {
        enum stamp_symbology symbology;
        const char *payload;
        enum stamp_err code;
        const char *want;
    } cases[] = {
        {STAMP_QR, long_text, STAMP_E_SPACE,
         "the barcode 'x' has 4000 bytes: too large for qr"},
        {STAMP_DATA_MATRIX, long_text, STAMP_E_SPACE,
         "the barcode 'x' has 4000 bytes: too large for datamatrix"},
        {STAMP_CODE128, long_text, STAMP_E_SPACE,
         "the barcode 'x' has 4000 bytes: too large for code128"},
        {STAMP_CODE128, "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQRSTUVWXYZ",
         STAMP_E_SPACE, "the barcode 'x' (code128, 52 bytes) is wider than the label"},
        {STAMP_CODE128, "M\xC3\xBCller", STAMP_E_FORMAT,
         "the barcode 'x' has a character that code128 cannot carry"},
        {STAMP_CODE128, "a\tb", STAMP_E_FORMAT,
         "the barcode 'x' has a character that code128 cannot carry"},
        {STAMP_QR, "", STAMP_E_RANGE, "the barcode 'x' is empty"},
        {(enum stamp_symbology)9, "x", STAMP_E_RANGE, "the barcode 'x' is empty"},
    };
    uint8_t *old;
    size_t len;

    (void)state;
    memset(long_text, 'x', 4000);
    assert_int_equal(stamp_file_write(path, "old", 3, 0644, true, NULL), STAMP_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct stamp_error err = STAMP_ERROR_INIT;
        struct stamp_label_code code = {"x", cases[i].symbology, cases[i].payload, false};
        struct stamp_label label = label_of(&code, 1);

        assert_int_equal(stamp_label_draw(&label, path, &err), cases[i].code);
        assert_string_equal(err.what, cases[i].want);
        assert_int_equal(count_files(), 1);
    }
    assert_int_equal(stamp_file_read(path, 100, &old, &len, NULL), STAMP_OK);
    assert_int_equal(len, 3);
    free(old);
}

static void bad_names_texts_and_places_are_refused(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_label label = label_of(NULL, 0);

    (void)state;
    assert_int_equal(stamp_label_draw(&label, "/tmp/x.pdf", &err), STAMP_E_RANGE);
    assert_string_equal(
        err.what, "a label is a file whose name ends in .svg or .png, not '/tmp/x.pdf'");
    stamp_error_clear(&err);
    assert_int_equal(stamp_label_draw(&label, ".svg", &err), STAMP_E_RANGE);
    stamp_error_clear(&err);
    assert_int_equal(stamp_label_draw(&label, "/nowhere/x.svg", &err), STAMP_E_IO);
    assert_string_equal(err.what,
                        "cannot write '/nowhere/x.svg': No such file or directory");
    stamp_error_clear(&err);
    label.product = "\xFF\xFE";
    assert_int_equal(stamp_label_draw(&label, path, &err), STAMP_E_FORMAT);
    label.product = "Sensor";
    label.serial = "";
    stamp_error_clear(&err);
    assert_int_equal(stamp_label_draw(&label, path, &err), STAMP_E_RANGE);
    assert_string_equal(err.what, "a label needs a serial");
    assert_int_equal(count_files(), 0);
}

static void full_disk_leaves_no_half_label(void **state)
{
    struct stamp_label_code code = {"dpp", STAMP_QR, URI, false};
    struct stamp_label label = label_of(&code, 1);
    int status;
    pid_t child;

    (void)state;
    child = fork();
    if (child == 0) {
        static const struct rlimit small = {1000, 1000};
        struct stamp_error err = STAMP_ERROR_INIT;

        (void)signal(SIGXFSZ, SIG_IGN);
        (void)setrlimit(RLIMIT_FSIZE, &small);
        _exit(stamp_label_draw(&label, path, &err) == STAMP_E_IO && err.native == EFBIG
                  ? 0
                  : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(count_files(), 0);
}

#define LABEL_TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LABEL_TEST(secret_code_makes_a_private_file),
        LABEL_TEST(png_says_its_resolution),
        LABEL_TEST(nothing_overlaps),
        LABEL_TEST(long_texts_are_never_cut),
        LABEL_TEST(what_cannot_be_drawn_is_refused_and_leaves_the_old_file),
        LABEL_TEST(bad_names_texts_and_places_are_refused),
        LABEL_TEST(full_disk_leaves_no_half_label),
    };

    return cmocka_run_group_tests_name("label", tests, NULL, NULL);
}

/* Draws one label, for label_test.py: label_draw OUT SERIAL PRODUCT [SYMBOLOGY NAME
 * PAYLOAD]... */
#include <stdio.h>
#include <string.h>

#include "host/barcode.h"
#include "host/label.h"

int main(int argc, char **argv)
{
    static const enum stamp_symbology kinds[] = {STAMP_QR, STAMP_DATA_MATRIX,
                                                 STAMP_CODE128};
    struct stamp_label_code codes[2 * STAMP_MAX_BARCODES];
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_label label = {.codes = codes};

    if (argc < 4 || argc > 4 + 3 * (int)(2 * STAMP_MAX_BARCODES) || (argc - 4) % 3 != 0) {
        (void)fprintf(stderr,
                      "usage: label_draw OUT SERIAL PRODUCT [KIND NAME PAYLOAD]...\n");
        return 2;
    }
    label.serial = argv[2];
    label.product = argv[3];
    label.company = "Example Company";
    for (int i = 4; i < argc; i += 3) {
        struct stamp_label_code *code = &codes[label.n_codes++];

        *code = (struct stamp_label_code){argv[i + 1], STAMP_QR, argv[i + 2], false};
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            if (strcmp(stamp_symbology_name(kinds[k]), argv[i]) == 0) {
                code->symbology = kinds[k];
            }
        }
    }
    if (stamp_label_draw(&label, argv[1], &err) != STAMP_OK) {
        stamp_error_print(&err, "label_draw");
        return 1;
    }
    return 0;
}

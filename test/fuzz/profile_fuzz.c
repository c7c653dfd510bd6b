/* Any bytes as a profile: refused with a place, or a profile that can make a stamp. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "host/profile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* What loads must be good for every stamp: serial, name, proof of possession and
 * barcodes. */
static void make_one(const struct stamp_profile *p)
{
    static const uint8_t point[STAMP_POINT_SIZE] = {4};
    struct stamp_error err = STAMP_ERROR_INIT;
    STAMP_SECRET_AUTO struct stamp_secret *pop = NULL;
    struct stamp_barcode_vars vars;
    char serial[STAMP_SERIAL_SIZE];
    char name[65];

    stamp_profile_vars(p, &vars);
    if (stamp_serial_format(&p->serial, 1, 1770091506, serial, sizeof serial, &err) !=
            STAMP_OK ||
        !stamp_serial_matches(&p->serial, serial) ||
        stamp_serial_check(serial, &err) != STAMP_OK ||
        stamp_profile_draw_pop(p, &pop, &err) != STAMP_OK) {
        abort();
    }
    vars.serial = serial;
    vars.pop = pop;
    vars.point = p->provisioning == STAMP_PROFILE_KEY_NONE ? NULL : point;
    if (stamp_template_fill(p->certificate.common_name, &vars, name, sizeof name, &err) !=
        STAMP_OK) {
        abort();
    }
    for (size_t i = 0; i < p->n_barcodes; i++) {
        STAMP_SECRET_AUTO struct stamp_secret *payload = NULL;
        bool secret;

        if (stamp_barcode_payload(&p->barcodes[i], &vars, &payload, &secret, &err) !=
                STAMP_OK ||
            secret != stamp_barcode_secret(&p->barcodes[i])) {
            abort();
        }
    }
    if (stamp_profile_check_purpose(p, false, &err) != STAMP_OK ||
        (stamp_profile_check_purpose(p, true, &err) != STAMP_OK &&
         err.code != STAMP_E_PURPOSE)) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_profile *p = NULL;
    enum stamp_err rc;

    if (len > STAMP_PROFILE_MAX) {
        return 0;
    }
    rc = stamp_profile_parse(data, len, "p.yaml", &p, &err);
    if (rc == STAMP_OK) {
        make_one(p);
        stamp_profile_free(&p);
    } else if (p != NULL || rc != STAMP_E_CONFIG ||
               strncmp(err.what, "p.yaml:", 7) != 0) {
        abort();
    }
    return 0;
}

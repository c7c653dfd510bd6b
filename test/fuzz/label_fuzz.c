/* Any bytes as what a scanner read from a label: refused, or something that can be used.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "host/dpp.h"
#include "host/scan.h"
#include "host/serial.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_scan scan;
    enum stamp_err rc = stamp_scan_parse((const char *)data, len, &scan, &err);
    uint8_t hash[STAMP_DPP_HASH_LEN];
    size_t pop_len = 4;

    if (rc != STAMP_OK) {
        if (rc != STAMP_E_FORMAT || scan.pop != NULL || scan.has_key ||
            err.what[0] == '\0') {
            abort();
        }
        return 0;
    }
    if (scan.pop != NULL) {
        (void)stamp_secret_use(scan.pop, &pop_len);
    }
    if (pop_len < 4 || pop_len > 64 ||
        (scan.serial[0] != '\0' && stamp_serial_check(scan.serial, &err) != STAMP_OK)) {
        abort();
    }
    if (scan.has_key && (stamp_dpp_hash(scan.key, hash, &err) != STAMP_OK ||
                         memcmp(hash, scan.hash, sizeof hash) != 0)) {
        abort();
    }
    stamp_scan_fini(&scan);
    return 0;
}

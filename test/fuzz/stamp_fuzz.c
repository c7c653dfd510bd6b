/*
 * Any bytes as an encoded stamp and as a trust bundle. What decodes, encodes again, and
 * to the same bytes where it holds nothing that this code does not know.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/stamp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void try_stamp(const uint8_t *data, size_t len)
{
    static uint8_t out[STAMP_MAX_LEN];
    struct stamp s;
    struct stamp again;
    size_t out_len;

    if (stamp_decode(&s, data, len) != STAMP_OK) {
        return;
    }
    /* what is complete has a serial */
    if (stamp_check_birth(&s) == STAMP_OK && s.serial.p == NULL) {
        abort();
    }
    if (stamp_encode(&s, out, sizeof(out), &out_len) != STAMP_OK || out_len > len) {
        abort();
    }
    if (out_len == len && memcmp(out, data, len) != 0) {
        abort(); /* two encodings of one stamp: SPEC 4-1 */
    }
    if (stamp_decode(&again, out, out_len) != STAMP_OK) {
        abort();
    }
}

static void try_bundle(const uint8_t *data, size_t len)
{
    static uint8_t payload[STAMP_MAX_BUNDLE];
    static uint8_t out[STAMP_MAX_BUNDLE + 128];
    struct stamp_bundle b;
    size_t payload_len;
    size_t out_len;

    if (stamp_bundle_decode(&b, data, len) != STAMP_OK) {
        return;
    }
    if (stamp_bundle_payload(&b, payload, sizeof(payload), &payload_len) != STAMP_OK ||
        stamp_bundle_encode((struct stamp_slice){payload, payload_len}, b.signature.p,
                            out, sizeof(out), &out_len) != STAMP_OK ||
        out_len != len || memcmp(out, data, len) != 0) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);

    if (copy == NULL) {
        return 0;
    }
    if (len > 0) {
        memcpy(copy, data, len);
    }
    try_stamp(copy, len);
    try_bundle(copy, len);
    free(copy);
    return 0;
}

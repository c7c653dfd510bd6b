/*
 * The one entropy source that Mbed TLS knows on this board
 * (MBEDTLS_ENTROPY_HARDWARE_ALT). It fails rather than deliver less, so PSA does not
 * start without the device.
 */
#include "mbedtls/entropy.h"
#include "mbedtls/entropy_poll.h"

#include "device/port/qemu_riscv32/rng.h"

int mbedtls_hardware_poll(void *data, unsigned char *output, size_t len, size_t *olen)
{
    (void)data;
    *olen = 0;
    if (rng_read(output, len) != STAMP_OK) {
        return MBEDTLS_ERR_ENTROPY_SOURCE_FAILED;
    }
    *olen = len;
    return 0;
}

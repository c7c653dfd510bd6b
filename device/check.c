/* A decoded stamp takes a kilobyte: here in a function of its own, so that it is not on
 * the stack while the crypto library works. */
#include "device/device_i.h"

enum stamp_err stampi_check_stamp(const void *in, size_t in_len, bool birth)
{
    struct stamp s;
    enum stamp_err rc = stamp_decode(&s, in, in_len);

    return rc == STAMP_OK && birth ? stamp_check_birth(&s) : rc;
}

/* Any bytes as a message of another process of the service: no message, or one that is
 * encoded to the same bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "service/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static uint8_t again[SERVICE_MESSAGE_MAX];
    struct service_message m;

    if (!service_wire_decode(data, len, &m)) {
        if (m.type != 0) {
            abort();
        }
        return 0;
    }
    if (service_wire_encode(&m, again) != len || memcmp(again, data, len) != 0) {
        abort();
    }
    return 0;
}

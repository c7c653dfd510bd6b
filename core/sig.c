/* The bytes before the payload of a signature: COSE Sig_structure, RFC 9052 4.4. SPEC
 * 6-3. */
#include <string.h>

#include "core/stamp.h"
#include "core/stamp_i.h"

size_t stamp_sig_prefix(const char *label, size_t payload_len, uint8_t *out)
{
    /* array of 4; text of 10; byte string of 3 */
    static const char begin[] = "\x84\x6ASignature1\x43" STAMP_ES256_HEADER;
    struct stamp_cbor_out o;

    stamp_cbor_out_init(&o, out, STAMP_SIG_PREFIX_MAX);
    stamp_cbor_put_raw(&o, begin, sizeof begin - 1);
    stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, label, strlen(label));
    stamp_cbor_put_head(&o, STAMP_CBOR_BYTES, (uint32_t)payload_len);
    return o.len;
}

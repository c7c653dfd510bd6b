/* The bytes before the payload of a signature: COSE Sig_structure, RFC 9052 4.4. SPEC
 * 6-3. */
#include <string.h>

#include "core/stamp.h"
#include "core/stamp_i.h"

size_t stamp_sig_prefix(const char *label, size_t payload_len, uint8_t *out)
{
    struct stamp_cbor_out o;

    stamp_cbor_out_init(&o, out, STAMP_SIG_PREFIX_MAX);
    stamp_cbor_put_head(&o, STAMP_CBOR_ARRAY, 4);
    stamp_cbor_put_string(&o, STAMP_CBOR_TEXT, "Signature1", 10);
    stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, STAMP_ES256_HEADER, 3);
    stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, label, strlen(label));
    stamp_cbor_put_head(&o, STAMP_CBOR_BYTES, (uint32_t)payload_len);
    return o.len;
}

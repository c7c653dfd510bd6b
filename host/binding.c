/* The extension that ties a certificate to a stamp's claims and purpose. SPEC 7-4, 7-5.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/der.h"
#include "host/pki.h"

#define PEN_ARC "1.3.6.1.4.1."
#define PEN_TAIL ".33445"
#define OWN_ARC                                                                          \
    "1.2.840.113556.1.8000.2554.37814.16545.17066.18216.35878.28763.12531.52370"

void stamp_pki_oid(uint32_t pen, enum stamp_arc arc, char out[STAMP_OID_SIZE])
{
    if (pen == 0) {
        (void)snprintf(out, STAMP_OID_SIZE, OWN_ARC ".%d", (int)arc);
    } else {
        (void)snprintf(out, STAMP_OID_SIZE, PEN_ARC "%u" PEN_TAIL ".%d", pen, (int)arc);
    }
}

/* The form without a PEN, which is met most: a text for each would take longer than all
 * else here. */
static ASN1_OBJECT *own;
static pthread_once_t own_once = PTHREAD_ONCE_INIT;

static void make_own(void)
{
    own = OBJ_txt2obj(OWN_ARC ".1", 1);
}

/* Either form, with any PEN: the reader need not know whose product it is. */
static bool is_binding(const ASN1_OBJECT *obj)
{
    char text[STAMP_OID_SIZE];
    const char *p = text + sizeof PEN_ARC - 1;
    const unsigned char *der = OBJ_get0_data(obj);
    int len;

    if (OBJ_length(obj) == 3 && der[0] == 0x55 && der[1] == 0x1D) {
        return false; /* 2.5.29: those of X.509 itself, without a text for each */
    }
    (void)pthread_once(&own_once, make_own);
    if (own != NULL && OBJ_cmp(own, obj) == 0) {
        return true;
    }
    len = OBJ_obj2txt(text, (int)sizeof text, obj, 1);
    if (len <= 0 || len >= (int)sizeof text) {
        return false;
    }
    if (strcmp(text, OWN_ARC ".1") == 0) {
        return true;
    }
    if (strncmp(text, PEN_ARC, sizeof PEN_ARC - 1) != 0) {
        return false;
    }
    return strcmp(p + strspn(p, "0123456789"), PEN_TAIL ".1") == 0;
}

size_t stamp_binding_encode(uint8_t purpose, const uint8_t *digest,
                            uint8_t out[STAMP_BINDING_MAX])
{
    struct stamp_der d;

    stamp_der_init(&d, out, STAMP_BINDING_MAX);
    if (digest != NULL) {
        stamp_der_put(&d, STAMP_DER_OCTETS, digest, 32);
    }
    stamp_der_put(&d, STAMP_DER_ENUMERATED, &purpose, 1);
    stamp_der_wrap(&d, STAMP_DER_SEQUENCE, 0);
    memmove(out, stamp_der_bytes(&d), stamp_der_len(&d));
    return stamp_der_len(&d);
}

/* There are only four possible heads, so the value is compared with what it must be. */
static bool decode(const uint8_t *p, size_t len, struct stamp_binding *b)
{
    uint8_t want[STAMP_BINDING_MAX];

    if (len != 5 && len != STAMP_BINDING_MAX) {
        return false;
    }
    b->purpose = p[4];
    b->has_digest = len == STAMP_BINDING_MAX;
    if (b->has_digest) {
        memcpy(b->digest, p + 7, sizeof b->digest);
    }
    b->present = true;
    return b->purpose <= STAMP_PRODUCTION &&
           stamp_binding_encode(b->purpose, b->has_digest ? b->digest : NULL, want) ==
               len &&
           memcmp(want, p, len) == 0;
}

enum stamp_err stamp_binding_of(const STACK_OF(X509_EXTENSION) * extensions,
                                struct stamp_binding *out, struct stamp_error *err)
{
    memset(out, 0, sizeof *out);
    for (int i = 0; i < sk_X509_EXTENSION_num(extensions); i++) {
        X509_EXTENSION *ext = sk_X509_EXTENSION_value(extensions, i);
        const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(ext);

        if (!is_binding(X509_EXTENSION_get_object(ext))) {
            continue;
        }
        if (out->present || X509_EXTENSION_get_critical(ext) != 0 ||
            !decode(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value),
                    out)) {
            memset(out, 0, sizeof *out);
            return stamp_error_set(err, STAMP_E_FORMAT, 0,
                                   "the certificate's stamp extension is malformed");
        }
        out->at = i;
    }
    return STAMP_OK;
}

enum stamp_err stamp_binding_read(const X509 *cert, struct stamp_binding *out,
                                  struct stamp_error *err)
{
    return stamp_binding_of(X509_get0_extensions(cert), out, err);
}

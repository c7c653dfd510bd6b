/* Certificates, shared by judge.c and chain.c only. */
#ifndef DEVICE_CHAIN_I_H
#define DEVICE_CHAIN_I_H

#include <mbedtls/x509_crt.h>

#include "device/device_i.h"

#define STAMPI_BINDING_SHORT 5u
#define STAMPI_BINDING_LONG 39u
#define STAMPI_BINDING_DIGEST 7u /* where it is in the long form */

/** The binding's OID in DER (SPEC 7-5), in the form for owners without a number. */
#define STAMPI_OID_SIZE 35u
extern const uint8_t stampi_oid[STAMPI_OID_SIZE];

/** What certificates must agree with, and what they turn out to say. */
struct stampi_identity {
    uint8_t serial[STAMP_MAX_TEXT];
    size_t serial_len;
    uint8_t point[STAMP_POINT_SIZE];
    uint8_t owner[STAMPI_HASH_SIZE]; /* of the owner's key */
    uint8_t purpose;
    /* The extension of SPEC 7-4 as a leaf must carry it: SEQUENCE, ENUMERATED purpose,
     * OCTET STRING digest. Without the digest it is the first five bytes, with 3 as its
     * length. */
    uint8_t binding[STAMPI_BINDING_LONG];

    bool leaf;  /* the next certificate to parse is the leaf */
    bool bound; /* it carries a digest */
    int8_t err; /* enum stamp_err: the first disagreement */
};

/** Parse one certificate to the end of `list`, in the crypto library's heap.
 * @param who  its purpose is checked, and of the first one after `leaf` was set the
 * digest */
enum stamp_err stampi_parse_certificate(mbedtls_x509_crt *list, struct stamp_slice der,
                                        struct stampi_identity *who);

/** The leaf certifies this key, and this serial where it names one. */
bool stampi_certifies(mbedtls_x509_crt *leaf, const struct stampi_identity *who);

/** Parse the anchors of the owner's bundle: `offered`, or where it is NULL the one that
 * is `held`. Uses no work buffer: a bundle may lie there. */
enum stamp_err stampi_take_anchors(struct stamp_slice held,
                                   const struct stamp_slice *offered,
                                   struct stampi_identity *who,
                                   mbedtls_x509_crt *anchors);

#endif

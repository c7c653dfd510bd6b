/* Certificates, shared by judge.c and chain.c only. */
#ifndef DEVICE_CHAIN_I_H
#define DEVICE_CHAIN_I_H

#include <mbedtls/x509_crt.h>

#include "device/device_i.h"

/** What certificates must agree with, and what they turn out to say. */
struct stampi_identity {
    struct stamp_slice serial;
    uint8_t purpose;
    uint8_t digest[STAMPI_HASH_SIZE];
    uint8_t point[STAMP_POINT_SIZE];

    bool leaf;          /* the next certificate to parse is the leaf */
    bool bound;         /* it carries a digest, and the right one */
    enum stamp_err err; /* the first disagreement */
};

/** Parse one certificate to the end of `list`, in the crypto library's heap.
 * @param who  its purpose is checked, and of the first one after `leaf` was set the
 * digest */
enum stamp_err stampi_parse_certificate(mbedtls_x509_crt *list, struct stamp_slice der,
                                        struct stampi_identity *who);

/** The leaf certifies this key, and this serial where it names one. */
bool stampi_certifies(mbedtls_x509_crt *leaf, const struct stampi_identity *who);

/** Parse the anchors of the owner's bundle: `offered`, or where it is NULL the one that
 * is held. */
enum stamp_err stampi_take_anchors(const struct stamp_device *dev,
                                   const struct stamp_slice *offered,
                                   struct stampi_identity *who,
                                   mbedtls_x509_crt *anchors);

#endif

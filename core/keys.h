/*
 * The numbers of the stamp: map keys and small codes. SPEC 4-10 (keys) and SPEC 5
 * (values). Append-only. A key's range says how it enters the claims digest, also for
 * readers that do not know the key (SPEC 7-2).
 */
#ifndef CORE_KEYS_H
#define CORE_KEYS_H

#include <stdint.h>

enum stamp_key {
    /* 1..31: public claims; enter the digest as they are */
    STAMP_SERIAL = 1,            /* text 1..64 */
    STAMP_COMPANY = 2,           /* text 1..64 */
    STAMP_PRODUCT = 3,           /* text 1..64 */
    STAMP_MODEL = 4,             /* text 1..64, optional */
    STAMP_HARDWARE_REVISION = 5, /* text 1..32, optional */
    STAMP_MADE_AT = 6,           /* seconds since 1970-01-01T00:00:00Z */
    STAMP_PURPOSE = 7,           /* enum stamp_purpose */
    STAMP_OWNER_KEY_HASH = 8, /* 32 bytes: SHA-256 of the owner's 65-byte public point */
    STAMP_TRUST_BUNDLE = 9,   /* COSE_Sign1 by the owner key, SPEC 8 */
    STAMP_PROVISIONING_KEY = 10, /* [kind, curve, point] */
    STAMP_BARCODES = 11,         /* [[symbology, name, payload], ...] public ones */
    STAMP_FIELDS = 12,           /* {text: text / int / bool} */

    /* 32..47: secrets, each [salt, value]; enter the digest as SHA-256 of their encoding
     */
    STAMP_POP = 32,                  /* [salt, text 4..64] */
    STAMP_PROVISIONING_PRIVATE = 33, /* [salt, 32 bytes] */
    STAMP_SECRET_BARCODES = 34,      /* [salt, [[symbology, name, payload], ...]] */

    /* 48..63: outside the digest */
    STAMP_DEVICE_KEY = 48,   /* [curve, where, ref] */
    STAMP_CERTIFICATES = 49, /* [DER leaf, DER issuer, ...] */
    STAMP_CLAIM_STATE = 50,  /* banks only: [wrong tries, claimed] */
};

enum stamp_key_class { STAMP_CLASS_PUBLIC, STAMP_CLASS_SECRET, STAMP_CLASS_OUTSIDE };

/* Ranges, SPEC 7-2. */
#define STAMP_KEY_SECRET_FIRST 32u
#define STAMP_KEY_OUTSIDE_FIRST 48u
#define STAMP_KEY_LAST 63u

enum stamp_purpose { STAMP_DEVELOPMENT = 0, STAMP_PRODUCTION = 1 };

enum stamp_curve { STAMP_P256 = 1 }; /* as in COSE (RFC 9053) */

enum stamp_key_where {
    STAMP_KEY_HERE = 0,    /* ref = 32-byte private scalar, big-endian */
    STAMP_KEY_PSA = 1,     /* ref = PSA key id */
    STAMP_KEY_ELEMENT = 2, /* ref = slot of a secure element */
};

enum stamp_provisioning_kind {
    STAMP_PROVISIONING_OWN = 0,  /* the device's own pair */
    STAMP_PROVISIONING_PEER = 1, /* a peer's public key */
};

enum stamp_symbology { STAMP_QR = 1, STAMP_DATA_MATRIX = 2, STAMP_CODE128 = 3 };

/* Domain labels of signatures (COSE external_aad) and derivations. SPEC 6-3, 8-3,
 * 9-4, 10. */
#define STAMP_LABEL_BANK "devstamp bank 1"
#define STAMP_LABEL_BUNDLE "devstamp bundle 1"
#define STAMP_LABEL_PROVE "devstamp prove 1"
#define STAMP_LABEL_CLAIM "devstamp claim 1"
#define STAMP_LABEL_BOOKS "devstamp books 1"
#define STAMP_LABEL_RESULTS "devstamp results 1"
#define STAMP_LABEL_ORDER "devstamp order 1"
#define STAMP_LABEL_CLAIMS "devstamp claims 1"
#define STAMP_LABEL_REST "devstamp at rest 1"

/* Trust bundle payload, SPEC 8-2. */
enum stamp_bundle_key {
    STAMP_BUNDLE_VERSION = 1, /* uint, ascending */
    STAMP_BUNDLE_PURPOSE = 2,
    STAMP_BUNDLE_ANCHORS = 3, /* [DER, ...] 1..4 */
    STAMP_BUNDLE_OWNER = 4,   /* 65-byte public point of the owner key */
};

#endif

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
    STAMP_POP_SHOWN = 13,        /* true: the station was told the proof of possession */

    /* 32..47: secrets, each [salt, value]; enter the digest as SHA-256 of their encoding
     */
    STAMP_POP = 32,                  /* [salt, text 4..64] */
    STAMP_PROVISIONING_PRIVATE = 33, /* [salt, 32 bytes] */
    STAMP_SECRET_BARCODES = 34,      /* [salt, [[symbology, name, payload], ...]] */

    /* 48..63: outside the digest */
    STAMP_DEVICE_KEY = 48,   /* [curve, where, ref] */
    STAMP_CERTIFICATES = 49, /* [DER leaf, DER issuer, ...] */
    STAMP_CLAIM_STATE = 50,  /* banks only: [wrong tries, claimed] */
    STAMP_OFFER = 51,        /* pending banks only: digest of the offer, SPEC 13-8 */
    STAMP_NEXT_KEY = 52,     /* banks only: as 48, a key that waits, SPEC 16-4 */
    STAMP_NEXT_POP = 53,     /* banks only: as 32, a proof that waits, SPEC 10-25 */
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
#define STAMP_LABEL_OFFER "devstamp offer 1"
#define STAMP_LABEL_POP "devstamp pop 1"
#define STAMP_LABEL_JOURNAL "devstamp journal 1"
#define STAMP_LABEL_JOURNAL_PART "devstamp journal part 1"
#define STAMP_LABEL_STRIKE "devstamp strike 1"
#define STAMP_LABEL_ROTATE "devstamp rotate 1"
#define STAMP_LABEL_UNIT "devstamp unit 1"
#define STAMP_LABEL_LOG "devstamp log 1"
#define STAMP_LABEL_LOG_DROP "devstamp drop 1"

/* Trust bundle payload, SPEC 8-2. */
enum stamp_bundle_key {
    STAMP_BUNDLE_VERSION = 1, /* uint, ascending */
    STAMP_BUNDLE_PURPOSE = 2,
    STAMP_BUNDLE_ANCHORS = 3,   /* [DER, ...] 1..4 */
    STAMP_BUNDLE_OWNER = 4,     /* 65-byte public point of the owner key */
    STAMP_BUNDLE_RECIPIENT = 5, /* 65-byte point that devices seal their proofs to */
};

/* An offer, SPEC 13-5. */
enum stamp_offer_key {
    STAMP_OFFER_CLAIMS = 1,
    STAMP_OFFER_POP = 2,      /* [alphabet, length] */
    STAMP_OFFER_OWN_KEY = 3,  /* true: make a provisioning pair */
    STAMP_OFFER_BARCODES = 4, /* [[symbology, name, [part, ...]], ...] */
    STAMP_OFFER_SHOW = 5,     /* true: the station is to be told the proof */
};

/* A part of an offered barcode that is no text. */
enum stamp_offer_part {
    STAMP_PART_POP = 0,    /* the proof of possession */
    STAMP_PART_HASH = 1,   /* SHA-256 of the provisioning key, 64 hexadecimal digits */
    STAMP_PART_BASE64 = 2, /* the provisioning key in base64 */
};

/* What a request for a certificate tells of the device, SPEC 13-12, 16-6. */
enum stamp_evidence_key {
    STAMP_EVIDENCE_CHALLENGE = 1,
    STAMP_EVIDENCE_CHIP = 2,
    STAMP_EVIDENCE_OFFER = 3,
    STAMP_EVIDENCE_IN_USE = 4,  /* SHA-256 of the leaf in use, SPEC 16-6 */
    STAMP_EVIDENCE_VOUCHER = 5, /* the birth key's signature, SPEC 16-6 */
};

#endif

/*
 * Enrolments on the books: which operational keys (LDevID) a device has, and who may get
 * a certificate for one.
 *
 * A device has at most one confirmed and one pending operational key. Each goes on the
 * books before its certificate is signed (INTENT), gets its certificate (PENDING), and
 * with its first use it is the one (CONFIRMED) and the one before is RETIRED for good.
 * The birth key stays, whatever becomes of the others. No key is ever two devices'.
 *
 * Several of the calls below make one transaction, so that many requests cost one
 * commit:
 *
 *     stamp_registry_group_begin()
 *       stamp_registry_admit(), stamp_registry_ldevid_begin(), ...   for each request
 *     stamp_registry_group_end()
 *
 * Nothing that they return may be told to anybody before the group has ended well. A
 * refusal is no error: the call returns STAMP_OK, and what is refused is not written.
 */
#ifndef HOST_REGISTRY_ENROL_H
#define HOST_REGISTRY_ENROL_H

#include "host/registry.h"

/** Why a request is refused. The numbers are on the wire between processes: append-only.
 */
enum stamp_refusal {
    STAMP_REFUSAL_NONE = 0,
    STAMP_REFUSAL_CREDENTIAL = 1,  /* neither certificate nor token */
    STAMP_REFUSAL_UNKNOWN_KEY = 2, /* the key is not on the books */
    STAMP_REFUSAL_FORGED = 3,      /* the serial is on the books with another key */
    STAMP_REFUSAL_UNTRUSTED = 4,   /* neither a trusted chain nor the booked one */
    STAMP_REFUSAL_PURPOSE = 5,     /* development and production do not mix */
    STAMP_REFUSAL_EXPIRED = 6,     /* of the certificate, or not valid yet */
    STAMP_REFUSAL_REVOKED = 7,     /* of the device */
    STAMP_REFUSAL_STATE = 8,       /* reserved, returned or scrapped */
    STAMP_REFUSAL_RETIRED = 9,     /* the key was the device's, before its present one */
    STAMP_REFUSAL_PRODUCT = 10,    /* of a product that this service does not serve */
    STAMP_REFUSAL_KEY_TAKEN = 11,  /* the new key is another device's, or a birth key */
    STAMP_REFUSAL_KEY_KIND = 12,   /* the new key is no P-256 key */
    STAMP_REFUSAL_RATE = 13,       /* too many new keys for this device, for now */
    STAMP_REFUSAL_TOKEN = 14,      /* no such token, used, or ended */
    STAMP_REFUSAL_SUBJECT = 15,    /* asks for another subject than its own */
    STAMP_REFUSAL_REQUEST = 16,    /* malformed */
    STAMP_REFUSAL_LINKING = 17,    /* proof of possession is not of this connection */
    STAMP_REFUSAL_ROLE = 18,       /* not a registrar, or no device */
    STAMP_REFUSAL_UNKNOWN_SERIAL = 19, /* a registrar's device is not on the books */
    STAMP_REFUSAL_POLICY = 20,         /* the signer refuses */
    STAMP_REFUSAL_STATION = 21,        /* no station of these books signed it */
    STAMP_REFUSAL_ORDER = 22,          /* not open, over, or another station's */
    STAMP_REFUSAL_UNIT = 23,           /* the order has no such unit */
    STAMP_REFUSAL_PROTECTION = 24      /* a key that nobody protects: RFC 7030 4.4.1 */
};
#define STAMP_REFUSALS 25u

/** "unknown-key", for logs and metrics; a sentence for who asked. */
const char *stamp_refusal_name(enum stamp_refusal refusal);
const char *stamp_refusal_text(enum stamp_refusal refusal);

enum stamp_ldevid_state {
    STAMP_LDEVID_INTENT = 0,
    STAMP_LDEVID_PENDING = 1,
    STAMP_LDEVID_CONFIRMED = 2,
    STAMP_LDEVID_RETIRED = 3
};

struct stamp_ldevid {
    int64_t device;
    uint32_t n; /* 1, 2, ... of the device */
    enum stamp_ldevid_state state;
    uint8_t fingerprint[32]; /* SHA-256 of its point */
    uint8_t certificate_serial[STAMP_CERTIFICATE_SERIAL_SIZE];
    time_t at, changed_at, not_before, not_after;
    char who[STAMP_REGISTRY_TEXT_SIZE]; /* what authenticated the request */
    uint8_t *certificate;               /* DER; NULL in INTENT */
    size_t certificate_len;
};

void stamp_ldevid_fini(struct stamp_ldevid *l);
#define STAMP_LDEVID_AUTO __attribute__((cleanup(stamp_ldevid_fini))) struct stamp_ldevid

/** Begin a transaction, and end it: `rc` as all calls between went. */
STAMP_MUST_USE enum stamp_err stamp_registry_group_begin(struct stamp_registry *r,
                                                         struct stamp_error *err);
STAMP_MUST_USE enum stamp_err stamp_registry_group_end(struct stamp_registry *r,
                                                       enum stamp_err rc,
                                                       struct stamp_error *err);

/** Certificate serial numbers that nobody else gives out: this prefix and a counter. */
#define STAMP_CERTIFICATE_PREFIX_SIZE 12u
STAMP_MUST_USE enum stamp_err
stamp_registry_certificate_block(struct stamp_registry *r,
                                 uint8_t prefix[STAMP_CERTIFICATE_PREFIX_SIZE],
                                 struct stamp_error *err);

/** Who shows himself with a certificate, whose key he proved to have. */
struct stamp_peer {
    const uint8_t *der;
    size_t len;
    uint8_t fingerprint[32];        /* of its key */
    char serial[STAMP_SERIAL_SIZE]; /* its subject's; "" = none */
    bool trusted;                   /* the chain holds */
};

/** Which device is it, and with which of its keys? End with stamp_admitted_fini(). */
struct stamp_admitted {
    enum stamp_refusal refusal; /* NONE, or why not; the rest is set as far as known */
    int64_t device;
    char serial[STAMP_SERIAL_SIZE];
    char product[STAMP_MAX_TEXT + 1u];
    enum stamp_registry_state state;
    bool birth; /* its birth key; else an operational one: */
    uint32_t n;
    bool first_use;       /* of a pending one, or of a token */
    uint8_t *certificate; /* of its birth, DER; NULL = the books have none */
    size_t certificate_len;
};

void stamp_admitted_fini(struct stamp_admitted *a);

/**
 * The key is the one on the books, AND the chain is trusted or the certificate is the
 * booked one byte for byte.
 */
STAMP_MUST_USE enum stamp_err stamp_registry_admit(struct stamp_registry *r,
                                                   const struct stamp_peer *peer,
                                                   struct stamp_admitted *out,
                                                   struct stamp_error *err);

/** A device by its serial: for a registrar that speaks for it. */
STAMP_MUST_USE enum stamp_err stamp_registry_admit_serial(struct stamp_registry *r,
                                                          const char *serial,
                                                          struct stamp_admitted *out,
                                                          struct stamp_error *err);

/** A device by its number: for a token. */
STAMP_MUST_USE enum stamp_err stamp_registry_admit_device(struct stamp_registry *r,
                                                          int64_t device,
                                                          struct stamp_admitted *out,
                                                          struct stamp_error *err);

/** The pending key was used: it is the one from now on. Books the device as active where
 * it may become so. */
STAMP_MUST_USE enum stamp_err stamp_registry_ldevid_use(struct stamp_registry *r,
                                                        const struct stamp_admitted *a,
                                                        time_t now,
                                                        struct stamp_error *err);

struct stamp_ldevid_asked {
    int64_t device;
    uint8_t fingerprint[32];
    uint8_t certificate_serial[STAMP_CERTIFICATE_SERIAL_SIZE]; /* where it is new */
    time_t now, not_after;
    time_t renew_before; /* a certificate that ends before this is renewed */
    uint32_t per_hour;   /* most new certificates of one device in an hour */
    const char *who;
};

/**
 * Book that a key is to be certified; or find that it was, or is to be, already: the same
 * key of the same device gets the same certificate, until it is to be renewed.
 *
 * @param out  its row; INTENT where it is still to be signed, exactly as the row says.
 * End with stamp_ldevid_fini()
 */
STAMP_MUST_USE enum stamp_err stamp_registry_ldevid_begin(
    struct stamp_registry *r, const struct stamp_ldevid_asked *asked,
    enum stamp_refusal *refusal, struct stamp_ldevid *out, struct stamp_error *err);

/** Book its certificate. A second one for the same row is passed over: @param kept  false
 * where the row was not (or no more) waiting for it */
STAMP_MUST_USE enum stamp_err
stamp_registry_ldevid_certify(struct stamp_registry *r, int64_t device, uint32_t n,
                              struct stamp_slice certificate, bool *kept,
                              struct stamp_error *err);

/** The `max` newest of a device. @param rows  each to be ended with stamp_ldevid_fini()
 */
STAMP_MUST_USE enum stamp_err stamp_registry_ldevid_list(struct stamp_registry *r,
                                                         int64_t device,
                                                         struct stamp_ldevid *rows,
                                                         size_t max, size_t *n,
                                                         struct stamp_error *err);

/** Whose operational certificate is it? `device` 0 where there is none. */
STAMP_MUST_USE enum stamp_err stamp_registry_certificate_owner(
    struct stamp_registry *r,
    const uint8_t certificate_serial[STAMP_CERTIFICATE_SERIAL_SIZE], int64_t *device,
    uint32_t *n, struct stamp_error *err);

#endif

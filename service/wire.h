/*
 * Messages between the processes of the service (service/service.h). Each has one type, a
 * number that its answer bears too, and the fields of that type, each with a size that it
 * may not pass: service/wire.c has the table. What does not fit it exactly is no message,
 * and whoever gets such a thing ends, since only a process that was taken over sends one.
 *
 * The processes are of one program; so the bytes are no format that must last.
 */
#ifndef SERVICE_WIRE_H
#define SERVICE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/batchfile.h"
#include "host/crl.h"
#include "host/evidence.h"
#include "host/keypackage.h"
#include "host/leaf.h"
#include "host/registry_enrol.h"
#include "host/registry_token.h"
#include "host/unit_request.h"

#define SERVICE_MESSAGE_MAX 16384u
#define SERVICE_FROM_MAX 64u
#define SERVICE_SECRET_MAX 1024u
#define SERVICE_PART_MAX 12288u
#define SERVICE_OCSP_MAX 4096u
#define SERVICE_STATIONS_MAX (32u * STAMP_BATCH_RECIPIENTS_MAX)
#define SERVICE_NAME_MAX 64u   /* of a request for a batch */
#define SERVICE_ID_MAX 64u     /* what people call a device, a batch, an order */
#define SERVICE_NUMBER_MAX 20u /* bytes of a certificate's serial number, RFC 5280 */

enum service_type {
    SERVICE_READY = 1,  /* to the parent: this process works */
    SERVICE_STOP = 2,   /* from the parent: end once what waits is done */
    SERVICE_LOST = 3,   /* from the parent: another process died, and is there again */
    SERVICE_SECRET = 4, /* from the parent to the signer: the passphrase */
    SERVICE_ENROL = 5,  /* front to books: a device asks for a certificate */
    SERVICE_SERVER = 6, /* front, maker to books: a certificate for its own key */
    SERVICE_ANSWER = 7, /* books to front */
    SERVICE_SIGN = 8,   /* books to signer: a device's operational certificate */
    SERVICE_SIGN_SERVER = 9,
    SERVICE_SIGNED = 10,    /* signer to who asked */
    SERVICE_SIGN_OCSP = 11, /* status to signer: who answers for the authority */
    SERVICE_CRL_BEGIN = 12, /* status to signer: a list, in parts */
    SERVICE_CRL_PART = 13,
    SERVICE_CRL_END = 14,
    SERVICE_CRL_SIGNED = 15,  /* signer to status */
    SERVICE_CRL = 16,         /* status to front, with a file */
    SERVICE_OCSP = 17,        /* front to status: what of a certificate? */
    SERVICE_OCSP_ANSWER = 18, /* status to front */
    SERVICE_OCSP_FLUSH = 19,  /* status to front: answers that it kept are old */
    SERVICE_UNIT = 20,       /* front to books: a station asks for a unit's certificate */
    SERVICE_SIGN_UNIT = 21,  /* books to signer: a birth certificate */
    SERVICE_SIGN_MAKER = 22, /* books to signer: who makes keys */
    SERVICE_MAKE = 23,       /* front to maker: a key for a device */
    SERVICE_MADE = 24,       /* maker to front */
    SERVICE_BATCH = 25,      /* front to batches */
    SERVICE_BATCH_ANSWER = 26,  /* batches to front, with a file where that was asked for
                                 */
    SERVICE_QUERY = 27,         /* front to reader */
    SERVICE_QUERY_ANSWER = 28,  /* reader to front, in parts */
    SERVICE_CHANGE = 29,        /* front to books: a program changes something */
    SERVICE_CHANGE_ANSWER = 30, /* books to front */
    SERVICE_FACTORY_ASK = 31    /* front to factory, with a file where it is a bundle; it
                                   answers with SERVICE_QUERY_ANSWER */
};
#define SERVICE_TYPES 32u

/** How a device shows who it is. */
enum service_credential {
    SERVICE_BY_CERTIFICATE = 0, /* its own */
    SERVICE_BY_TOKEN = 1,
    SERVICE_BY_REGISTRAR = 2 /* who may speak for it: RFC 7030 3.7 */
};

/** What somebody asks for, as the front read it. The books believe nothing of it but that
 * some front says so. */
struct service_enrol {
    uint8_t credential;      /* enum service_credential */
    uint8_t judged;          /* else `chain` is what its certificate alone says */
    uint8_t chain;           /* enum stamp_refusal: why the peer's chain does not hold */
    struct stamp_slice peer; /* its certificate, DER; empty = none */
    uint8_t fingerprint[32]; /* of the peer's key */
    struct stamp_slice peer_serial;
    uint8_t token[STAMP_TOKEN_DIGEST_SIZE];
    struct stamp_slice token_serial; /* whose it is said to be; empty = not said */
    uint8_t point[STAMP_POINT_SIZE];
    struct stamp_slice serial;   /* the request's subject's serialNumber; empty = none */
    struct stamp_slice evidence; /* SPEC 16-6; empty = none */
    struct stamp_slice label;    /* of the URL; empty = none */
    struct stamp_slice from;     /* address, for the books and the log */
};

/** What a station asks, as the front read it; its signature is checked by the books.
 * host/unit_request.h */
struct service_unit {
    uint8_t station[32];
    uint8_t order[STAMP_ORDER_ID_SIZE];
    uint64_t index;
    uint8_t point[STAMP_POINT_SIZE];
    uint8_t digest[32];
    uint64_t not_before;
    struct stamp_slice provisioning; /* point; empty = none */
    uint8_t sig[STAMP_SIG_SIZE];
    struct stamp_slice from;
};

struct service_server {
    uint8_t point[STAMP_POINT_SIZE];
};

enum service_outcome {
    SERVICE_CERTIFICATE = 0,
    SERVICE_REFUSED = 1,
    SERVICE_LATER = 2, /* nothing is decided: ask again */
    SERVICE_JUDGE = 3  /* it is not the booked certificate: does its chain hold? */
};

struct service_answer {
    uint8_t outcome;
    uint8_t refusal;                /* enum stamp_refusal */
    struct stamp_slice certificate; /* DER */
};

struct service_sign {
    uint8_t serial_number[STAMP_CERTIFICATE_SERIAL_SIZE];
    uint8_t point[STAMP_POINT_SIZE];
    uint64_t not_before, not_after;
    struct stamp_slice birth; /* DER; not of a SERVICE_SIGN_SERVER */
};

/** All that a birth certificate says that is not in the workspace's profile. */
struct service_sign_unit {
    uint8_t serial_number[STAMP_CERTIFICATE_SERIAL_SIZE];
    struct stamp_slice serial; /* text */
    uint8_t point[STAMP_POINT_SIZE];
    uint8_t digest[32];
    struct stamp_slice provisioning;
    uint64_t not_before;
};

struct service_signed {
    uint8_t refused;                /* by its policy; else it could not, for now */
    struct stamp_slice certificate; /* empty: it did not */
    struct stamp_slice why;         /* for the log */
};

struct service_crl_begin {
    uint64_t number, this_update, next_update, entries_len;
};

struct service_crl_signed {
    struct stamp_slice head, tail; /* empty: it could not */
    struct stamp_slice why;
};

struct service_crl {
    uint64_t len, this_update, next_update;
};

/** Which hash the request has of the issuer; the answer has the same. */
enum service_ocsp_hash { SERVICE_OCSP_SHA1 = 0, SERVICE_OCSP_SHA256 = 1 };

struct service_ocsp {
    uint8_t hash;
    struct stamp_slice serial_number; /* without leading zeros */
};

struct service_ocsp_answer {
    struct stamp_slice response; /* DER; empty: not now */
    uint64_t this_update, next_update;
};

/** A key, for whom; it is asked for before anybody is admitted, and is nobody's as long
 * as the books do not have it. */
struct service_make {
    struct stamp_slice recipient; /* certificate, DER; empty: in the clear */
};

struct service_made {
    uint8_t point[STAMP_POINT_SIZE];
    struct stamp_slice key; /* host/keypackage.h; empty: not now */
};

enum service_batch_verb {
    SERVICE_BATCH_MAKE = 0, /* begin it, or go on, or say how far it is */
    SERVICE_BATCH_LOOK = 1,
    SERVICE_BATCH_FETCH = 2
};

/** What a program asks of a batch. */
struct service_batch {
    uint8_t verb;                         /* enum service_batch_verb */
    uint8_t key[STAMP_TOKEN_DIGEST_SIZE]; /* of the API key it shows */
    uint64_t batch;                       /* its number; of MAKE: how many stamps, */
    struct stamp_slice name;              /* what it calls the request */
    struct stamp_slice product;
    struct stamp_slice note;
    struct stamp_slice stations; /* SHA-256 of each one's certificate */
    struct stamp_slice from;
};

enum service_batch_outcome {
    SERVICE_BATCH_MADE = 0,
    SERVICE_BATCH_OPEN = 1,   /* it is being made, or waits to be gone on with */
    SERVICE_BATCH_LATER = 2,  /* another one is being made, or the books are away */
    SERVICE_BATCH_KEY = 3,    /* nobody has this key */
    SERVICE_BATCH_ROLE = 4,   /* its role may not */
    SERVICE_BATCH_NONE = 5,   /* there is none, or its file is elsewhere */
    SERVICE_BATCH_OTHER = 6,  /* this name was another request's */
    SERVICE_BATCH_WRONG = 7,  /* it cannot be made as it is asked for */
    SERVICE_BATCH_FAILED = 8, /* it broke off: ask again */
    SERVICE_BATCH_OUTCOMES = 9
};

struct service_batch_answer {
    uint8_t outcome; /* enum service_batch_outcome */
    uint64_t batch, count, made;
    uint64_t size; /* of the file; 0 = there is none yet */
    struct stamp_slice product;
    struct stamp_slice why; /* a sentence, where it is refused */
};

enum service_query_verb {
    SERVICE_QUERY_DEVICE = 0, /* text: its serial */
    SERVICE_QUERY_DEVICES,    /* a page; text: the serial of the last one before it */
    SERVICE_QUERY_RECEIPT,    /* text: its serial */
    SERVICE_QUERY_HEAD,       /* of the log */
    SERVICE_QUERY_ENTRIES,    /* from, limit */
    SERVICE_QUERY_PROOF,      /* of leaf `from` in a tree of `to`; 0 = the head's */
    SERVICE_QUERY_GROWTH,     /* from the tree of `from` to that of `to` */
    SERVICE_QUERY_BATCH,      /* text: what people call it */
    SERVICE_QUERY_ORDER,      /* the same */
    SERVICE_QUERY_BATCHES,    /* those behind number `from`, limit */
    SERVICE_QUERY_ORDERS,     /* the same */
    SERVICE_QUERY_STATIONS,
    SERVICE_QUERY_PRODUCTS,
    SERVICE_QUERY_POP, /* text: its serial; a proof of possession, sealed to its owner */
    SERVICE_QUERY_VERBS
};
#define SERVICE_ANY_STATE 255u
#define SERVICE_PAGE_MAX 500u /* rows in an answer */

/** What a program asks of devices and of the log: service/api_query.c. */
struct service_query {
    uint8_t verb;                         /* enum service_query_verb */
    uint8_t key[STAMP_TOKEN_DIGEST_SIZE]; /* of the API key it shows; or */
    uint8_t by_certificate;               /* of the certificate */
    uint8_t state; /* of the devices: enum stamp_registry_state, or SERVICE_ANY_STATE */
    uint64_t batch, since;      /* 0 = any */
    uint64_t from, to, limit;   /* limit 1..SERVICE_PAGE_MAX */
    struct stamp_slice text;    /* a serial, or a name */
    struct stamp_slice product; /* empty = any */
    struct stamp_slice address; /* of who asks */
};

enum service_body { SERVICE_JSON = 0, SERVICE_PROBLEM = 1, SERVICE_CBOR = 2 };

struct service_query_answer {
    uint64_t code; /* HTTP's; 0: not now */
    uint8_t kind;  /* enum service_body */
    uint8_t more;  /* parts come */
    struct stamp_slice part;
};

enum service_change_verb {
    SERVICE_CHANGE_STATE = 0,
    SERVICE_CHANGE_REVOKE,
    SERVICE_CHANGE_OPERATIONAL, /* revoke its operational certificates alone */
    SERVICE_CHANGE_VERBS
};

/** What a program changes of a device: service/api_change.c. */
struct service_change {
    uint8_t verb;                         /* enum service_change_verb */
    uint8_t key[STAMP_TOKEN_DIGEST_SIZE]; /* of the API key it shows */
    uint8_t state;                        /* enum stamp_registry_state */
    uint8_t reason;                       /* enum stamp_reason */
    struct stamp_slice serial, why, chip;
    struct stamp_slice from;
};

enum service_change_outcome {
    SERVICE_CHANGE_DONE = 0,
    SERVICE_CHANGE_LATER = 1,    /* the books are away */
    SERVICE_CHANGE_KEY = 2,      /* nobody has this key */
    SERVICE_CHANGE_ROLE = 3,     /* its role may not */
    SERVICE_CHANGE_NONE = 4,     /* there is no such device */
    SERVICE_CHANGE_CONFLICT = 5, /* it is in a state that does not let it */
    SERVICE_CHANGE_WRONG = 6     /* it cannot be as it is asked for */
};

struct service_change_answer {
    uint8_t outcome; /* enum service_change_outcome */
    uint64_t n;      /* what was changed: 0 or 1, or certificates that were revoked */
    struct stamp_slice why;
};

enum service_factory_verb {
    SERVICE_FACTORY_ORDER = 0, /* reserve what a work order takes, and book it */
    SERVICE_FACTORY_FILE,      /* book which file an order is: id, digest */
    SERVICE_FACTORY_CLOSE,     /* id */
    SERVICE_FACTORY_JOURNALS,  /* what there is of each station's */
    SERVICE_FACTORY_BUNDLE,    /* take an export in; it comes as a file */
    SERVICE_FACTORY_RECONCILE,
    SERVICE_FACTORY_RESULTS,  /* book what a station reports of a batch: a file, too */
    SERVICE_FACTORY_RETURNED, /* a device that came back, beside the books */
    SERVICE_FACTORY_VERBS
};

/** What a program asks of work orders and journals: service/api_factory.c. */
struct service_factory {
    uint8_t verb;                         /* enum service_factory_verb */
    uint8_t key[STAMP_TOKEN_DIGEST_SIZE]; /* of the API key it shows */
    struct stamp_slice name;              /* what it calls the request; empty = nothing */
    struct stamp_slice id;                /* what people call the order */
    struct stamp_slice digest;            /* SHA-256 of its file */
    struct stamp_slice station;           /* SHA-256 of the station CA's certificate */
    struct stamp_slice product, pattern, note;
    uint64_t count, first, not_after;
    uint8_t lock_later;
    uint8_t pop;                                /* enum stamp_order_pop */
    uint8_t quarantine;                         /* of RESULTS */
    struct stamp_slice certificate, chip, port; /* of RETURNED: what the device showed */
    uint8_t lock, can, strikes;                 /* as struct stamp_shown has it */
    struct stamp_slice from;
};
#define SERVICE_BUNDLE_MAX 2097152u   /* bytes of a part of an export, or of some */
#define SERVICE_RESULTS_MAX 67108864u /* of results, which are one file */

struct service_message {
    uint8_t type;
    uint64_t id;
    union {
        uint8_t lost; /* enum service_role */
        struct stamp_slice secret;
        struct service_enrol enrol;
        struct service_server server;
        struct service_answer answer;
        struct service_sign sign;
        struct service_signed signed_;
        struct service_crl_begin crl_begin;
        struct stamp_slice crl_part;
        struct service_crl_signed crl_signed;
        struct service_crl crl;
        struct service_ocsp ocsp;
        struct service_ocsp_answer ocsp_answer;
        struct service_unit unit;
        struct service_sign_unit sign_unit;
        struct service_make make;
        struct service_made made;
        struct service_batch batch;
        struct service_batch_answer batch_answer;
        struct service_query query;
        struct service_query_answer query_answer;
        struct service_change change;
        struct service_change_answer change_answer;
        struct service_factory factory;
    } u;
};

/** A slice as text with a NUL; cut where it is longer. */
void service_text(struct stamp_slice s, char *out, size_t size);

/**
 * @param out  SERVICE_MESSAGE_MAX bytes
 * @return its length; 0 where a field is longer than the table allows
 */
size_t service_wire_encode(const struct service_message *m, uint8_t *out);

/** @param m  its slices point into `p`; zeroed where this is no message */
bool service_wire_decode(const uint8_t *p, size_t len, struct service_message *m);

#endif

/*
 * Work orders being made: serials are reserved on the books, then what a station may do
 * with them is signed with the owner key and sealed to it. An order may be shared between
 * a station and a spare one with a token of its own: each has its own block of serials,
 * so that one can take over from the other and no unit is made by both.
 */
#ifndef CLI_ORDER_MAKE_H
#define CLI_ORDER_MAKE_H

#include <openssl/x509.h>

#include "cli/online.h"
#include "host/bundle.h"
#include "host/order.h"
#include "host/registry_order.h"
#include "host/station_cert.h"
#include "host/workspace.h"

#define ORDER_SHARES 2u

/** One station's part of it. */
struct order_share {
    const char *station_file; /* what enrolling wrote; borrowed */
    uint32_t count;

    /* made */
    struct stamp_station_cert station;
    struct stamp_registry_order order;
    char first_serial[STAMP_SERIAL_SIZE];
    char last_serial[STAMP_SERIAL_SIZE];
    struct stamp_buffer file; /* signed and sealed */
};

struct order_making {
    /* asked for; texts are borrowed */
    const char *product;
    uint32_t count;      /* of all shares */
    const char *serials; /* FROM..TO of all shares; NULL = the next free blocks */
    time_t not_after;
    time_t not_before; /* 0 = now */
    bool lock_later;
    bool uncounted; /* a token that keeps no count will do */
    enum stamp_order_pop pop;
    const char *recipient; /* NULL = headquarters' reception */
    uint32_t backdate;     /* seconds */
    const char *note;      /* NULL = none */
    struct cli_online
        *online; /* the service that has the books; NULL = they are at hand */
    unsigned n_shares;
    struct order_share share[ORDER_SHARES];

    /* between the books and the files */
    struct stamp_workspace *ws;
    time_t now;
    EVP_PKEY *owner;
    uint8_t bundle[STAMP_MAX_BUNDLE];
    size_t bundle_len;
    X509 *recipient_cert;
    uint8_t *recipient_der;
    size_t recipient_len;
};

/** Check what is asked for. Nothing is changed. @param ws  borrowed until the end */
STAMP_MUST_USE enum stamp_err order_make_begin(struct order_making *m,
                                               struct stamp_workspace *ws,
                                               struct stamp_error *err);

/** Reserve all shares and make their files' contents. Where it fails and the first share
 * has a batch, that one's serials are spent. */
STAMP_MUST_USE enum stamp_err order_make(struct order_making *m,
                                         const struct stamp_secret *passphrase,
                                         struct stamp_error *err);

void order_make_end(struct order_making *m);

#endif

/*
 * A front: one event loop for the listening socket, TLS connections, and the channel to
 * the books. What is asked waits in `pending` until the books answer; who asks too long
 * gets 202 and asks again (RFC 7030 4.2.3).
 */
#ifndef SERVICE_FRONT_H
#define SERVICE_FRONT_H

#include <event2/event.h>
#include <event2/http.h>

#include "host/pkcs10.h"
#include "service/est_body.h"
#include "service/ocsp_cache.h"
#include "service/process.h"
#include "service/tls.h"

#define FRONT_PENDING_MAX 4096u

struct front;

/* A channel, and the events of it. */
struct front_link {
    struct service_channel channel;
    struct event *readable, *writable;
};

/* One TLS connection. */
struct front_connection {
    struct front *front;
    SSL *ssl;
    bool judged;
    struct service_peer peer;
};

/* A request that waits for the books, or for the status. */
struct front_pending {
    bool used;
    enum service_role at; /* who has it: books, status, maker, batches, reader, factory */
    bool unit;            /* a station asks: service/station.h */
    bool change;          /* a program changes something: service/api_change.c */
    uint8_t verb;         /* of what the batches or the factory are asked */
    struct evbuffer *body; /* what reader or factory said so far; NULL = nothing */
    uint8_t *key;          /* that was made for the device; NULL = none */
    size_t key_len;
    uint64_t id;
    struct evhttp_request *request; /* NULL: who asked is gone */
    enum est_style style;
    struct service_ocsp asked; /* points into `number` */
    uint8_t number[SERVICE_NUMBER_MAX];
    int64_t since_us;
};

/* The authority, as OCSP requests name it. */
struct front_issuer {
    uint8_t name[32], key[32];
    size_t len;
};

/* What the slices of a service_enrol point into, until it is sent. */
struct est_texts {
    char serial[STAMP_SERIAL_SIZE];
    char token_serial[STAMP_SERIAL_SIZE];
    char label[STAMP_MAX_TEXT + 1u];
    struct stamp_pkcs10 request;
};

struct front {
    const struct stamp_service_setup *setup;
    unsigned index;
    struct stamp_workspace *ws;
    STACK_OF(X509) * rollover; /* service/rollover.h */
    struct service_tls *tls;
    struct event_base *base;
    struct evhttp *http;
    struct evconnlistener *listener[SERVICE_LISTENERS_MAX]; /* of HTTPS */
    bool lets_in;                                           /* they listen */
    struct evhttp *plain;                                   /* HTTP; NULL = none */
    struct evhttp *admin;                                   /* the same */
    struct service_channel control;
    struct front_link books, status, maker, batches, reader, factory;
    struct event *control_readable, *tick, *turn;
    uint64_t sequence;
    uint64_t server_id;  /* of the request for its own certificate; 0 = none */
    int64_t renew_at_ms; /* its certificate */
    uint32_t connections;
    bool ready, stopping;
    uint8_t *cacerts; /* certs-only PKCS#7, DER */
    size_t cacerts_len;
    struct front_issuer issuer[2]; /* by enum service_ocsp_hash */
    struct evbuffer_file_segment *list;
    struct service_crl list_told;
    struct ocsp_cache ocsp;
    struct front_pending pending[FRONT_PENDING_MAX];
    uint32_t free_slot[FRONT_PENDING_MAX];
    uint32_t n_free;
};

/** The connection of a request; who is on the other side is known from now on. */
struct front_connection *front_connection_of(struct front *f, struct evhttp_request *req);

/** Send what a device asks for to the books; the request is answered later. False where
 * too many wait. */
bool front_ask(struct front *f, struct evhttp_request *req,
               const struct service_enrol *asked, enum est_style style);

/** Address of who asks, for books and log; as long as the request. */
struct stamp_slice front_from(struct evhttp_request *req);

/** Have a key made first, then est_made() asks the books. */
bool front_ask_key(struct front *f, struct evhttp_request *req,
                   const struct service_make *asked, enum est_style style);

/** The same with what a station asks for one of its units. */
bool front_ask_unit(struct front *f, struct evhttp_request *req,
                    const struct service_unit *asked);

/** The same with what a program asks of batches: service/api.h. */
bool front_ask_batch(struct front *f, struct evhttp_request *req,
                     const struct service_batch *asked);

/** The same with what a program asks of devices and the log: service/api_query.c. */
bool front_ask_query(struct front *f, struct evhttp_request *req,
                     const struct service_query *asked);

/** The same with what a program asks of work orders and journals: service/api_factory.c.
 * @param file  of a bundle, which is taken; -1 = none */
bool front_ask_factory(struct front *f, struct evhttp_request *req,
                       const struct service_factory *asked, int file);

/** The same with what a program changes: service/api_change.c. */
bool front_ask_change(struct front *f, struct evhttp_request *req,
                      const struct service_change *asked);

/** The same with what the status is asked. */
bool front_ask_status(struct front *f, struct evhttp_request *req,
                      const struct service_ocsp *asked);

/* ---- est.c ---- */

/** Answer a request, or ask the books. */
void est_request(struct evhttp_request *req, void *front);

/** The maker made a key for the device that asks: what it asks for, again, as
 * est_request() put it together. False: it is refused meanwhile, and answered. */
bool est_made(struct front *f, struct evhttp_request *req, const uint8_t *point,
              struct service_enrol *asked, struct est_texts *texts);

/** What the books say. @param key  that was made for the device; empty = none */
void est_answer(struct evhttp_request *req, const struct service_answer *answer,
                enum est_style style, struct stamp_slice key);

/** Did the books give a certificate? Else why not is answered. */
bool est_has_certificate(struct evhttp_request *req, const struct service_answer *answer);

/** Not now: 202 where the books have the request, else 503. */
void est_later(struct evhttp_request *req, bool taken);

#endif

/*
 * TLS of a front: its key and certificate, and who is on the other side. The handshake
 * takes any client certificate, or none: that its holder has the key is proven by it, and
 * whether he is let in is for the books to say (architecture: admission).
 */
#ifndef SERVICE_TLS_H
#define SERVICE_TLS_H

#include <openssl/ssl.h>

#include "host/registry_enrol.h"
#include "host/workspace.h"

struct service_tls;

/** TLS 1.3, or 1.2 with ECDHE and AEAD. @param ws  whose root and sub-CA are believed;
 * outlives it */
STAMP_MUST_USE enum stamp_err service_tls_new(const struct stamp_workspace *ws,
                                              STACK_OF(X509) * rollover,
                                              struct service_tls **out,
                                              struct stamp_error *err);
void service_tls_free(struct service_tls **p);

/** Draw the next key. @param point  of it, to be certified */
STAMP_MUST_USE enum stamp_err service_tls_next_key(struct service_tls *t,
                                                   uint8_t point[STAMP_POINT_SIZE],
                                                   struct stamp_error *err);

/** Use it from now on, with this certificate. STAMP_E_FORMAT where it is another key's.
 */
STAMP_MUST_USE enum stamp_err service_tls_use(struct service_tls *t,
                                              struct stamp_slice certificate,
                                              struct stamp_error *err);

/** For a new connection; the caller frees it. NULL: out of memory. */
SSL *service_tls_accept(struct service_tls *t);

/** Who showed a client certificate. */
struct service_peer {
    bool present;
    bool registrar;           /* it has the key usage cmcRA */
    bool judged;              /* whether its chain holds was found out */
    enum stamp_refusal chain; /* NONE: it leads to the workspace's root; not judged: what
                                 its certificate alone says, its end or purpose */
    uint8_t fingerprint[32];
    char serial[STAMP_SERIAL_SIZE];
    uint8_t *der; /* owned */
    size_t len;
    X509 *cert; /* owned */
};

/** Does the chain hold? Costs a signature's check; what is on the books byte for byte
 * needs none, so it waits until the books ask. */
void service_peer_judge(const struct service_tls *t, SSL *ssl, struct service_peer *p);

/** @param p  ended with service_peer_fini() */
void service_peer_read(const struct service_tls *t, SSL *ssl, struct service_peer *p);
void service_peer_fini(struct service_peer *p);

/**
 * What a request made for this connection has as its challenge password: base64 of
 * tls-unique (RFC 5929) on TLS 1.2, of EXPORTER-Channel-Binding (RFC 9266) on TLS 1.3.
 * RFC 7030 3.5.
 */
#define SERVICE_BINDING_SIZE 64u
bool service_tls_binding(SSL *ssl, char out[SERVICE_BINDING_SIZE]);

#endif

/*
 * A client of an EST server (RFC 7030, 8951), over libcurl: for a registrar who asks in
 * the name of a device. Every response style that servers have is read.
 */
#ifndef HOST_EST_CLIENT_H
#define HOST_EST_CLIENT_H

#include <stdbool.h>

#include "core/stamp.h"
#include "host/openssl.h"

struct stamp_est_server {
    const char *url; /* "https://HOST:PORT", with a label's path behind it or not */
    const char *ca;  /* PEM file: who is believed to be the server; or: */
    struct stamp_slice ca_pem; /* the same as text; p NULL = `ca` */
    const char *client;        /* PEM file: own certificate with its chain, and its key */
    unsigned patience_s;       /* for a server that says "later": 202, 503 */
};

/** Certificates of authorities; sk_X509_pop_free() it. The errors are those of
 * stamp_est_enrol(). */
STAMP_MUST_USE enum stamp_err stamp_est_cacerts(const struct stamp_est_server *server,
                                                STACK_OF(X509) * *out,
                                                struct stamp_error *err);

/**
 * Ask for a certificate; asks again while the server says "later".
 *
 * @param again    simplereenroll, else simpleenroll
 * @param request  PKCS#10, DER
 * @param out      its DER; the caller frees it with OPENSSL_free()
 * @retval STAMP_E_IO      no connection, or not the server that is believed
 * @retval STAMP_E_AUTH    the server refuses; `err` has its sentence
 * @retval STAMP_E_BUSY    it says "later" for longer than patience_s, or "too often"
 * @retval STAMP_E_FORMAT  its answer is not EST's
 */
STAMP_MUST_USE enum stamp_err stamp_est_enrol(const struct stamp_est_server *server,
                                              bool again, struct stamp_slice request,
                                              uint8_t **out, size_t *out_len,
                                              struct stamp_error *err);

#endif

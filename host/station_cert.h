/*
 * What headquarters gives a station: its three certificates, headquarters' own, and the
 * owner's trust bundle, in one PEM file. And what the station asks with: three requests,
 * in one PEM file, too.
 */
#ifndef HOST_STATION_CERT_H
#define HOST_STATION_CERT_H

#include "core/stamp.h"
#include "host/openssl.h"
#include "host/trust.h"
#include "host/workspace.h"

enum stamp_station_key {
    STAMP_STATION_CA,      /* signs what is born at the station */
    STAMP_STATION_BOX,     /* opens work orders */
    STAMP_STATION_JOURNAL, /* signs the journal */
    STAMP_STATION_KEYS
};

/** In the common names of a station whose token keeps no count: of its requests, and of
 * the station CA. */
#define STAMP_STATION_UNCOUNTED " uncounted"

struct stamp_station_cert {
    X509 *cert[STAMP_STATION_KEYS];
    bool uncounted; /* its token keeps no count: it takes orders that allow that */
    X509 *root;
    X509 *home; /* journals are sealed to it */
    uint8_t bundle[STAMP_MAX_BUNDLE];
    size_t bundle_len;
    uint8_t purpose;
    uint8_t owner_hash[32];
    uint8_t id[32]; /* SHA-256 of the station CA's certificate */
};

/**
 * Load and check: the certificates are the root's, for one purpose, and each for what it
 * is; the bundle names that root.
 *
 * @retval STAMP_E_FORMAT  not such a file
 * @retval STAMP_E_AUTH    its parts do not belong together
 */
STAMP_MUST_USE enum stamp_err stamp_station_cert_load(const char *path,
                                                      struct stamp_station_cert *out,
                                                      struct stamp_error *err);
void stamp_station_cert_fini(struct stamp_station_cert *c);

/** DER of one of them; OPENSSL_free() it. */
STAMP_MUST_USE enum stamp_err stamp_station_cert_der(const struct stamp_station_cert *c,
                                                     enum stamp_station_key which,
                                                     uint8_t **der, size_t *len,
                                                     struct stamp_error *err);

/**
 * Sign what a station asks for with the workspace's root, and book the station. A station
 * that is on the books already gets what it got before.
 *
 * @param requests    text of the PEM file: three PKCS#10, each signed by its own key,
 *                    the box's by the CA's where its own signs nothing; their common
 *                    names end in " ca", " box" and " journal"
 * @param name        for people; NULL = made from its key
 * @param passphrase  of the workspace's keys; NULL in development
 * @param pem         NUL-terminated; the caller frees it
 * @retval STAMP_E_AUTH    a request is not signed by its key, or two ask for one key
 * @retval STAMP_E_EXISTS  its CA key is enrolled with another box or journal key
 */
STAMP_MUST_USE enum stamp_err stamp_station_enrol(const struct stamp_workspace *ws,
                                                  const char *requests, size_t len,
                                                  const char *name,
                                                  const struct stamp_secret *passphrase,
                                                  char **pem, struct stamp_error *err);

#endif

/*
 * Requests over HTTPS, by libcurl, for who asks the service: one connection that is kept,
 * and patience with a server that says "later".
 */
#ifndef HOST_HTTPS_H
#define HOST_HTTPS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/stamp.h"
#include "host/error.h"
#include "host/secret.h"

#define STAMP_HTTPS_ANSWER_MAX ((size_t)1 << 20)

struct stamp_https;

struct stamp_https_setup {
    const char *url;           /* "https://HOST:PORT", with a path behind it or not */
    const char *ca;            /* PEM file: who is believed to be the server; or: */
    struct stamp_slice ca_pem; /* the same as text; p NULL = `ca` */
    const char *client; /* PEM file: own certificate, its chain, its key; NULL = none */
    const struct stamp_secret *bearer; /* API key; NULL = none */
    unsigned patience_s;               /* for a server that says "later": 202, 503 */
    unsigned answer_s;                 /* for one answer; 0 = 60 */
};

/** @param setup  what it points to is borrowed until the end
 * @retval STAMP_E_CONFIG  the URL is none of https */
STAMP_MUST_USE enum stamp_err stamp_https_new(const struct stamp_https_setup *setup,
                                              struct stamp_https **out,
                                              struct stamp_error *err);
void stamp_https_free(struct stamp_https **p);
#define STAMP_HTTPS_AUTO __attribute__((cleanup(stamp_https_free))) struct stamp_https

/**
 * GET, or POST where there is a body. Asks again while the server says "later".
 *
 * @param path    behind the URL: "/crl"
 * @param type    of the body
 * @param answer  until the next request; a NUL is behind it
 * @retval STAMP_E_IO      no connection, or not the server that is believed
 * @retval STAMP_E_AUTH    the server refuses; `err` has its sentence
 * @retval STAMP_E_BUSY    it says "later" for longer than patience_s, or "too often"
 * @retval STAMP_E_FORMAT  it answers with more than STAMP_HTTPS_ANSWER_MAX bytes
 */
STAMP_MUST_USE enum stamp_err stamp_https_ask(struct stamp_https *h, const char *path,
                                              const char *type, struct stamp_slice body,
                                              struct stamp_slice *answer,
                                              struct stamp_error *err);

/**
 * The same once, whatever the server says.
 *
 * @param header  one more of the request, "NAME: VALUE"; NULL = none
 * @param status  HTTP's
 */
STAMP_MUST_USE enum stamp_err stamp_https_try(struct stamp_https *h, const char *path,
                                              const char *header, const char *type,
                                              struct stamp_slice body, long *status,
                                              struct stamp_slice *answer,
                                              struct stamp_error *err);

/**
 * GET what may be long, into a file, from where that is on. Fails where nothing comes for
 * a minute.
 *
 * @retval STAMP_E_IO    the connection broke, or the file could not be written
 * @retval STAMP_E_AUTH  the server refuses; `err` has its sentence
 */
STAMP_MUST_USE enum stamp_err stamp_https_fetch(struct stamp_https *h, const char *path,
                                                int fd, uint64_t *len,
                                                struct stamp_error *err);

#endif

/*
 * What an EST client sends and gets: base64 of DER (RFC 8951 3). Reading is tolerant of
 * what real clients send: CR, LF, spaces and tabs anywhere, PEM armour around it; writing
 * is in the style of who asked, since no style suits all.
 */
#ifndef SERVICE_EST_BODY_H
#define SERVICE_EST_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/cms.h"

#define EST_BODY_MAX 16384u /* bytes of a request */

enum est_style {
    EST_ONE_LINE, /* and LF */
    EST_WRAPPED   /* after 64 characters, as PEM is */
};

/**
 * @param out    at least `len` bytes
 * @param style  as the sender has it
 * @return false where this is no base64, or nothing at all
 */
bool est_body_read(const void *body, size_t len, uint8_t *out, size_t *out_len,
                   enum est_style *style);

/** Length of what est_body_write() makes of `len` bytes. */
size_t est_body_size(size_t len, enum est_style style);

/** @param out  est_body_size() bytes, no NUL */
void est_body_write(const uint8_t *der, size_t len, enum est_style style, char *out);

/** Certs-only PKCS#7 (RFC 5652 5.1, RFC 5751 3.2.2) of these certificates, DER each.
 * @return its length; 0 where `size` is too small */
size_t est_certs_only(const struct stamp_slice *certificates, size_t n, uint8_t *out,
                      size_t size);

#endif

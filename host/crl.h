/*
 * Certificate revocation lists (RFC 5280 5), v2, put together from parts so that a list
 * of a million takes no more memory than a short one: whoever has the entries keeps them
 * in a file, whoever has the key sees them go by.
 *
 *     stamp_crl_entry()                          for each, into the file
 *     stamp_crl_new()
 *     stamp_crl_begin(), stamp_crl_add()..., stamp_crl_end()
 *     the list is: head, entries, tail
 */
#ifndef HOST_CRL_H
#define HOST_CRL_H

#include "host/registry_revoke.h"

#define STAMP_CRL_ENTRY_MAX 64u
#define STAMP_CRL_HEAD_MAX 1024u
#define STAMP_CRL_TAIL_MAX 512u

/** An entry's DER. @return its length */
size_t stamp_crl_entry(const struct stamp_revocation *r,
                       uint8_t out[STAMP_CRL_ENTRY_MAX]);

struct stamp_crl;

/** @param issuer  has a key identifier. @param key  kept until stamp_crl_free() */
STAMP_MUST_USE enum stamp_err stamp_crl_new(const X509 *issuer, EVP_PKEY *key,
                                            struct stamp_crl **out,
                                            struct stamp_error *err);
void stamp_crl_free(struct stamp_crl **p);

struct stamp_crl_what {
    uint64_t number;
    time_t this_update, next_update;
    uint64_t entries_len; /* bytes of all entries together */
};

/** STAMP_E_RANGE: dates or a length that cannot be. */
STAMP_MUST_USE enum stamp_err stamp_crl_begin(struct stamp_crl *c,
                                              const struct stamp_crl_what *what,
                                              struct stamp_error *err);

/** The next bytes of the entries. STAMP_E_FORMAT: they are none. */
STAMP_MUST_USE enum stamp_err stamp_crl_add(struct stamp_crl *c, const void *entries,
                                            size_t len, struct stamp_error *err);

/** Sign. STAMP_E_FORMAT: not as many bytes as were said. */
STAMP_MUST_USE enum stamp_err stamp_crl_end(struct stamp_crl *c,
                                            uint8_t head[STAMP_CRL_HEAD_MAX],
                                            size_t *head_len,
                                            uint8_t tail[STAMP_CRL_TAIL_MAX],
                                            size_t *tail_len, struct stamp_error *err);

/**
 * All of it at once, for who has both: the list of an authority into a file.
 *
 * @param days  until the next one
 * @param path  overwritten; mode 0644
 * @param count  how many are on it
 */
STAMP_MUST_USE enum stamp_err stamp_crl_write(struct stamp_registry *r,
                                              const X509 *issuer, EVP_PKEY *key,
                                              uint32_t days, const char *path,
                                              uint64_t *count, struct stamp_error *err);

/** The entries of an authority's list, into `fd` from its beginning. */
STAMP_MUST_USE enum stamp_err stamp_crl_gather(struct stamp_registry *r,
                                               const struct stamp_ca *ca, time_t now,
                                               int fd, uint64_t *len, uint64_t *count,
                                               struct stamp_error *err);

#endif

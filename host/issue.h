/*
 * Making stamps: keys, secrets, barcodes, claims, certificate, encoding. One issuer makes
 * many stamps of one profile; nothing here writes a file or the books.
 */
#ifndef HOST_ISSUE_H
#define HOST_ISSUE_H

#include "host/birth.h"
#include "host/image.h"
#include "host/workspace.h"

/** What all stamps of one workspace share: constant once made, for any number of threads.
 */
struct stamp_issuer;

/**
 * @param ws          borrowed until the issuer is freed
 * @param passphrase  of the keys, in production
 * @retval STAMP_E_PURPOSE  the profile holds what production refuses
 * @retval STAMP_E_AUTH     the passphrase is wrong or missing
 */
STAMP_MUST_USE enum stamp_err stamp_issuer_new(const struct stamp_workspace *ws,
                                               const struct stamp_secret *passphrase,
                                               struct stamp_issuer **out,
                                               struct stamp_error *err);

/** Make the certificate of a birth, as stamp_birth_make() does, for the calling thread;
 * many may call at a time. */
typedef enum stamp_err (*stamp_issue_sign)(void *ctx, const struct stamp_birth *birth,
                                           uint8_t *out, size_t *len,
                                           struct stamp_error *err);

/** The same where the key of the authority is elsewhere: `sign` gets each certificate
 * from there. No key of the workspace is opened. */
STAMP_MUST_USE enum stamp_err stamp_issuer_new_elsewhere(const struct stamp_workspace *ws,
                                                         stamp_issue_sign sign, void *ctx,
                                                         struct stamp_issuer **out,
                                                         struct stamp_error *err);

void stamp_issuer_free(struct stamp_issuer **p);
#define STAMP_ISSUER_AUTO __attribute__((cleanup(stamp_issuer_free))) struct stamp_issuer

/** One thread's means of issuing. */
struct stamp_issue_worker;

/** @param issuer  borrowed until the worker is freed */
STAMP_MUST_USE enum stamp_err stamp_issue_worker_new(const struct stamp_issuer *issuer,
                                                     struct stamp_issue_worker **out,
                                                     struct stamp_error *err);

void stamp_issue_worker_free(struct stamp_issue_worker **p);
#define STAMP_ISSUE_WORKER_AUTO                                                          \
    __attribute__((cleanup(stamp_issue_worker_free))) struct stamp_issue_worker

/** What a stamp is made for. */
struct stamp_issue_subject {
    const char *serial;
    uint8_t certificate_serial[STAMP_CERTIFICATE_SERIAL_SIZE];
    time_t at; /* made-at and notBefore */
};

/** A stamp that was made: the caller's memory, used again and again. */
struct stamp_issued {
    uint8_t fingerprint[32]; /* SHA-256 of the device key's point */
    uint8_t certificate[STAMP_MAX_CERTIFICATE];
    size_t certificate_len;
    uint8_t body[STAMP_MAX_LEN]; /* the encoded birth stamp: secret */
    size_t body_len;
    struct stamp_slice pop; /* in `body`; p NULL = none */
};

/**
 * Make one stamp. One caller at a time for one worker.
 *
 * @param out  wipe it with stamp_issued_wipe(); on failure nothing secret is in it
 * @retval STAMP_E_SPACE  the stamp is too long
 */
STAMP_MUST_USE enum stamp_err stamp_issue_one(struct stamp_issue_worker *w,
                                              const struct stamp_issue_subject *subject,
                                              struct stamp_issued *out,
                                              struct stamp_error *err);

/** Wipe what is secret in it. */
void stamp_issued_wipe(struct stamp_issued *issued);

/**
 * Make one stamp for the desk, which needs no speed.
 *
 * @param row   reserved: serial, certificate_serial and at are used; its fingerprint and
 * certificate are set, the latter to be freed by stamp_registry_row_fini(), on failure
 * too
 * @param body  the encoded birth stamp; free with stamp_buffer_free()
 * @retval STAMP_E_SPACE  the stamp is too long
 * Secrets that were made are in `body` alone.
 */
STAMP_MUST_USE enum stamp_err stamp_issue(const struct stamp_issuer *issuer,
                                          struct stamp_registry_row *row,
                                          struct stamp_buffer *body,
                                          struct stamp_error *err);

/** The partition of the profile as a geometry. */
void stamp_issue_geometry(const struct stamp_profile *profile, struct stamp_geometry *g);

#endif

/*
 * Making stamps: keys, secrets, barcodes, claims, certificate, encoding. One issuer makes
 * many stamps of one profile; nothing here writes a file or the books.
 */
#ifndef HOST_ISSUE_H
#define HOST_ISSUE_H

#include "host/image.h"
#include "host/workspace.h"

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

void stamp_issuer_free(struct stamp_issuer **p);
#define STAMP_ISSUER_AUTO __attribute__((cleanup(stamp_issuer_free))) struct stamp_issuer

/**
 * Make one stamp.
 *
 * @param row   reserved: serial, certificate_serial and at are used; its fingerprint and
 * certificate are set, the latter to be freed by stamp_registry_row_fini(), on failure
 * too
 * @param body  the encoded birth stamp; free with stamp_buffer_free()
 * @retval STAMP_E_SPACE  the stamp is too long
 * Secrets that were made are in `body` alone.
 */
STAMP_MUST_USE enum stamp_err stamp_issue(struct stamp_issuer *issuer,
                                          struct stamp_registry_row *row,
                                          struct stamp_buffer *body,
                                          struct stamp_error *err);

/** The partition of the profile as a geometry. */
void stamp_issue_geometry(const struct stamp_profile *profile, struct stamp_geometry *g);

#endif

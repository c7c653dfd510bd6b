/*
 * A desk for tests: a workspace in a scratch directory, and stamps and images from it,
 * whole and otherwise, without a command line.
 */
#ifndef TEST_UNIT_DESK_DESK_H
#define TEST_UNIT_DESK_DESK_H

#include "host/image.h"
#include "host/issue.h"
#include "host/trust.h"
#include "host/workspace.h"

struct desk {
    char dir[64]; /* scratch; the workspace is dir/w */
    char path[80];
    struct stamp_workspace *ws;
    struct stamp_issuer *issuer;
    struct stamp_trust *trust;
};

/** Stops the test where it fails. */
void desk_open(struct desk *d, uint8_t purpose);
void desk_close(struct desk *d);

/** One stamp's encoding, booked as reserved. */
void desk_issue(struct desk *d, struct stamp_buffer *body);

/** A geometry with 4 KiB sectors: 4 KiB birth and 4 KiB banks. */
extern const struct stamp_geometry desk_geometry;

/** Encode and sign an operational bank into an image that holds a birth stamp.
 * @param signer  NULL = the birth key, as it should be */
void desk_put_bank(struct stamp_buffer *image, const struct stamp_geometry *g,
                   enum stamp_which which, uint32_t seq, const struct stamp *items,
                   EVP_PKEY *signer);

/** As desk_put_bank(), from an encoded body; `flags` go into the header. */
void desk_put_bank_body(struct stamp_buffer *image, const struct stamp_geometry *g,
                        enum stamp_which which, uint32_t seq, struct stamp_slice body,
                        EVP_PKEY *signer);

/** Put the CRCs of a region right again after its bytes were changed. */
void desk_repair(struct stamp_buffer *image, const struct stamp_geometry *g,
                 enum stamp_which which);

/** What `stamp verify` would say: 0, 1 or 3. */
int desk_verdict(const struct desk *d, const uint8_t *bytes, size_t len);
int desk_verdict_by(const struct stamp_trust *trust, const uint8_t *bytes, size_t len,
                    const struct stamp_secret *root_key, struct stamp_error *err);

/** Remove a directory and all that is in it. */
void desk_remove(const char *dir);

#endif

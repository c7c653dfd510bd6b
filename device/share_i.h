/* What a strike and a rotation have in common: pieces (pieces.c), requests for a
 * certificate (csr.c), new keys (newkey.c). */
#ifndef DEVICE_SHARE_I_H
#define DEVICE_SHARE_I_H

#include <mbedtls/x509_csr.h>

#include "device/agent_i.h"
#include "device/device_i.h"
#include "device/pieces.h"

#define STAMPI_CHALLENGE_SIZE 32u

/* ---- pieces ---- */

struct stampi_piece {
    struct stamp_slice d;
    uint32_t what;
    uint32_t off;
    uint32_t total;
};

/** The piece that a request brings; `what` is at most `last`. STAMP_RC_BAD: none. */
int stampi_piece_read(const struct stampi_call *c, uint32_t last,
                      struct stampi_piece *piece);

/** A thing begins anew that has `room`. STAMP_RC_TOO_LARGE: more than that. */
int stampi_piece_begin(struct stamp_pieces *p, const struct stampi_piece *piece,
                       size_t room);

/** Take the piece where it is the next one, and answer how far the thing is.
 * @param to  where the thing begins
 * @return it is whole now, by this piece */
bool stampi_piece_take(struct stampi_call *c, struct stamp_pieces *p,
                       const struct stampi_piece *piece, uint8_t *to);

/** Answer with what the request's "off" asks for. */
int stampi_piece_give(struct stampi_call *c, const uint8_t *from, uint32_t len);

/* ---- requests for a certificate ---- */

/** PKCS#10 (RFC 2986), on its way: between begin and end its subject and extensions are
 * filled in. Not to be moved. */
struct stampi_csr {
    mbedtls_x509write_csr out;
    mbedtls_pk_context pk;
};

/** For the pair `id`. stampi_csr_end() follows in every case. */
enum stamp_err stampi_csr_begin(struct stampi_csr *csr, psa_key_id_t id);

/** Write it to the end of `room`, where `rc` is STAMP_OK, and free what it took.
 * @param len  bytes; 0 where it fails
 * @return `rc`, or what went wrong here */
enum stamp_err stampi_csr_end(struct stampi_csr *csr, enum stamp_err rc,
                              struct stamp_cbor_out room, uint32_t *len);

/** Ask for the binding of SPEC 7-4, with the digest of the claims of `dev`. */
enum stamp_err stampi_csr_binding(struct stampi_csr *csr, const struct stamp_device *dev,
                                  uint8_t purpose);

/** Add the evidence (SPEC 13-12, 16-6): a map whose head, of one byte, is made here.
 * @param count  of what is in it */
enum stamp_err stampi_csr_evidence(struct stampi_csr *csr, struct stamp_cbor_out *o,
                                   uint32_t count);

/** Begin it: the challenge and the chip's number, which are two. */
enum stamp_err stampi_evidence_begin(struct stamp_cbor_out *o,
                                     const struct stamp_device *dev,
                                     struct stamp_slice challenge);
void stampi_evidence_put(struct stamp_cbor_out *o, uint32_t key, const void *p,
                         size_t len);

/* ---- new keys ---- */

/** A pair that PSA makes: its scalar as a byte string, for the stamp, which is the key's
 * storage. */
enum stamp_err stampi_put_pair(struct stamp_cbor_out *o, uint8_t point[STAMP_POINT_SIZE]);

/** The same as a value of key 48: [curve, where, ref]. */
enum stamp_err stampi_put_device_key(struct stamp_cbor_out *o,
                                     uint8_t point[STAMP_POINT_SIZE]);
#define STAMPI_DEVICE_KEY_MAX (3u + 2u + STAMP_SCALAR_SIZE)

#endif

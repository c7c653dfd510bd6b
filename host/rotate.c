#include "host/rotate.h"

#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "host/pieces.h"
#include "host/pki.h"

static enum stamp_err ask_empty(struct stamp_smp_client *c, enum stamp_smp_op op,
                                enum stamp_smp_id id, struct stamp_smp_reply *r,
                                struct stamp_error *err)
{
    struct stamp_smp_body body;

    stamp_smp_body_init(&body, 0);
    return stampi_ask(c, op, id, &body, r, err);
}

enum stamp_err stamp_rotate_ask(struct stamp_smp_client *c, struct stamp_rotation *out,
                                struct stamp_error *err)
{
    struct stamp_error why = STAMP_ERROR_INIT;
    struct stamp_smp_reply r;
    struct stamp_slice chip;
    uint32_t at;
    enum stamp_err rc = ask_empty(c, STAMP_SMP_READ, STAMP_SMP_ROTATION, &r, &why);

    memset(out, 0, sizeof *out);
    if (rc == STAMP_E_UNSUPPORTED) {
        stamp_error_hint(err,
                         "the firmware needs device/rotate.h: see device/PORTING.md");
        return stamp_error_set(err, rc, why.native,
                               "the device on '%s' cannot renew its identity",
                               c->line.name);
    }
    if (rc != STAMP_OK) {
        return stamp_error_set(err, rc, why.native, "%s", why.what);
    }
    chip = stampi_reply_bytes(&r, "id", sizeof out->chip);
    if (!stampi_reply_uint(&r, "at", &at) || at > 1 || chip.p == NULL ||
        !stampi_reply_uint(&r, "max", &out->room)) {
        return stampi_bad_answer(c, "it does not say how far its rotation is", err);
    }
    out->waits = at == 1;
    memcpy(out->chip, chip.p, chip.len);
    out->chip_len = chip.len;
    return STAMP_OK;
}

/* An item of the device, in a buffer. */
static enum stamp_err read_item(struct stamp_smp_client *c, uint32_t key, size_t max,
                                struct stamp_buffer *out, struct stamp_error *err)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    enum stamp_err rc = stamp_smp_item(c, key, STAMP_NEWEST, max, &bytes, &len, err);

    if (rc == STAMP_OK) {
        rc = stamp_buffer_new(out, len, 0, err);
    }
    if (rc == STAMP_OK) {
        memcpy(out->p, bytes, len);
    }
    free(bytes);
    return rc;
}

static enum stamp_err take_leaf(struct stamp_smp_client *c, struct stamp_renewal *r,
                                struct stamp_error *err)
{
    struct stamp_slice der =
        stamp_pki_leaf((struct stamp_slice){r->chain.p, r->chain.len});

    return der.p == NULL ? stampi_bad_answer(c, "it has no certificate", err)
                         : stamp_pki_decode(der, &r->leaf, err);
}

enum stamp_err stamp_renewal_begin(struct stamp_smp_client *c,
                                   const struct stamp_identity *birth,
                                   struct stamp_renewal *out, struct stamp_error *err)
{
    uint8_t challenge[32];
    enum stamp_err rc;

    memset(out, 0, sizeof *out);
    out->birth = *birth;
    if (RAND_bytes(challenge, sizeof challenge) != 1) {
        return stamp_openssl_failed(err, "cannot draw a challenge");
    }
    rc = stamp_rotate_ask(c, &out->state, err);
    if (rc == STAMP_OK) {
        rc = read_item(c, STAMP_CERTIFICATES, STAMP_MAX_LEN, &out->chain, err);
    }
    if (rc == STAMP_OK) {
        rc = read_item(c, STAMP_TRUST_BUNDLE, STAMP_MAX_BUNDLE, &out->bundle, err);
    }
    if (rc == STAMP_OK) {
        rc = take_leaf(c, out, err);
    }
    if (rc == STAMP_OK) {
        rc = stampi_pieces_request(c, STAMP_SMP_RENEW, STAMP_SMP_RENEWAL, challenge,
                                   &out->request, err);
    }
    return rc == STAMP_OK ? stamp_renewal_check(out, challenge, err) : rc;
}

void stamp_renewal_fini(struct stamp_renewal *r)
{
    stamp_buffer_free(&r->bundle);
    stamp_buffer_free(&r->chain);
    stamp_buffer_free(&r->request);
    X509_free(r->leaf);
    r->leaf = NULL;
}

enum stamp_err stamp_rotate_hand(struct stamp_smp_client *c, enum stamp_smp_hand what,
                                 struct stamp_slice bytes, struct stamp_error *err)
{
    return stampi_pieces_put(c, STAMP_SMP_HAND, (uint32_t)what, bytes, err);
}

enum stamp_err stamp_rotate_commit(struct stamp_smp_client *c, uint32_t *seq,
                                   struct stamp_error *err)
{
    struct stamp_smp_reply r;
    enum stamp_err rc = ask_empty(c, STAMP_SMP_WRITE, STAMP_SMP_COMMIT, &r, err);

    if (rc == STAMP_OK && !stampi_reply_uint(&r, "seq", seq)) {
        rc = stampi_bad_answer(c, "it does not say which bank it wrote", err);
    }
    return rc;
}

enum stamp_err stamp_rotate_drop(struct stamp_smp_client *c, struct stamp_error *err)
{
    struct stamp_smp_reply r;

    return ask_empty(c, STAMP_SMP_WRITE, STAMP_SMP_DROP, &r, err);
}

/* Challenge and response with a live device. SPEC 10-6, 10-7. */
#include "host/prove.h"

#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "host/bundle.h"
#include "host/claims.h"
#include "host/pki.h"
#include "host/sig.h"

enum { NONCE_SIZE = 32 };

enum stamp_err stamp_prove_state(const struct stamp_info *info, const char *port,
                                 struct stamp_error *err)
{
    if (strcmp(info->state, "blank") == 0) {
        stamp_error_hint(err, "put one on it: stamp make, then stamp flash");
        return stamp_error_set(err, STAMP_E_BLANK, 0,
                               "the device on '%s' has no stamp; it says so and waits",
                               port);
    }
    if (info->serial[0] == '\0') {
        stamp_error_hint(err, "read its flash and run: stamp verify FILE");
        return stamp_error_set(err, STAMP_E_CORRUPT, 0,
                               "the stamp of the device on '%s' is damaged, or not made "
                               "for it",
                               port);
    }
    return STAMP_OK;
}

/* What a device sends about itself. */
struct sent {
    uint8_t *claims;
    size_t claims_len;
    uint8_t *certificates;
    size_t certificates_len;
    uint8_t *bundle;
    size_t bundle_len;
};

static void free_sent(struct sent *s)
{
    free(s->claims);
    free(s->certificates);
    free(s->bundle);
}

static enum stamp_err read_all(struct stamp_smp_client *c, enum stamp_which which,
                               struct sent *s, struct stamp_error *err)
{
    enum stamp_err code = stamp_smp_item(c, 0, STAMP_BIRTH, STAMP_CLAIMS_MAX, &s->claims,
                                         &s->claims_len, err);

    if (code == STAMP_OK) {
        code = stamp_smp_item(c, STAMP_CERTIFICATES, which, STAMP_MAX_LEN,
                              &s->certificates, &s->certificates_len, err);
    }
    if (code == STAMP_OK) {
        code = stamp_smp_item(c, STAMP_TRUST_BUNDLE, STAMP_NEWEST, STAMP_MAX_BUNDLE,
                              &s->bundle, &s->bundle_len, err);
    }
    return code;
}

static enum stamp_err check_all(const struct sent *s, const struct stamp_trust *trust,
                                struct stamp_proof *out, struct stamp_error *err)
{
    struct stamp_slice claims = {s->claims, s->claims_len};
    struct stamp_slice certificates = {s->certificates, s->certificates_len};
    struct stamp_slice bundle = {s->bundle, s->bundle_len};
    struct stamp_bundle held;
    struct stamp_slice leaf = stamp_pki_leaf(certificates);
    enum stamp_err code =
        stamp_verify_claims(claims, certificates, trust, &out->identity, err);

    if (code == STAMP_OK) {
        code = stamp_bundle_check(bundle, out->identity.owner_key_hash,
                                  out->identity.purpose, &held, err);
    }
    if (code != STAMP_OK) {
        return code;
    }
    out->bundle_version = held.version;
    if (EVP_Digest(leaf.p, leaf.len, out->certificate_hash, NULL, EVP_sha256(), NULL) !=
        1) {
        return stamp_openssl_failed(err, "cannot hash the certificate");
    }
    return STAMP_OK;
}

/* The same, with the device named in the error. */
static enum stamp_err verify_all(const struct sent *s, const struct stamp_trust *trust,
                                 const char *port, struct stamp_proof *out,
                                 struct stamp_error *err)
{
    struct stamp_error why = STAMP_ERROR_INIT;
    enum stamp_err code = check_all(s, trust, out, &why);

    if (code == STAMP_OK) {
        return STAMP_OK;
    }
    if (why.hint[0] != '\0') {
        stamp_error_hint(err, "%s", why.hint);
    }
    return stamp_error_set(
        err, code, why.native, "the device on '%s' is %s: %.120s", port,
        stamp_verify_refused(code) ? "not authentic" : "unreadable", why.what);
}

enum stamp_err stamp_prove_key(struct stamp_smp_client *c, enum stamp_which which,
                               const uint8_t point[STAMP_POINT_SIZE],
                               struct stamp_error *err)
{
    uint8_t nonce[NONCE_SIZE];
    uint8_t signature[STAMP_SIG_SIZE];
    struct stamp_smp_body body;
    struct stamp_smp_reply r;
    enum stamp_err code;

    if (RAND_bytes(nonce, sizeof nonce) != 1) {
        return stamp_openssl_failed(err, "cannot draw a nonce");
    }
    stamp_smp_body_init(&body, 2);
    stamp_smp_body_bytes(&body, "n", nonce, sizeof nonce);
    stamp_smp_body_uint(&body, "w", (uint32_t)which);
    code = stamp_smp_request(c, STAMP_SMP_WRITE, STAMP_SMP_GROUP_STAMP, STAMP_SMP_PROVE,
                             &body, &r, err);
    if (code == STAMP_OK) {
        code = stamp_smp_reply_bytes(&r, "s", signature, sizeof signature, err);
    }
    if (code != STAMP_OK) {
        return code;
    }
    if (stamp_sig_check_point(point, STAMP_LABEL_PROVE, nonce, sizeof nonce, signature,
                              NULL) != STAMP_OK) {
        return stamp_error_set(err, STAMP_E_AUTH, 0,
                               "the device on '%s' shows a certificate but does not hold "
                               "its key: the signature is wrong",
                               c->line.name);
    }
    return STAMP_OK;
}

enum stamp_err stamp_prove_device(struct stamp_smp_client *c,
                                  const struct stamp_trust *trust, enum stamp_which which,
                                  struct stamp_proof *out, struct stamp_error *err)
{
    struct sent s;
    enum stamp_err code;

    memset(out, 0, sizeof *out);
    memset(&s, 0, sizeof s);
    code = stamp_smp_info(c, &out->info, err);
    if (code == STAMP_OK) {
        code = stamp_prove_state(&out->info, c->line.name, err);
    }
    if (code == STAMP_OK) {
        code = read_all(c, which, &s, err);
    }
    if (code == STAMP_OK) {
        code = verify_all(&s, trust, c->line.name, out, err);
    }
    if (code == STAMP_OK) {
        code = stamp_prove_key(c, which, out->identity.point, err);
    }
    if (code == STAMP_OK && strcmp(out->info.serial, out->identity.serial) != 0) {
        code = stamp_error_set(err, STAMP_E_AUTH, 0,
                               "the device on '%s' says it is '%s' and proves to be '%s'",
                               c->line.name, out->info.serial, out->identity.serial);
    }
    free_sent(&s);
    if (code != STAMP_OK) {
        memset(out, 0, sizeof *out);
    }
    return code;
}

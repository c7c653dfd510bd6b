/* The phone app's part of a claim. SPEC 10-10..10-15. */
#include "host/claim.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "core/keys.h"
#include "host/claim_own.h"
#include "host/dpp.h"
#include "host/hex.h"
#include "host/key.h"
#include "host/prove.h"
#include "host/sig.h"

enum { PLAIN_MAX = 128, POP_MAX = 64, POINTS = 2 * STAMP_POINT_SIZE, LABEL_MAX = 256 };

static const char not_sent[] = "the proof of possession was not sent";

static enum stamp_err contradicts(const char *what, struct stamp_error *err)
{
    stamp_error_hint(err, "scan the barcodes of one label only");
    return stamp_error_set(err, STAMP_E_AUTH, 0,
                           "the barcodes are of different labels: their %s differ", what);
}

static enum stamp_err merge(struct stamp_scan *label, struct stamp_scan *more,
                            struct stamp_error *err)
{
    if (more->has_hash) {
        if (label->has_hash && memcmp(label->hash, more->hash, sizeof label->hash) != 0) {
            return contradicts("provisioning keys", err);
        }
        memcpy(label->hash, more->hash, sizeof label->hash);
        label->has_hash = true;
    }
    if (more->has_key) {
        memcpy(label->key, more->key, sizeof label->key);
        label->has_key = true;
    }
    if (more->serial[0] != '\0') {
        if (label->serial[0] != '\0' && strcmp(label->serial, more->serial) != 0) {
            return contradicts("serial numbers", err);
        }
        memcpy(label->serial, more->serial, sizeof label->serial);
    }
    if (more->pop != NULL) {
        if (label->pop != NULL && !stamp_secret_equal(label->pop, more->pop)) {
            return contradicts("proofs of possession", err);
        }
        stamp_secret_free(&label->pop);
        label->pop = more->pop; /* taken over */
        more->pop = NULL;
    }
    return STAMP_OK;
}

enum stamp_err stamp_claim_label_add(struct stamp_scan *label, const char *payload,
                                     size_t len, struct stamp_error *err)
{
    struct stamp_scan more;
    enum stamp_err code;

    memset(&more, 0, sizeof more);
    code = stamp_scan_parse(payload, len, &more, err);
    if (code == STAMP_OK) {
        code = merge(label, &more, err);
    }
    stamp_scan_fini(&more);
    return code;
}

enum stamp_err stamp_claim_label_check(const struct stamp_scan *label,
                                       struct stamp_error *err)
{
    if (label->pop == NULL) {
        stamp_error_hint(err, "give the label's barcode that has it too, with a second "
                              "--label");
        return stamp_error_set(err, STAMP_E_MISSING, 0,
                               "the label has no proof of possession");
    }
    if (!label->has_hash) {
        stamp_error_hint(err, "give the label's DPP or claim barcode too, with a second "
                              "--label: without it any device could ask for the proof");
        return stamp_error_set(err, STAMP_E_MISSING, 0,
                               "the label has no provisioning key");
    }
    return STAMP_OK;
}

/* What both sides know of one exchange. */
struct exchange {
    EVP_PKEY *own;
    uint8_t shared[POINTS + STAMP_MAX_TEXT]; /* A, B, serial */
    size_t shared_len;
};

static enum stamp_err check_info(struct stamp_smp_client *c,
                                 const struct stamp_scan *label, struct stamp_info *info,
                                 struct stamp_error *err)
{
    const char *path = c->line.name;
    enum stamp_err code = stamp_smp_info(c, info, err);

    if (code != STAMP_OK) {
        return code;
    }
    code = stamp_prove_state(info, path, err);
    if (code != STAMP_OK) {
        return code;
    }
    if (label->serial[0] != '\0' && strcmp(label->serial, info->serial) != 0) {
        stamp_error_hint(err, "scan the label of this device");
        return stamp_error_set(err, STAMP_E_AUTH, 0,
                               "the device on '%s' is '%s' and the label is of '%s'",
                               path, info->serial, label->serial);
    }
    return STAMP_OK;
}

/* SPEC 10-12: before anything more is sent. */
static enum stamp_err check_device(const struct stamp_scan *label,
                                   const struct exchange *x,
                                   const uint8_t point[STAMP_POINT_SIZE],
                                   const uint8_t signature[STAMP_SIG_SIZE],
                                   const char *path, struct stamp_error *err)
{
    uint8_t hash[STAMP_DPP_HASH_LEN];
    enum stamp_err code = stamp_dpp_hash(point, hash, err);

    if (code != STAMP_OK) {
        return code;
    }
    if (CRYPTO_memcmp(hash, label->hash, sizeof hash) != 0) {
        stamp_error_hint(err, "scan the label of this device; if it is this one's, the "
                              "device is not what it claims to be");
        return stamp_error_set(err, STAMP_E_AUTH, 0,
                               "the device on '%s' has another provisioning key than the "
                               "label says",
                               path);
    }
    code = stamp_sig_check_point(point, STAMP_LABEL_CLAIM, x->shared, x->shared_len,
                                 signature, err);
    if (code == STAMP_OK) {
        return STAMP_OK;
    }
    stamp_error_clear(err); /* "a signature is wrong" says too little here */
    return stamp_error_set(
        err, STAMP_E_AUTH, 0,
        "the device on '%s' does not hold the label's provisioning key: "
        "its signature is wrong",
        path);
}

/* SPEC 10-10, 10-11: both points, and the device's signature over them. */
static enum stamp_err open_exchange(struct stamp_smp_client *c,
                                    const struct stamp_scan *label, const char *serial,
                                    struct exchange *x, struct stamp_error *err)
{
    uint8_t point[STAMP_POINT_SIZE];
    uint8_t signature[STAMP_SIG_SIZE];
    size_t serial_len = strlen(serial);
    struct stamp_smp_body body;
    struct stamp_smp_reply r;
    enum stamp_err code = stamp_key_generate(&x->own, err);

    if (code == STAMP_OK) {
        code = stamp_key_point(x->own, x->shared, err);
    }
    if (code != STAMP_OK) {
        return code;
    }
    stamp_smp_body_init(&body, 1);
    stamp_smp_body_bytes(&body, "e", x->shared, STAMP_POINT_SIZE);
    code = stamp_smp_request(c, STAMP_SMP_WRITE, STAMP_SMP_GROUP_STAMP, STAMP_SMP_CLAIM,
                             &body, &r, err);
    if (code == STAMP_OK) {
        code = stamp_smp_reply_bytes(&r, "e", x->shared + STAMP_POINT_SIZE,
                                     STAMP_POINT_SIZE, err);
    }
    if (code == STAMP_OK) {
        code = stamp_smp_reply_bytes(&r, "s", signature, sizeof signature, err);
    }
    if (code == STAMP_OK) {
        code = stamp_smp_reply_bytes(&r, "k", point, sizeof point, err);
    }
    if (code != STAMP_OK) {
        return code;
    }
    memcpy(x->shared + POINTS, serial, serial_len);
    x->shared_len = POINTS + serial_len;
    return check_device(label, x, point, signature, c->line.name, err);
}

/* SPEC 10-14: the proof, under the app's key. From here on it counts as sent. */
static enum stamp_err send_pop(struct stamp_smp_client *c, const struct stamp_scan *label,
                               const struct stamp_claim_keys *keys,
                               struct stamp_smp_reply *r, struct stamp_error *err)
{
    uint8_t plain[PLAIN_MAX];
    uint8_t sealed[sizeof plain + STAMP_GCM_TAG];
    struct stamp_smp_body body;
    struct stamp_cbor_out o;
    enum stamp_err code;
    size_t len;
    const uint8_t *pop = stamp_secret_use(label->pop, &len);

    if (len > POP_MAX) {
        return stamp_error_set(err, STAMP_E_RANGE, 0,
                               "the label's proof of possession is longer than %d "
                               "characters",
                               POP_MAX);
    }
    stamp_cbor_out_init(&o, plain, sizeof plain);
    stamp_cbor_put_head(&o, STAMP_CBOR_MAP, 1);
    stamp_cbor_put_string(&o, STAMP_CBOR_TEXT, "pop", 3);
    stamp_cbor_put_string(&o, STAMP_CBOR_TEXT, pop, len);
    code = stampi_claim_seal(keys->to_device, plain, o.len, sealed, err);
    OPENSSL_cleanse(plain, sizeof plain);
    if (code != STAMP_OK) {
        return code;
    }
    stamp_smp_body_init(&body, 1);
    stamp_smp_body_bytes(&body, "c", sealed, o.len + STAMP_GCM_TAG);
    code = stamp_smp_request(c, STAMP_SMP_WRITE, STAMP_SMP_GROUP_STAMP, STAMP_SMP_POSSESS,
                             &body, r, err);
    if (code == STAMP_E_AUTH) {
        stamp_error_clear(err);
        stamp_error_state(err, "wrong tries are counted, and slow the device down");
        stamp_error_hint(err, "see that the proof is read from this device's label");
        return stamp_error_set(err, code, STAMP_RC_NOT_AUTHENTIC,
                               "the device on '%s' refused the proof of possession",
                               c->line.name);
    }
    if (code != STAMP_OK && code != STAMP_E_BUSY) {
        stamp_error_state(err, "the proof was sent; the device may have been claimed");
    }
    return code;
}

/* SPEC 10-15, 10-25: the device says "claimed" under its own key; or that it is not, and
 * which proof of possession it is to be claimed with. */
static enum stamp_err check_claimed(const struct stamp_smp_reply *r,
                                    const struct stamp_claim_keys *keys,
                                    const char *serial, struct stamp_secret **next,
                                    struct stamp_error *err)
{
    uint8_t plain[STAMP_SMP_MAX];
    struct stamp_slice s;
    struct stamp_cbor c;
    uint32_t claimed;
    enum stamp_err code;
    size_t len;

    *next = NULL;
    stamp_smp_field(r->body, r->len, "c", &c);
    s = stamp_cbor_string(&c, STAMP_CBOR_BYTES, STAMP_GCM_TAG, sizeof plain);
    if (c.err != STAMP_OK) {
        return stamp_error_set(err, STAMP_E_FORMAT, 0,
                               "the device's answer to the proof is not to the "
                               "specification");
    }
    code = stampi_claim_open(keys->from_device, s.p, s.len, plain, err);
    if (code != STAMP_OK) {
        return code;
    }
    len = s.len - STAMP_GCM_TAG;
    code = STAMP_E_AUTH;
    stamp_smp_field(plain, len, "claimed", &c);
    claimed = stamp_cbor_expect(&c, STAMP_CBOR_SIMPLE);
    stamp_smp_field(plain, len, "serial", &c);
    s = stamp_cbor_string(&c, STAMP_CBOR_TEXT, 1, STAMP_MAX_TEXT);
    if (c.err == STAMP_OK && s.len == strlen(serial) && memcmp(s.p, serial, s.len) == 0) {
        code = claimed == 21 ? STAMP_OK : STAMP_E_AUTH;
        stamp_smp_field(plain, len, "pop", &c);
        s = stamp_cbor_string(&c, STAMP_CBOR_TEXT, 4, STAMP_MAX_TEXT);
        if (claimed == 20 && c.err == STAMP_OK && stamp_text_ok(s.p, s.len, false) &&
            memchr(s.p, ';', s.len) == NULL) {
            code = stamp_secret_new(next, s.p, s.len, err);
        }
    }
    OPENSSL_cleanse(plain, sizeof plain);
    return code == STAMP_E_AUTH
               ? stamp_error_set(err, code, 0,
                                 "the device did not say that '%s' is claimed", serial)
               : code;
}

/* One exchange, with one proof. */
static enum stamp_err exchange(struct stamp_smp_client *c, const struct stamp_scan *label,
                               const char *serial, struct stamp_secret **next,
                               struct stamp_error *err)
{
    struct exchange x = {.own = NULL};
    struct stamp_claim_keys keys;
    struct stamp_smp_reply r = {.len = 0};
    enum stamp_err code = open_exchange(c, label, serial, &x, err);

    *next = NULL;
    if (code == STAMP_OK) {
        code = stampi_claim_keys(x.own, x.shared + STAMP_POINT_SIZE, x.shared,
                                 x.shared_len, &keys, err);
    }
    EVP_PKEY_free(x.own);
    if (code != STAMP_OK) {
        stamp_error_state(err, not_sent);
        return code;
    }
    code = send_pop(c, label, &keys, &r, err);
    if (code == STAMP_OK) {
        code = check_claimed(&r, &keys, serial, next, err);
        stamp_error_state(code == STAMP_OK ? NULL : err,
                          "the proof was sent; the device may have been claimed");
    }
    OPENSSL_cleanse(&keys, sizeof keys);
    return code;
}

/* The label that the device has from now on is kept, then used. SPEC 10-26. */
static enum stamp_err renew(struct stamp_smp_client *c, const struct stamp_scan *label,
                            const char *serial, struct stamp_secret *next,
                            stamp_claim_keep keep, void *ctx, struct stamp_error *err)
{
    static const char not_claimed[] = "the device is not claimed, and its label holds";
    struct stamp_scan with = *label;
    char text[LABEL_MAX];
    char hash[2 * STAMP_DPP_HASH_LEN + 1];
    struct stamp_secret *more = NULL;
    size_t len;
    const uint8_t *pop = stamp_secret_use(next, &len);
    enum stamp_err code;
    int n;

    if (keep == NULL) {
        stamp_error_state(err, not_claimed);
        stamp_error_hint(err, "say where its new label goes: --new-label FILE");
        return stamp_error_set(err, STAMP_E_UNSUPPORTED, 0,
                               "the factory was told the proof of possession of '%s', "
                               "so it gets a new one, which must be kept",
                               serial);
    }
    stamp_hex(label->hash, STAMP_DPP_HASH_LEN, hash);
    n = snprintf(text, sizeof text, "STAMP:S:%s;H:%s;P:%.*s;;", serial, hash, (int)len,
                 pop);
    code = keep(ctx, (struct stamp_slice){(const uint8_t *)text, (size_t)n}, err);
    OPENSSL_cleanse(text, sizeof text);
    if (code != STAMP_OK) {
        stamp_error_state(err, not_claimed);
        return code;
    }
    with.pop = next;
    code = exchange(c, &with, serial, &more, err);
    if (code == STAMP_OK && more != NULL) {
        code = stamp_error_set(err, STAMP_E_AUTH, 0,
                               "the device did not say that '%s' is claimed", serial);
    }
    if (code != STAMP_OK) {
        stamp_error_hint(err, "run it again with the same label; where that is refused, "
                              "with the new one");
    }
    stamp_secret_free(&more);
    return code;
}

enum stamp_err stamp_claim_run(struct stamp_smp_client *c, const struct stamp_scan *label,
                               stamp_claim_keep keep, void *ctx,
                               struct stamp_claim_result *out, struct stamp_error *err)
{
    struct stamp_secret *next = NULL;
    struct stamp_info info;
    enum stamp_err code;

    memset(out, 0, sizeof *out);
    code = stamp_claim_label_check(label, err);
    if (code == STAMP_OK) {
        code = check_info(c, label, &info, err);
    }
    if (code != STAMP_OK) {
        stamp_error_state(err, not_sent);
        return code;
    }
    code = exchange(c, label, info.serial, &next, err);
    if (code == STAMP_OK && next != NULL) {
        out->renewed = true;
        code = renew(c, label, info.serial, next, keep, ctx, err);
    }
    stamp_secret_free(&next);
    if (code == STAMP_OK) {
        memcpy(out->serial, info.serial, sizeof out->serial);
        memcpy(out->product, info.product, sizeof out->product);
    } else {
        out->renewed = false;
    }
    return code;
}

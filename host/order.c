#include "host/order.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <string.h>

#include "core/cbor.h"
#include "host/bundle.h"
#include "host/cms.h"
#include "host/key.h"
#include "host/order_own.h"
#include "host/sig.h"

#define LABEL STAMP_LABEL_ORDER
#define KEY_SIZE 32u
#define TAG_SIZE 16u
#define VERSION 1u
#define PAYLOAD_MAX 65536u
/* Array, protected header, empty map, payload, signature: SPEC 14-3. */
#define SIGNED_MAX (PAYLOAD_MAX + STAMP_SIG_SIZE + 32u)

static const uint8_t protected_header[] = {0xa1, 0x01, 0x26};
static const uint8_t zero_nonce[12];

static void free_cipher_ctx(EVP_CIPHER_CTX **p)
{
    EVP_CIPHER_CTX_free(*p);
    *p = NULL;
}
#define CIPHER_CTX_AUTO __attribute__((cleanup(free_cipher_ctx))) EVP_CIPHER_CTX

static void wrap_signed(struct stamp_cbor_out *o, struct stamp_slice payload,
                        const uint8_t sig[STAMP_SIG_SIZE])
{
    stamp_cbor_put_head(o, STAMP_CBOR_ARRAY, 4);
    stamp_cbor_put_string(o, STAMP_CBOR_BYTES, protected_header, sizeof protected_header);
    stamp_cbor_put_head(o, STAMP_CBOR_MAP, 0);
    stamp_cbor_put_string(o, STAMP_CBOR_BYTES, payload.p, payload.len);
    stamp_cbor_put_string(o, STAMP_CBOR_BYTES, sig, STAMP_SIG_SIZE);
}

/* The signed order as bytes. */
static enum stamp_err sign(const struct stamp_order *order, EVP_PKEY *owner,
                           struct stamp_buffer *out, struct stamp_error *err)
{
    STAMP_BUFFER_AUTO payload = {NULL, 0};
    struct stamp_order o = *order;
    struct stamp_slice body;
    struct stamp_cbor_out w;
    uint8_t sig[STAMP_SIG_SIZE];
    enum stamp_err rc = stamp_key_point(owner, o.owner, err);

    if (rc == STAMP_OK) {
        rc = stamp_buffer_new(&payload, PAYLOAD_MAX, 0, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    body.p = payload.p;
    rc = stampi_order_encode(&o, payload.p, payload.len, &body.len, err);
    if (rc == STAMP_OK) {
        rc = stamp_sig_make(owner, LABEL, body.p, body.len, sig, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_buffer_new(out, SIGNED_MAX, 0, err);
    }
    if (rc == STAMP_OK) {
        stamp_cbor_out_init(&w, out->p, out->len);
        wrap_signed(&w, body, sig);
        out->len = w.len;
    }
    return rc;
}

static bool encrypt(const uint8_t key[KEY_SIZE], struct stamp_slice in, uint8_t *out)
{
    CIPHER_CTX_AUTO *ctx = EVP_CIPHER_CTX_new();
    int n = 0;

    return ctx != NULL &&
           EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, zero_nonce) == 1 &&
           EVP_EncryptUpdate(ctx, NULL, &n, (const uint8_t *)LABEL, (int)strlen(LABEL)) ==
               1 &&
           EVP_EncryptUpdate(ctx, out, &n, in.p, (int)in.len) == 1 &&
           EVP_EncryptFinal_ex(ctx, out + in.len, &n) == 1 &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, (int)TAG_SIZE, out + in.len) ==
               1;
}

static bool decrypt(const uint8_t key[KEY_SIZE], struct stamp_slice in, uint8_t *out,
                    size_t len)
{
    CIPHER_CTX_AUTO *ctx = EVP_CIPHER_CTX_new();
    uint8_t tag[TAG_SIZE];
    int n = 0;

    memcpy(tag, in.p + len, sizeof tag);
    return ctx != NULL &&
           EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, zero_nonce) == 1 &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, (int)TAG_SIZE, tag) == 1 &&
           EVP_DecryptUpdate(ctx, NULL, &n, (const uint8_t *)LABEL, (int)strlen(LABEL)) ==
               1 &&
           EVP_DecryptUpdate(ctx, out, &n, in.p, (int)len) == 1 &&
           EVP_DecryptFinal_ex(ctx, out + len, &n) == 1;
}

static enum stamp_err seal(struct stamp_slice order, X509 *box, struct stamp_buffer *out,
                           struct stamp_error *err)
{
    STAMP_BUFFER_AUTO sealed = {NULL, 0};
    X509 *boxes[1] = {box};
    uint8_t key[KEY_SIZE];
    uint8_t *envelope = NULL;
    size_t envelope_len = 0;
    struct stamp_cbor_out w;
    enum stamp_err rc = stamp_buffer_new(&sealed, order.len + TAG_SIZE, 0, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    if (RAND_priv_bytes(key, (int)sizeof key) != 1 || !encrypt(key, order, sealed.p)) {
        rc = stamp_openssl_failed(err, "cannot seal the order");
    } else {
        rc = stamp_cms_wrap(key, sizeof key, boxes, 1, &envelope, &envelope_len, err);
    }
    OPENSSL_cleanse(key, sizeof key);
    if (rc == STAMP_OK) {
        rc = stamp_buffer_new(out, envelope_len + sealed.len + 16u, 0, err);
    }
    if (rc == STAMP_OK) {
        stamp_cbor_out_init(&w, out->p, out->len);
        stamp_cbor_put_head(&w, STAMP_CBOR_ARRAY, 3);
        stamp_cbor_put_head(&w, STAMP_CBOR_UINT, VERSION);
        stamp_cbor_put_string(&w, STAMP_CBOR_BYTES, envelope, envelope_len);
        stamp_cbor_put_string(&w, STAMP_CBOR_BYTES, sealed.p, sealed.len);
        out->len = w.len;
    }
    OPENSSL_free(envelope);
    return rc;
}

enum stamp_err stamp_order_make(const struct stamp_order *order, EVP_PKEY *owner,
                                X509 *box, struct stamp_buffer *out,
                                struct stamp_error *err)
{
    STAMP_BUFFER_AUTO text = {NULL, 0};
    enum stamp_err rc;

    out->p = NULL;
    out->len = 0;
    rc = sign(order, owner, &text, err);
    if (rc == STAMP_OK) {
        struct stamp_slice s = {text.p, text.len};

        rc = seal(s, box, out, err);
    }
    return rc;
}

/* SPEC 14-1 */
static enum stamp_err split(struct stamp_slice file, struct stamp_slice *envelope,
                            struct stamp_slice *sealed, struct stamp_error *err)
{
    struct stamp_cbor c;
    uint32_t version;

    stamp_cbor_init(&c, file.p, file.len);
    stamp_cbor_want(&c, STAMP_CBOR_ARRAY, 3);
    version = stamp_cbor_uint(&c, UINT32_MAX);
    if (c.err == STAMP_OK && version != VERSION) {
        return stamp_error_set(err, STAMP_E_VERSION, 0,
                               "the order was made by a newer program");
    }
    *envelope = stamp_cbor_string(&c, STAMP_CBOR_BYTES, 1, STAMP_CMS_ENVELOPE_MAX);
    *sealed = stamp_cbor_string(&c, STAMP_CBOR_BYTES, TAG_SIZE + 1u, SIGNED_MAX);
    if (c.err != STAMP_OK || c.left > 0) {
        return stamp_error_set(err, STAMP_E_FORMAT, 0, "this is no work order");
    }
    return STAMP_OK;
}

/* SPEC 14-3: the payload, and the signature over it checked. */
static enum stamp_err check_signed(struct stamp_slice in, const uint8_t owner_hash[32],
                                   struct stamp_order *order, struct stamp_error *err)
{
    struct stamp_error why = STAMP_ERROR_INIT;
    struct stamp_slice header;
    struct stamp_slice payload;
    struct stamp_slice sig;
    struct stamp_cbor c;
    uint8_t hash[32];
    enum stamp_err rc;

    stamp_cbor_init(&c, in.p, in.len);
    stamp_cbor_want(&c, STAMP_CBOR_ARRAY, 4);
    header = stamp_cbor_string(&c, STAMP_CBOR_BYTES, sizeof protected_header,
                               sizeof protected_header);
    stamp_cbor_want(&c, STAMP_CBOR_MAP, 0);
    payload = stamp_cbor_string(&c, STAMP_CBOR_BYTES, 1, PAYLOAD_MAX);
    sig = stamp_cbor_string(&c, STAMP_CBOR_BYTES, STAMP_SIG_SIZE, STAMP_SIG_SIZE);
    if (c.err != STAMP_OK || c.left > 0 ||
        memcmp(header.p, protected_header, sizeof protected_header) != 0) {
        return stamp_error_set(err, STAMP_E_FORMAT, 0, "the order is malformed");
    }
    rc = stampi_order_decode(payload, order, err);
    if (rc == STAMP_OK) {
        rc = stamp_key_hash(order->owner, hash, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    if (memcmp(hash, owner_hash, sizeof hash) != 0) {
        return stamp_error_set(err, STAMP_E_AUTH, 0, "the order is of another owner");
    }
    rc = stamp_sig_check_point(order->owner, LABEL, payload.p, payload.len, sig.p, &why);
    if (rc == STAMP_E_AUTH || rc == STAMP_E_FORMAT) {
        return stamp_error_set(err, STAMP_E_AUTH, 0,
                               "the order is not signed by its owner");
    }
    if (rc != STAMP_OK) {
        return stamp_error_set(err, rc, why.native, "%s", why.what);
    }
    return stamp_bundle_check(order->bundle, owner_hash, order->purpose, NULL, err);
}

enum stamp_err stamp_order_open(struct stamp_slice file, const uint8_t owner_hash[32],
                                EVP_PKEY *box, struct stamp_buffer *plain,
                                struct stamp_order *order, struct stamp_error *err)
{
    struct stamp_slice envelope = {NULL, 0};
    struct stamp_slice sealed = {NULL, 0};
    struct stamp_slice text;
    uint8_t key[KEY_SIZE];
    enum stamp_err rc = split(file, &envelope, &sealed, err);

    plain->p = NULL;
    plain->len = 0;
    memset(order, 0, sizeof *order);
    if (rc != STAMP_OK || sealed.p == NULL) {
        return rc;
    }
    rc = stamp_cms_unwrap(envelope, box, key, sizeof key, err);
    if (rc == STAMP_OK) {
        rc = stamp_buffer_new(plain, sealed.len - TAG_SIZE, 0, err);
    }
    if (rc == STAMP_OK && !decrypt(key, sealed, plain->p, plain->len)) {
        ERR_clear_error();
        rc = stamp_error_set(err, STAMP_E_AUTH, 0, "the order does not open");
    }
    OPENSSL_cleanse(key, sizeof key);
    if (rc == STAMP_OK) {
        text.p = plain->p;
        text.len = plain->len;
        rc = check_signed(text, owner_hash, order, err);
    }
    if (rc != STAMP_OK) {
        stamp_buffer_free(plain);
        memset(order, 0, sizeof *order);
    }
    return rc;
}

enum stamp_err stamp_order_check(const struct stamp_order *order,
                                 struct stamp_slice station, uint8_t purpose, time_t now,
                                 struct stamp_error *err)
{
    if (order->purpose != purpose) {
        return stamp_error_set(err, STAMP_E_PURPOSE, 0,
                               "the order is for the other purpose");
    }
    if (order->station.len != station.len ||
        memcmp(order->station.p, station.p, station.len) != 0) {
        return stamp_error_set(err, STAMP_E_AUTH, 0, "the order is for another station");
    }
    if (now < (time_t)order->not_before) {
        return stamp_error_set(err, STAMP_E_STATE, 0,
                               "the order does not hold yet, or the clock is wrong");
    }
    if (now > (time_t)order->not_after) {
        return stamp_error_set(err, STAMP_E_STATE, 0,
                               "the order holds no longer, or the clock is wrong");
    }
    return STAMP_OK;
}

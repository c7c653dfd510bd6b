/*
 * Records: each stamp sealed under a key of its own. SPEC 11.2.
 *
 * HKDF's two steps are HMACs. The first depends on the segment alone, so its result stays
 * in an HMAC context; each record costs one HMAC, one key schedule, one pass of AES-GCM
 * and one of SHA-256, all in contexts that are used again.
 */
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "host/batchfile_own.h"

#define INFO_LABEL "devstamp record 1"
#define INFO_LABEL_LEN (sizeof INFO_LABEL - 1)
#define INFO_MAX (INFO_LABEL_LEN + STAMPI_RANDOM_SIZE + 4 + STAMP_SERIAL_MAX + 1)
#define SALT_SIZE (STAMP_BATCH_ID_SIZE + 8)
#define FIXED_LEN (STAMPI_RANDOM_SIZE + 1u) /* before the serial */
#define POOL_SIZE 4096u                     /* random bytes drawn at once */

static const uint8_t zero_nonce[12];

struct stamp_batch_sealer {
    EVP_MAC_CTX *segment;
    EVP_CIPHER_CTX *cipher;
    EVP_MD_CTX *md;
    uint32_t number; /* of the segment */
    uint8_t pool[POOL_SIZE];
    size_t pool_left;
};

static bool mac_key(EVP_MAC_CTX *ctx, const uint8_t *key, size_t len)
{
    char md[] = "SHA256";
    OSSL_PARAM params[2];

    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, md, 0);
    params[1] = OSSL_PARAM_construct_end();
    return EVP_MAC_init(ctx, key, len, params) == 1;
}

/* HKDF-Extract, RFC 5869 2.2. SPEC 11-11. */
enum stamp_err stampi_segment_key(const uint8_t id[STAMP_BATCH_ID_SIZE], uint32_t volume,
                                  uint32_t segment,
                                  const uint8_t content[STAMPI_KEY_SIZE],
                                  EVP_MAC_CTX **out, struct stamp_error *err)
{
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    uint8_t salt[SALT_SIZE];
    uint8_t prk[STAMPI_KEY_SIZE];
    size_t len = 0;
    bool ok;

    memcpy(salt, id, STAMP_BATCH_ID_SIZE);
    stamp_put_u32(salt + STAMP_BATCH_ID_SIZE, volume);
    stamp_put_u32(salt + STAMP_BATCH_ID_SIZE + 4, segment);
    *out = mac == NULL ? NULL : EVP_MAC_CTX_new(mac);
    ok = *out != NULL && mac_key(*out, salt, sizeof salt) &&
         EVP_MAC_update(*out, content, STAMPI_KEY_SIZE) == 1 &&
         EVP_MAC_final(*out, prk, &len, sizeof prk) == 1 && len == sizeof prk &&
         mac_key(*out, prk, sizeof prk);
    OPENSSL_cleanse(prk, sizeof prk);
    EVP_MAC_free(mac);
    if (!ok) {
        stampi_free_mac_ctx(out);
        return stamp_openssl_failed(err, "cannot derive a key");
    }
    return STAMP_OK;
}

/* HKDF-Expand of 32 bytes, RFC 5869 2.3: one block. SPEC 11-11. */
static bool record_key(EVP_MAC_CTX *segment, const uint8_t *random, uint32_t index,
                       struct stamp_slice serial, uint8_t key[STAMPI_KEY_SIZE])
{
    uint8_t info[INFO_MAX];
    uint8_t *p = info;
    size_t len = 0;

    memcpy(p, INFO_LABEL, INFO_LABEL_LEN);
    p += INFO_LABEL_LEN;
    memcpy(p, random, STAMPI_RANDOM_SIZE);
    p += STAMPI_RANDOM_SIZE;
    stamp_put_u32(p, index);
    p += 4;
    memcpy(p, serial.p, serial.len);
    p += serial.len;
    *p++ = 1; /* the number of the block */
    /* Without a key it starts again with the one it has. */
    return EVP_MAC_init(segment, NULL, 0, NULL) == 1 &&
           EVP_MAC_update(segment, info, (size_t)(p - info)) == 1 &&
           EVP_MAC_final(segment, key, &len, STAMPI_KEY_SIZE) == 1 &&
           len == STAMPI_KEY_SIZE;
}

EVP_CIPHER_CTX *stampi_cipher_new(bool encrypt)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

    if (ctx != NULL && EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, NULL, NULL,
                                         encrypt ? 1 : 0) != 1) {
        stampi_free_cipher_ctx(&ctx);
    }
    return ctx;
}

enum stamp_err stamp_batch_sealer_new(const struct stamp_batch_writer *w,
                                      struct stamp_batch_sealer **out,
                                      struct stamp_error *err)
{
    struct stamp_batch_sealer *s = calloc(1, sizeof *s);

    *out = s;
    if (s == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, 0, "out of memory");
    }
    s->number = stamp_get_u32(w->segment + 8);
    s->segment = EVP_MAC_CTX_dup(w->key);
    s->cipher = stampi_cipher_new(true);
    s->md = stampi_digest_new();
    if (s->segment == NULL || s->cipher == NULL || s->md == NULL) {
        stamp_batch_sealer_free(out);
        return stamp_openssl_failed(err, "cannot prepare for sealing");
    }
    return STAMP_OK;
}

void stamp_batch_sealer_free(struct stamp_batch_sealer **p)
{
    if (*p != NULL) {
        stampi_free_mac_ctx(&(*p)->segment);
        stampi_free_cipher_ctx(&(*p)->cipher);
        EVP_MD_CTX_free((*p)->md);
        free(*p);
    }
    *p = NULL;
}

static const uint8_t *draw(struct stamp_batch_sealer *s)
{
    if (s->pool_left == 0) {
        if (RAND_bytes(s->pool, sizeof s->pool) != 1) {
            return NULL;
        }
        s->pool_left = sizeof s->pool;
    }
    s->pool_left -= STAMPI_RANDOM_SIZE;
    return s->pool + s->pool_left;
}

size_t stamp_batch_record_size(size_t serial_len, size_t body_len)
{
    return STAMPI_FRAME_SIZE + FIXED_LEN + serial_len + body_len + STAMPI_TAG_SIZE;
}

/* SPEC 11-12. */
static bool encrypt(EVP_CIPHER_CTX *ctx, const uint8_t *key, struct stamp_slice clear,
                    struct stamp_slice body, uint8_t *out)
{
    int n = 0;

    return EVP_EncryptInit_ex(ctx, NULL, NULL, key, zero_nonce) == 1 &&
           EVP_EncryptUpdate(ctx, NULL, &n, clear.p, (int)clear.len) == 1 &&
           EVP_EncryptUpdate(ctx, out, &n, body.p, (int)body.len) == 1 &&
           EVP_EncryptFinal_ex(ctx, out + n, &n) == 1 &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, (int)STAMPI_TAG_SIZE,
                               out + body.len) == 1;
}

enum stamp_err stamp_batch_seal(struct stamp_batch_sealer *s, uint32_t index,
                                const char *serial, struct stamp_slice body, uint8_t *out,
                                size_t size, struct stamp_batch_record *record,
                                struct stamp_error *err)
{
    struct stamp_slice name = {(const uint8_t *)serial, strlen(serial)};
    struct stamp_slice clear = {out, STAMPI_HEAD_SIZE + FIXED_LEN + name.len};
    uint8_t key[STAMPI_KEY_SIZE];
    uint8_t *p = out + STAMPI_HEAD_SIZE;
    const uint8_t *random;
    uint32_t len; /* of the payload */
    bool ok;

    record->len = 0;
    if (!stampi_serial_ok(name) || body.len == 0 || body.len > STAMP_MAX_LEN) {
        return stamp_error_set(err, STAMP_E_RANGE, 0, "cannot seal '%.64s'", serial);
    }
    len = (uint32_t)(FIXED_LEN + name.len + body.len + STAMPI_TAG_SIZE);
    if (size < len + STAMPI_FRAME_SIZE) {
        return stamp_error_set(err, STAMP_E_SPACE, 0, "no room to seal '%s'", serial);
    }
    random = draw(s);
    if (random == NULL) {
        return stamp_openssl_failed(err, "the random generator failed");
    }
    /* The head goes first: it is authenticated too. */
    stampi_head_put(out, STAMPI_MAGIC_RECORD, len, index, s->number);
    memcpy(p, random, STAMPI_RANDOM_SIZE);
    p[STAMPI_RANDOM_SIZE] = (uint8_t)name.len;
    memcpy(p + FIXED_LEN, name.p, name.len);
    ok = record_key(s->segment, p, index, name, key) &&
         encrypt(s->cipher, key, clear, body, p + FIXED_LEN + name.len) &&
         stampi_block_close(s->md, out, STAMPI_MAGIC_RECORD, len, index, s->number,
                            record->digest);
    OPENSSL_cleanse(key, sizeof key);
    if (!ok) {
        return stamp_openssl_failed(err, "cannot seal a stamp");
    }
    record->len = len + STAMPI_FRAME_SIZE;
    return STAMP_OK;
}

/* SPEC 11-10. */
bool stampi_record_parse(const uint8_t *block, size_t len, struct stampi_record *r)
{
    struct stampi_head head;
    const uint8_t *p = block + STAMPI_HEAD_SIZE;
    size_t left;

    memset(r, 0, sizeof *r);
    if (len <= STAMPI_FRAME_SIZE) {
        return false;
    }
    stampi_head_get(block, &head);
    left = len - STAMPI_FRAME_SIZE;
    if (!stampi_head_is(&head, STAMPI_MAGIC_RECORD) || head.len != left ||
        left > STAMPI_RECORD_LEN_MAX || left <= FIXED_LEN) {
        return false;
    }
    r->index = head.a;
    r->segment = head.b;
    r->random = p;
    r->serial.p = p + FIXED_LEN;
    r->serial.len = p[STAMPI_RANDOM_SIZE];
    left -= FIXED_LEN;
    if (left < r->serial.len || !stampi_serial_ok(r->serial)) {
        return false;
    }
    left -= r->serial.len;
    r->clear.p = block;
    r->clear.len = STAMPI_HEAD_SIZE + FIXED_LEN + r->serial.len;
    r->sealed.p = block + r->clear.len;
    r->sealed.len = left;
    return left > STAMPI_TAG_SIZE && left <= STAMP_MAX_LEN + STAMPI_TAG_SIZE;
}

bool stampi_record_open(EVP_MAC_CTX *segment, EVP_CIPHER_CTX *cipher,
                        const struct stampi_record *r, uint8_t *body)
{
    uint8_t key[STAMPI_KEY_SIZE];
    uint8_t tag[STAMPI_TAG_SIZE];
    int len = (int)(r->sealed.len - STAMPI_TAG_SIZE);
    int n = 0;
    int m = 0;
    bool ok;

    memcpy(tag, r->sealed.p + len, sizeof tag);
    ok = record_key(segment, r->random, r->index, r->serial, key) &&
         EVP_DecryptInit_ex(cipher, NULL, NULL, key, zero_nonce) == 1 &&
         EVP_DecryptUpdate(cipher, NULL, &n, r->clear.p, (int)r->clear.len) == 1 &&
         EVP_DecryptUpdate(cipher, body, &n, r->sealed.p, len) == 1 &&
         EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, (int)sizeof tag, tag) == 1 &&
         EVP_DecryptFinal_ex(cipher, body + n, &m) == 1;
    OPENSSL_cleanse(key, sizeof key);
    if (!ok) {
        OPENSSL_cleanse(body, (size_t)len);
    }
    return ok;
}

#include "host/registry_token.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>

#include "host/registry_own.h"

#define TOKEN_BYTES 32u
#define PAGE 64

enum stamp_err stamp_token_digest(const char *text, size_t len,
                                  uint8_t digest[STAMP_TOKEN_DIGEST_SIZE],
                                  struct stamp_error *err)
{
    return EVP_Digest(text, len, digest, NULL, stamp_sha256(), NULL) == 1
               ? STAMP_OK
               : stamp_openssl_failed(err, "cannot hash a token");
}

enum stamp_err stamp_token_draw(char text[STAMP_TOKEN_TEXT_SIZE],
                                uint8_t digest[STAMP_TOKEN_DIGEST_SIZE],
                                struct stamp_error *err)
{
    uint8_t bytes[TOKEN_BYTES];
    unsigned char base64[48];

    if (RAND_bytes(bytes, sizeof bytes) != 1) {
        return stamp_error_set(err, STAMP_E_CRYPTO, 0, "the random generator failed");
    }
    (void)EVP_EncodeBlock(base64, bytes, sizeof bytes);
    for (size_t i = 0; i + 1 < STAMP_TOKEN_TEXT_SIZE; i++) { /* base64url, no padding */
        char c = (char)base64[i];

        text[i] = (char)(c == '+' ? '-' : c == '/' ? '_' : c);
    }
    text[STAMP_TOKEN_TEXT_SIZE - 1] = '\0';
    OPENSSL_cleanse(bytes, sizeof bytes);
    OPENSSL_cleanse(base64, sizeof base64);
    return stamp_token_digest(text, strlen(text), digest, err);
}

static enum stamp_err add(struct stamp_registry *r, const struct stamp_admitted *a,
                          const uint8_t digest[STAMP_TOKEN_DIGEST_SIZE], time_t now,
                          time_t not_after, struct stamp_error *err)
{
    int64_t changed = 0;
    enum stamp_err rc = STAMPI_RUN(r, STAMPI_TOKEN_ADD, NULL, NULL, &changed, err,
                                   stampi_blob(digest, STAMP_TOKEN_DIGEST_SIZE),
                                   stampi_int(a->device), stampi_int((int64_t)now),
                                   stampi_int((int64_t)not_after), stampi_text(r->who));

    return rc == STAMP_OK && changed == 0
               ? stamp_error_set(err, STAMP_E_DUPLICATE, 0,
                                 "the token is on the books already")
               : rc;
}

enum stamp_err stamp_registry_token_add(struct stamp_registry *r, const char *serial,
                                        const uint8_t digest[STAMP_TOKEN_DIGEST_SIZE],
                                        time_t now, time_t not_after,
                                        struct stamp_error *err)
{
    struct stamp_registry_row row;
    struct stamp_admitted a = {.refusal = STAMP_REFUSAL_NONE};
    enum stamp_err rc = stamp_registry_find(r, serial, &row, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    rc = stamp_registry_admit_device(r, row.id, &a, err);
    stamp_registry_row_fini(&row);
    if (rc == STAMP_OK && a.refusal != STAMP_REFUSAL_NONE) {
        rc = stamp_error_set(err, STAMP_E_STATE, 0, "'%s' is %s and cannot enrol", serial,
                             stamp_registry_state_name(a.state));
    }
    if (rc == STAMP_OK) {
        rc = stampi_begin(r, err);
    }
    if (rc == STAMP_OK) {
        rc = stampi_finish(r, add(r, &a, digest, now, not_after, err), err);
    }
    stamp_admitted_fini(&a);
    return rc;
}

static enum stamp_err drop(struct stamp_registry *r, const uint8_t *digest,
                           struct stamp_error *err)
{
    int64_t changed = 0;
    enum stamp_err rc = STAMPI_RUN(r, STAMPI_TOKEN_DROP, NULL, NULL, &changed, err,
                                   stampi_blob(digest, STAMP_TOKEN_DIGEST_SIZE));

    return rc == STAMP_OK && changed == 0
               ? stamp_error_set(err, STAMP_E_MISSING, 0,
                                 "there is no such token that is not used yet")
               : rc;
}

enum stamp_err stamp_registry_token_drop(struct stamp_registry *r,
                                         const uint8_t digest[STAMP_TOKEN_DIGEST_SIZE],
                                         struct stamp_error *err)
{
    enum stamp_err rc = stampi_begin(r, err);

    return rc == STAMP_OK ? stampi_finish(r, drop(r, digest, err), err) : rc;
}

/* ---- listing ---- */

struct telling {
    stamp_registry_token_told told;
    void *ctx;
    uint8_t last[STAMP_TOKEN_DIGEST_SIZE];
    int n; /* of this page */
    bool ended;
};

/* digest, serial, at, not_after, used_at, who */
static enum stamp_err tell(void *ctx, const struct stampi_value *v,
                           struct stamp_error *err)
{
    struct telling *t = ctx;
    struct stamp_registry_token token;

    (void)err;
    stampi_get_blob(&v[0], token.digest, sizeof token.digest);
    stampi_get_text(&v[1], token.serial, sizeof token.serial);
    token.at = (time_t)v[2].number;
    token.not_after = (time_t)v[3].number;
    token.used_at = v[4].type == STAMPI_NULL ? 0 : (time_t)v[4].number;
    stampi_get_text(&v[5], token.who, sizeof token.who);
    memcpy(t->last, token.digest, sizeof t->last);
    t->n++;
    t->ended = t->ended || !t->told(t->ctx, &token);
    return STAMP_OK;
}

enum stamp_err stamp_registry_token_list(struct stamp_registry *r,
                                         stamp_registry_token_told told, void *ctx,
                                         struct stamp_error *err)
{
    struct telling t = {.told = told, .ctx = ctx};
    size_t last_len = 0; /* nothing is below the empty string */
    enum stamp_err rc = STAMP_OK;

    do {
        t.n = 0;
        rc = STAMPI_RUN(r, STAMPI_TOKEN_LIST, tell, &t, NULL, err,
                        stampi_blob(t.last, last_len), stampi_int(PAGE));
        last_len = sizeof t.last;
    } while (rc == STAMP_OK && !t.ended && t.n == PAGE);
    return rc;
}

/* ---- admission ---- */

struct found {
    int64_t device; /* 0 = none */
    int64_t not_after;
    bool used;
    uint8_t fingerprint[32];
};

/* device, not_after, used_at, fingerprint */
static enum stamp_err take(void *ctx, const struct stampi_value *v,
                           struct stamp_error *err)
{
    struct found *f = ctx;

    (void)err;
    f->device = v[0].number;
    f->not_after = v[1].number;
    f->used = v[2].type != STAMPI_NULL;
    stampi_get_blob(&v[3], f->fingerprint, sizeof f->fingerprint);
    return STAMP_OK;
}

enum stamp_err stamp_registry_admit_token(struct stamp_registry *r,
                                          const uint8_t digest[STAMP_TOKEN_DIGEST_SIZE],
                                          const char *serial,
                                          const uint8_t fingerprint[32], time_t now,
                                          struct stamp_admitted *out,
                                          struct stamp_error *err)
{
    struct found f = {.device = 0};
    struct stampi_value key = stampi_blob(digest, STAMP_TOKEN_DIGEST_SIZE);
    bool again;
    enum stamp_err rc = STAMPI_RUN(r, STAMPI_TOKEN_FIND, take, &f, NULL, err, key);

    memset(out, 0, sizeof *out);
    out->refusal = STAMP_REFUSAL_TOKEN;
    again = f.used && memcmp(f.fingerprint, fingerprint, 32) == 0;
    if (rc != STAMP_OK || f.device == 0 || (f.used && !again) ||
        (!f.used && f.not_after < (int64_t)now)) {
        return rc;
    }
    rc = stamp_registry_admit_device(r, f.device, out, err);
    if (rc == STAMP_OK && serial[0] != '\0' && strcmp(serial, out->serial) != 0) {
        out->refusal = STAMP_REFUSAL_TOKEN; /* of another device */
    }
    out->first_use = !again;
    return rc;
}

enum stamp_err stamp_registry_token_use(struct stamp_registry *r,
                                        const uint8_t digest[STAMP_TOKEN_DIGEST_SIZE],
                                        const uint8_t fingerprint[32], time_t now,
                                        enum stamp_refusal *refusal,
                                        struct stamp_error *err)
{
    int64_t changed = 0;
    enum stamp_err rc = STAMPI_RUN(r, STAMPI_TOKEN_USE, NULL, NULL, &changed, err,
                                   stampi_int((int64_t)now), stampi_blob(fingerprint, 32),
                                   stampi_blob(digest, STAMP_TOKEN_DIGEST_SIZE));

    if (rc == STAMP_OK && changed == 0) {
        *refusal = STAMP_REFUSAL_TOKEN; /* somebody else was faster */
    }
    return rc;
}

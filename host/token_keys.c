/* Keys of a session: made in the token, checked, and used for signatures. */
#include <stdlib.h>
#include <string.h>

#include "host/token_session_own.h"

/* Of Thales, in whose tokens a key may have a limit of uses. */
#define CKA_USAGE_LIMIT (CKA_VENDOR_DEFINED + 0x0200UL)

/* DER of the OID of P-256, as CKA_EC_PARAMS has it. */
static const uint8_t p256[] = {0x06, 0x08, 0x2A, 0x86, 0x48,
                               0xCE, 0x3D, 0x03, 0x01, 0x07};

static CK_ATTRIBUTE attribute(CK_ATTRIBUTE_TYPE type, const void *p, size_t len)
{
    return (CK_ATTRIBUTE){type, (void *)(uintptr_t)p, len};
}

/* A key's id instead of its label: "id:02". */
static bool takes_id(const char *name, uint8_t id[1])
{
    char *end;

    if (strncmp(name, "id:", 3) != 0) {
        return false;
    }
    id[0] = (uint8_t)strtoul(name + 3, &end, 16);
    return true;
}

/* The one key of a class and name. STAMP_E_MISSING: none. */
static enum stamp_err find(struct stamp_session *s, CK_OBJECT_CLASS class,
                           const char *label, CK_OBJECT_HANDLE *out,
                           struct stamp_error *err)
{
    CK_ATTRIBUTE t[] = {attribute(CKA_CLASS, &class, sizeof class),
                        attribute(CKA_LABEL, label, strlen(label))};
    uint8_t id[1];
    CK_OBJECT_HANDLE found[2];
    CK_ULONG n;
    CK_RV rv;

    if (takes_id(label, id)) {
        t[1] = attribute(CKA_ID, id, sizeof id);
    }
    rv = stampi_session_find(s, t, 2, found, 2, &n);
    if (rv != CKR_OK) {
        return stampi_session_failed(s, rv, "look for a key", err);
    }
    if (n > 1) {
        stamp_error_hint(err, "one of them is not this station's: remove it, or choose "
                              "another label");
        return stamp_error_set(err, STAMP_E_DUPLICATE, 0,
                               "token %s has two keys named '%s'", s->name, label);
    }
    *out = n == 1 ? found[0] : CK_INVALID_HANDLE;
    return n == 1 ? STAMP_OK : STAMP_E_MISSING;
}

static bool is(struct stamp_session *s, CK_OBJECT_HANDLE key, CK_ATTRIBUTE_TYPE type,
               bool want)
{
    CK_BBOOL v = CK_FALSE;
    CK_ATTRIBUTE t = {type, &v, sizeof v};

    return s->f->C_GetAttributeValue(s->session, key, &t, 1) == CKR_OK &&
           (v == CK_TRUE) == want;
}

static bool is_for(struct stamp_session *s, CK_OBJECT_HANDLE key,
                   enum stamp_token_use use)
{
    switch (use) {
    case STAMP_TOKEN_SIGN:
        return is(s, key, CKA_SIGN, true);
    case STAMP_TOKEN_AGREE:
        return is(s, key, CKA_DERIVE, true);
    case STAMP_TOKEN_AGREE_UNSAID:
    default:
        return true;
    }
}

/* Never outside, and never to come out. */
static enum stamp_err check(struct stamp_session *s, const char *label,
                            CK_OBJECT_HANDLE key, enum stamp_token_use use,
                            struct stamp_error *err)
{
    const char *what = !is(s, key, CKA_LOCAL, true) ? "it was not made in the token"
                       : !is(s, key, CKA_EXTRACTABLE, false) ? "it can be taken out"
                       : !is(s, key, CKA_NEVER_EXTRACTABLE, true)
                           ? "it could be taken out"
                       : !is(s, key, CKA_SENSITIVE, true)        ? "it can be read"
                       : !is(s, key, CKA_ALWAYS_SENSITIVE, true) ? "it could be read"
                       : !is_for(s, key, use) ? "it is not for this use"
                                              : NULL;

    if (what == NULL) {
        return STAMP_OK;
    }
    stamp_error_hint(err, "let devstamp make the key: choose a label that is free");
    return stamp_error_set(err, STAMP_E_AUTH, 0, "key '%s' of token %s is refused: %s",
                           label, s->name, what);
}

static enum stamp_err generate(struct stamp_session *s, const char *label,
                               enum stamp_token_use use, uint32_t limit,
                               CK_OBJECT_HANDLE *key, struct stamp_error *err)
{
    static const CK_BBOOL yes = CK_TRUE;
    static const CK_BBOOL no = CK_FALSE;
    bool sign = use == STAMP_TOKEN_SIGN;
    CK_ULONG uses = limit;
    CK_MECHANISM how = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
    CK_ATTRIBUTE public[] = {
        attribute(CKA_EC_PARAMS, p256, sizeof p256),
        attribute(CKA_TOKEN, &yes, sizeof yes),
        attribute(CKA_LABEL, label, strlen(label)),
        attribute(CKA_ID, label, strlen(label)),
        attribute(CKA_VERIFY, &yes, sizeof yes),
        attribute(CKA_DERIVE, sign ? &no : &yes, sizeof yes),
    };
    /* Not a word of CKA_DECRYPT, which such a key cannot do: tpm2-pkcs11 takes that and
     * the public half's CKA_VERIFY for one and the same. */
    CK_ATTRIBUTE private[] = {
        attribute(CKA_TOKEN, &yes, sizeof yes),
        attribute(CKA_PRIVATE, &yes, sizeof yes),
        attribute(CKA_SENSITIVE, &yes, sizeof yes),
        attribute(CKA_EXTRACTABLE, &no, sizeof no),
        attribute(CKA_SIGN, &yes, sizeof yes), /* its own request, at least */
        attribute(CKA_DERIVE, sign ? &no : &yes, sizeof yes),
        attribute(CKA_UNWRAP, &no, sizeof no),
        attribute(CKA_LABEL, label, strlen(label)),
        attribute(CKA_ID, label, strlen(label)),
        attribute(CKA_USAGE_LIMIT, &uses, sizeof uses),
    };
    CK_OBJECT_HANDLE half;
    CK_ULONG n = sizeof private / sizeof private[0];
    CK_RV rv = s->f->C_GenerateKeyPair(s->session, &how, public,
                                       sizeof public / sizeof public[0], private,
                                       limit > 0 ? n : n - 1, &half, key);

    if (limit > 0 &&
        (rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_TEMPLATE_INCONSISTENT)) {
        return stamp_error_set(err, STAMP_E_UNSUPPORTED, (long)rv,
                               "token %s does not know a limit of uses", s->name);
    }
    return rv == CKR_OK ? STAMP_OK : stampi_session_failed(s, rv, "make a key", err);
}

/* CKA_EC_POINT is an OCTET STRING around the point; some tokens leave that out. */
static enum stamp_err get_point(struct stamp_session *s, const char *label,
                                uint8_t point[STAMP_POINT_SIZE], struct stamp_error *err)
{
    uint8_t buf[STAMP_POINT_SIZE + 2];
    uint8_t params[16];
    CK_ATTRIBUTE t[] = {{CKA_EC_POINT, buf, sizeof buf},
                        {CKA_EC_PARAMS, params, sizeof params}};
    CK_OBJECT_HANDLE half = CK_INVALID_HANDLE;
    enum stamp_err rc = find(s, CKO_PUBLIC_KEY, label, &half, err);
    CK_RV rv;

    if (rc == STAMP_E_MISSING) {
        return stamp_error_set(err, rc, 0, "token %s has no public key named '%s'",
                               s->name, label);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    rv = s->f->C_GetAttributeValue(s->session, half, t, 2);
    if (rv != CKR_OK) {
        return stampi_session_failed(s, rv, "read a public key", err);
    }
    if (t[1].ulValueLen != sizeof p256 || memcmp(params, p256, sizeof p256) != 0 ||
        t[0].ulValueLen < STAMP_POINT_SIZE || t[0].ulValueLen > sizeof buf ||
        buf[t[0].ulValueLen - STAMP_POINT_SIZE] != 0x04) {
        return stamp_error_set(err, STAMP_E_FORMAT, 0,
                               "key '%s' of token %s is no P-256 key", label, s->name);
    }
    memcpy(point, buf + t[0].ulValueLen - STAMP_POINT_SIZE, STAMP_POINT_SIZE);
    return STAMP_OK;
}

enum stamp_err stamp_session_key(struct stamp_session *s, const char *label,
                                 enum stamp_token_use use, uint32_t limit, bool *made,
                                 uint8_t point[STAMP_POINT_SIZE], struct stamp_error *err)
{
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    enum stamp_err rc = find(s, CKO_PRIVATE_KEY, label, &key, err);

    if (made == NULL && rc == STAMP_E_MISSING) {
        return stamp_error_set(err, rc, 0, "token %s has no key named '%s'", s->name,
                               label);
    }
    if (made != NULL) {
        *made = rc == STAMP_E_MISSING;
    }
    if (rc == STAMP_E_MISSING) {
        rc = generate(s, label, use, limit, &key, err);
    }
    if (rc == STAMP_OK) {
        rc = check(s, label, key, use, err);
    }
    return rc == STAMP_OK ? get_point(s, label, point, err) : rc;
}

/* The private key, once it was looked for. */
static enum stamp_err take(struct stamp_session *s, const char *label,
                           const struct stampi_session_key **out, struct stamp_error *err)
{
    struct stampi_session_key *k;
    enum stamp_err rc;

    for (int i = 0; i < s->n_keys; i++) {
        if (strcmp(s->key[i].label, label) == 0) {
            *out = &s->key[i];
            return STAMP_OK;
        }
    }
    k = &s->key[s->n_keys % STAMPI_SESSION_KEYS];
    rc = find(s, CKO_PRIVATE_KEY, label, &k->handle, err);
    if (rc == STAMP_E_MISSING) {
        return stamp_error_set(err, rc, 0, "token %s has no key named '%s'", s->name,
                               label);
    }
    if (rc == STAMP_OK) {
        (void)snprintf(k->label, sizeof k->label, "%s", label);
        k->always = is(s, k->handle, CKA_ALWAYS_AUTHENTICATE, true);
        s->n_keys += s->n_keys < STAMPI_SESSION_KEYS;
        *out = k;
    }
    return rc;
}

enum stamp_err stamp_session_sign(struct stamp_session *s, const char *label,
                                  const uint8_t digest[32], uint8_t sig[64],
                                  struct stamp_error *err)
{
    CK_MECHANISM how = {CKM_ECDSA, NULL, 0};
    const struct stampi_session_key *key = NULL;
    CK_ULONG len = 64;
    CK_RV rv;
    enum stamp_err rc = take(s, label, &key, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    rv = s->f->C_SignInit(s->session, &how, key->handle);
    if (rv == CKR_OK && key->always) { /* for this one signature */
        size_t pin_len;
        const uint8_t *pin = stamp_secret_use(s->pin, &pin_len);

        rv = s->refused ? CKR_PIN_INCORRECT
                        : s->f->C_Login(s->session, CKU_CONTEXT_SPECIFIC,
                                        (CK_UTF8CHAR *)(uintptr_t)pin, pin_len);
        s->refused = stampi_session_pin_is_bad(rv);
    }
    if (rv == CKR_OK) {
        rv = s->f->C_Sign(s->session, (CK_BYTE *)(uintptr_t)digest, 32, sig, &len);
    }
    if (rv != CKR_OK || len != 64) {
        return stampi_session_failed(s, rv == CKR_OK ? CKR_GENERAL_ERROR : rv, "sign",
                                     err);
    }
    return STAMP_OK;
}

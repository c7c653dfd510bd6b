/*
 * Counting in a token. PKCS #11 lets no object's value be changed everywhere (SoftHSM2
 * does not), so each number is an object of its own: n + 1 is made, then n goes. Power
 * may fail between: the highest one counts.
 */
#include <string.h>

#include "host/token_session_own.h"

enum { LABEL_SIZE = 15 + 32 + 1, OBJECTS_MAX = 16 };

static void label_of(const uint8_t id[16], char label[LABEL_SIZE])
{
    char *p = label + 15;

    memcpy(label, "devstamp count ", 15);
    for (int i = 0; i < 16; i++) {
        *p++ = "0123456789abcdef"[id[i] >> 4];
        *p++ = "0123456789abcdef"[id[i] & 15];
    }
    *p = '\0';
}

static enum stamp_err find(struct stamp_session *s, const uint8_t id[16],
                           CK_OBJECT_HANDLE *objects, CK_ULONG *n,
                           struct stamp_error *err)
{
    CK_OBJECT_CLASS class = CKO_DATA;
    char label[LABEL_SIZE];
    CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof class},
                        {CKA_LABEL, label, LABEL_SIZE - 1}};
    CK_RV rv;

    label_of(id, label);
    rv = stampi_session_find(s, t, 2, objects, OBJECTS_MAX, n);
    return rv == CKR_OK ? STAMP_OK : stampi_session_failed(s, rv, "read its count", err);
}

enum stamp_err stamp_session_count(struct stamp_session *s, const uint8_t id[16],
                                   uint32_t *n, struct stamp_error *err)
{
    CK_OBJECT_HANDLE objects[OBJECTS_MAX];
    CK_ULONG found;
    enum stamp_err rc = find(s, id, objects, &found, err);

    *n = 0;
    memcpy(s->count_id, id, sizeof s->count_id);
    s->count_object = CK_INVALID_HANDLE;
    for (CK_ULONG i = 0; i < found && rc == STAMP_OK; i++) {
        uint8_t v[4];
        CK_ATTRIBUTE t = {CKA_VALUE, v, sizeof v};
        CK_RV rv = s->f->C_GetAttributeValue(s->session, objects[i], &t, 1);
        uint32_t is =
            (uint32_t)v[0] << 24 | (uint32_t)v[1] << 16 | (uint32_t)v[2] << 8 | v[3];

        if (rv != CKR_OK || t.ulValueLen != sizeof v) {
            rc = stampi_session_failed(s, rv == CKR_OK ? CKR_GENERAL_ERROR : rv,
                                       "read its count", err);
        } else if (is >= *n) {
            *n = is;
            s->count_object = objects[i];
        }
    }
    s->count = *n;
    return rc;
}

static enum stamp_err create(struct stamp_session *s, const uint8_t id[16], uint32_t n,
                             CK_OBJECT_HANDLE *out, struct stamp_error *err)
{
    static CK_BBOOL yes = CK_TRUE;
    CK_OBJECT_CLASS class = CKO_DATA;
    char label[LABEL_SIZE];
    uint8_t v[4] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8),
                    (uint8_t)n};
    CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof class},
                        {CKA_TOKEN, &yes, sizeof yes},
                        {CKA_PRIVATE, &yes, sizeof yes},
                        {CKA_LABEL, label, LABEL_SIZE - 1},
                        {CKA_VALUE, v, sizeof v}};
    CK_RV rv;

    label_of(id, label);
    rv = s->f->C_CreateObject(s->session, t, sizeof t / sizeof t[0], out);
    return rv == CKR_OK ? STAMP_OK
                        : stampi_session_failed(
                              s, rv, "keep a count (a private data object)", err);
}

enum stamp_err stamp_session_count_to(struct stamp_session *s, const uint8_t id[16],
                                      uint32_t n, struct stamp_error *err)
{
    CK_OBJECT_HANDLE made;
    uint32_t is;
    enum stamp_err rc = STAMP_OK;

    if (memcmp(s->count_id, id, sizeof s->count_id) != 0 ||
        s->count_object == CK_INVALID_HANDLE) {
        rc = stamp_session_count(s, id, &is, err);
    }
    if (rc != STAMP_OK || n <= s->count) {
        return rc;
    }
    rc = create(s, id, n, &made, err);
    if (rc != STAMP_OK) {
        return rc;
    }
    if (s->count_object != CK_INVALID_HANDLE) { /* else a lower one stays: harmless */
        (void)s->f->C_DestroyObject(s->session, s->count_object);
    }
    s->count_object = made;
    s->count = n;
    return STAMP_OK;
}

enum stamp_err stamp_session_check_station(struct stamp_session *s, bool counts,
                                           struct stamp_error *err)
{
    static const uint8_t none[16];
    struct stamp_error why = STAMP_ERROR_INIT;
    CK_MECHANISM_INFO info;
    CK_OBJECT_HANDLE probe;
    enum stamp_err rc = STAMP_OK;

    if (s->f->C_GetMechanismInfo(s->slot, CKM_ECDH1_DERIVE, &info) != CKR_OK ||
        (info.flags & CKF_DERIVE) == 0) {
        stamp_error_hint(err, "docs/tokens.md says what a station's token must do, and "
                              "which ones do");
        return stamp_error_set(err, STAMP_E_UNSUPPORTED, CKM_ECDH1_DERIVE,
                               "token %s has no key agreement (CKM_ECDH1_DERIVE): orders "
                               "cannot be sealed to it",
                               s->name);
    }
    if (!counts) {
        return STAMP_OK;
    }
    rc = create(s, none, 0, &probe, &why);
    if (rc != STAMP_OK) {
        stamp_error_hint(err, "docs/tokens.md says what a station's token must do, and "
                              "which ones do; a YubiKey's PIV does without (--piv)");
        return stamp_error_set(err, rc, why.native, "%s", why.what);
    }
    (void)s->f->C_DestroyObject(s->session, probe);
    return STAMP_OK;
}

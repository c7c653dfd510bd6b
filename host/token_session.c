/* Opening and losing a session. */
#include "host/token_session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/token_session_own.h"

enum { SLOTS_MAX = 64 };

static const char *reason(CK_RV rv)
{
    switch (rv) {
    case CKR_TOKEN_NOT_PRESENT:
    case CKR_DEVICE_REMOVED:
    case CKR_SLOT_ID_INVALID:
        return "it is not there any more";
    case CKR_SESSION_HANDLE_INVALID:
    case CKR_SESSION_CLOSED:
    case CKR_USER_NOT_LOGGED_IN:
        return "the session has ended";
    case CKR_PIN_LOCKED:
        return "its PIN is locked";
    case CKR_PIN_INCORRECT:
    case CKR_PIN_INVALID:
    case CKR_PIN_LEN_RANGE:
        return "the PIN is wrong";
    case CKR_DEVICE_MEMORY:
        return "it is full";
    case CKR_KEY_FUNCTION_NOT_PERMITTED:
        return "the key may not do this, or has made all signatures that it may";
    default:
        return p11_kit_strerror((CK_RV)rv);
    }
}

bool stampi_session_pin_is_bad(CK_RV rv)
{
    return rv == CKR_PIN_INCORRECT || rv == CKR_PIN_INVALID || rv == CKR_PIN_LEN_RANGE ||
           rv == CKR_PIN_EXPIRED;
}

enum stamp_err stampi_session_failed(struct stamp_session *s, CK_RV rv, const char *what,
                                     struct stamp_error *err)
{
    bool pin = rv == CKR_PIN_LOCKED || stampi_session_pin_is_bad(rv);

    if (rv == CKR_KEY_FUNCTION_NOT_PERMITTED) {
        stamp_error_hint(err, "ask headquarters for an order for another token");
        return stamp_error_set(err, STAMP_E_RANGE, (long)rv, "token %s: cannot %s: %s",
                               s->name, what, reason(rv));
    }
    stamp_error_hint(err, pin ? "unlock it with its SO PIN or PUK, or take a spare token"
                              : "look after the token");
    return stamp_error_set(err, pin ? STAMP_E_AUTH : STAMP_E_DEVICE, (long)rv,
                           "token %s: cannot %s: %s", s->name, what, reason(rv));
}

CK_RV stampi_session_find(struct stamp_session *s, CK_ATTRIBUTE *template, CK_ULONG n,
                          CK_OBJECT_HANDLE *out, CK_ULONG max, CK_ULONG *found)
{
    CK_RV rv = s->f->C_FindObjectsInit(s->session, template, n);
    CK_ULONG got = 1;

    *found = 0;
    while (rv == CKR_OK && got > 0 && *found < max) {
        rv = s->f->C_FindObjects(s->session, out + *found, max - *found, &got);
        *found += rv == CKR_OK ? got : 0;
    }
    (void)s->f->C_FindObjectsFinal(s->session);
    return rv;
}

/* ---- which token ---- */

static size_t text_len(const unsigned char *p, size_t size)
{
    while (size > 0 && (p[size - 1] == ' ' || p[size - 1] == '\0')) {
        size--;
    }
    return size;
}

static void take_name(struct stamp_session *s, const CK_TOKEN_INFO *info)
{
    (void)snprintf(s->serial, sizeof s->serial, "%.*s",
                   (int)text_len(info->serialNumber, sizeof info->serialNumber),
                   (const char *)info->serialNumber);
    (void)snprintf(s->name, sizeof s->name, "'%.*s' (%s)",
                   (int)text_len(info->label, sizeof info->label),
                   (const char *)info->label, s->serial);
}

/* @param same  the token must be the one that it was */
static enum stamp_err find(struct stamp_session *s, bool same, CK_TOKEN_INFO *info,
                           struct stamp_error *err)
{
    unsigned hits = 0;
    bool other = false;
    CK_TOKEN_INFO found = {0};

    for (CK_FUNCTION_LIST **m = s->modules; *m != NULL; m++) {
        CK_SLOT_ID slots[SLOTS_MAX];
        CK_ULONG n = SLOTS_MAX;

        if ((*m)->C_GetSlotList(CK_TRUE, slots, &n) != CKR_OK) {
            continue;
        }
        for (CK_ULONG i = 0; i < n; i++) {
            CK_TOKEN_INFO is;

            if ((*m)->C_GetTokenInfo(slots[i], &is) != CKR_OK ||
                (is.flags & CKF_TOKEN_INITIALIZED) == 0 ||
                p11_kit_uri_match_token_info(s->uri, &is) != 1) {
                continue;
            }
            if (same &&
                (text_len(is.serialNumber, sizeof is.serialNumber) != strlen(s->serial) ||
                 memcmp(is.serialNumber, s->serial, strlen(s->serial)) != 0)) {
                other = true;
                continue;
            }
            s->f = *m;
            s->slot = slots[i];
            found = is;
            hits++;
        }
    }
    *info = found;
    if (hits == 1) {
        return STAMP_OK;
    }
    if (other && hits == 0) {
        return stamp_error_set(err, STAMP_E_AUTH, 0,
                               "another token is in the place of %s", s->name);
    }
    stamp_error_hint(err, hits == 0 ? "is it plugged in? `p11tool --list-tokens` shows "
                                      "those that are"
                                    : "add token=LABEL or serial=N to the URI");
    return stamp_error_set(err, hits == 0 ? STAMP_E_DEVICE : STAMP_E_CONFIG, 0,
                           hits == 0 ? "the token of the station is not there"
                                     : "the URI fits more than one token");
}

/* PKCS #11 does not say how many tries are left: with one left nothing is tried. */
static enum stamp_err check_tries(const struct stamp_session *s, CK_FLAGS flags,
                                  struct stamp_error *err)
{
    if ((flags & CKF_USER_PIN_LOCKED) != 0) {
        stamp_error_hint(err, "unlock it with its SO PIN or PUK, or take a spare token");
        return stamp_error_set(err, STAMP_E_AUTH, 0, "the PIN of token %s is locked",
                               s->name);
    }
    if ((flags & CKF_USER_PIN_FINAL_TRY) != 0) {
        stamp_error_hint(err, "log in once with the token's own tool, so that its count "
                              "starts again");
        return stamp_error_set(err, STAMP_E_AUTH, 0,
                               "one more wrong PIN locks token %s: not tried", s->name);
    }
    return STAMP_OK;
}

static enum stamp_err begin(struct stamp_session *s, const CK_TOKEN_INFO *info,
                            struct stamp_error *err)
{
    CK_RV rv = s->f->C_OpenSession(s->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL,
                                   NULL, &s->session);
    size_t len;
    const uint8_t *pin;
    enum stamp_err rc;

    s->n_keys = 0;
    s->count_object = CK_INVALID_HANDLE;
    if (rv != CKR_OK) {
        s->session = CK_INVALID_HANDLE;
        return stampi_session_failed(s, rv, "open a session", err);
    }
    if ((info->flags & CKF_LOGIN_REQUIRED) == 0) {
        return STAMP_OK;
    }
    rc = check_tries(s, info->flags, err);
    if (rc == STAMP_OK && s->refused) {
        stamp_error_hint(err, "end this program, and run it again with the right PIN");
        rc =
            stamp_error_set(err, STAMP_E_AUTH, 0,
                            "token %s refused this PIN before: not tried again", s->name);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    pin = stamp_secret_use(s->pin, &len);
    rv = s->f->C_Login(s->session, CKU_USER, (CK_UTF8CHAR *)(uintptr_t)pin, len);
    s->refused = stampi_session_pin_is_bad(rv);
    return rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN
               ? STAMP_OK
               : stampi_session_failed(s, rv, "log in", err);
}

static enum stamp_err load(struct stamp_session *s, const char *uri,
                           struct stamp_error *err)
{
    const char *path;
    int rc;

    s->uri = p11_kit_uri_new();
    rc = s->uri == NULL ? P11_KIT_URI_UNEXPECTED
                        : p11_kit_uri_parse(uri,
                                            P11_KIT_URI_FOR_OBJECT_ON_TOKEN |
                                                P11_KIT_URI_FOR_MODULE_WITH_VERSION,
                                            s->uri);
    if (rc != P11_KIT_URI_OK || p11_kit_uri_any_unrecognized(s->uri) != 0) {
        return stamp_error_set(err, STAMP_E_CONFIG, rc, "this is no PKCS #11 URI: %s",
                               p11_kit_uri_message(rc));
    }
    if (p11_kit_uri_get_pin_value(s->uri) != NULL) {
        stamp_error_hint(err, "everybody sees command lines; give the PIN with a file or "
                              "a file descriptor, or when asked");
        return stamp_error_set(err, STAMP_E_CONFIG, 0, "the URI holds a PIN");
    }
    path = p11_kit_uri_get_module_path(s->uri);
    if (path != NULL) {
        s->modules = s->one;
        s->modules[0] = p11_kit_module_load(path, 0);
        if (s->modules[0] == NULL || p11_kit_module_initialize(s->modules[0]) != CKR_OK) {
            return stamp_error_set(err, STAMP_E_CONFIG, 0,
                                   "the PKCS #11 module '%s' cannot be loaded", path);
        }
    } else {
        s->modules = p11_kit_modules_load_and_initialize(0);
    }
    return s->modules != NULL ? STAMP_OK
                              : stamp_error_set(err, STAMP_E_CONFIG, 0,
                                                "no PKCS #11 module can be loaded");
}

enum stamp_err stamp_session_open(const char *uri, const struct stamp_pin *pin,
                                  struct stamp_session **out, struct stamp_error *err)
{
    struct stamp_session *s = calloc(1, sizeof *s);
    CK_TOKEN_INFO info;
    enum stamp_err rc;

    *out = NULL;
    if (s == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    s->session = CK_INVALID_HANDLE;
    rc = load(s, uri, err);
    if (rc == STAMP_OK) {
        rc = find(s, false, &info, err);
    }
    if (rc == STAMP_OK) {
        take_name(s, &info);
        rc = check_tries(s, info.flags, err);
    }
    if (rc == STAMP_OK && (info.flags & CKF_LOGIN_REQUIRED) != 0) {
        rc = stampi_token_pin(s->uri, s->name, pin, &s->pin, err);
    }
    if (rc == STAMP_OK) {
        rc = begin(s, &info, err);
    }
    if (rc != STAMP_OK) {
        stamp_session_close(&s);
    }
    *out = s;
    return rc;
}

enum stamp_err stamp_session_again(struct stamp_session *s, struct stamp_error *err)
{
    CK_TOKEN_INFO info;
    enum stamp_err rc = find(s, true, &info, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    if (s->session != CK_INVALID_HANDLE) {
        (void)s->f->C_CloseSession(s->session);
    }
    return begin(s, &info, err);
}

void stamp_session_close(struct stamp_session **p)
{
    struct stamp_session *s = *p;

    if (s == NULL) {
        return;
    }
    if (s->session != CK_INVALID_HANDLE) {
        (void)s->f->C_CloseSession(s->session);
    }
    if (s->modules != NULL && p11_kit_uri_get_module_path(s->uri) != NULL) {
        if (s->modules[0] != NULL) {
            (void)p11_kit_module_finalize(s->modules[0]);
            p11_kit_module_release(s->modules[0]);
        }
    } else if (s->modules != NULL) {
        p11_kit_modules_finalize_and_release(s->modules);
    }
    p11_kit_uri_free(s->uri);
    stamp_secret_free(&s->pin);
    free(s);
    *p = NULL;
}

const char *stamp_session_name(const struct stamp_session *s)
{
    return s->name;
}

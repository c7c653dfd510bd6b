#include "host/token.h"

#include <errno.h>
#include <libp11.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <p11-kit/p11-kit.h>
#include <p11-kit/uri.h>
#include <stdlib.h>
#include <string.h>

#include "host/file.h"
#include "host/key.h"
#include "host/token_session_own.h"

/* All modules that p11-kit knows, as one. */
#define PROXY "p11-kit-proxy.so"
#define PIN_MAX ((size_t)256)

struct stamp_token {
    P11KitUri *uri;
    PKCS11_CTX *ctx;
    PKCS11_SLOT *slots; /* all of the module */
    unsigned n_slots;
    PKCS11_SLOT *slot; /* the one */
    struct stamp_secret *pin;
    char name[40]; /* of the token, for messages */
};

bool stamp_token_is_uri(const char *where)
{
    return strncmp(where, "pkcs11:", 7) == 0;
}

static enum stamp_err failed(const struct stamp_token *t, const char *what,
                             struct stamp_error *err)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code == 0 ? NULL : ERR_reason_error_string(code);

    ERR_clear_error();
    (void)stamp_error_set(err, STAMP_E_DEVICE, (long)ERR_GET_REASON(code),
                          "%s of token '%s'%s%s", what, t->name,
                          reason == NULL ? "" : ": ", reason == NULL ? "" : reason);
    stamp_error_hint(err, "look after the token, then run the same command again");
    return STAMP_E_DEVICE;
}

/* ---- the URI ---- */

static enum stamp_err parse(const char *uri, P11KitUri **out, struct stamp_error *err)
{
    int rc;

    *out = p11_kit_uri_new();
    rc = *out == NULL ? P11_KIT_URI_UNEXPECTED
                      : p11_kit_uri_parse(uri,
                                          P11_KIT_URI_FOR_OBJECT_ON_TOKEN |
                                              P11_KIT_URI_FOR_MODULE_WITH_VERSION,
                                          *out);
    if (rc != P11_KIT_URI_OK) {
        return stamp_error_set(err, STAMP_E_CONFIG, rc, "this is no PKCS #11 URI: %s",
                               p11_kit_uri_message(rc));
    }
    if (p11_kit_uri_get_pin_value(*out) != NULL) {
        (void)stamp_error_set(err, STAMP_E_CONFIG, 0, "the URI holds a PIN");
        stamp_error_hint(err, "everybody sees command lines; give the PIN with a file or "
                              "a file descriptor, or when asked");
        return STAMP_E_CONFIG;
    }
    if (p11_kit_uri_any_unrecognized(*out) != 0) {
        return stamp_error_set(err, STAMP_E_CONFIG, 0,
                               "the PKCS #11 URI has a part that is not known");
    }
    return STAMP_OK;
}

enum stamp_err stamp_token_name(const char *uri, const char *role, char *label,
                                size_t label_size, char *out, size_t size,
                                struct stamp_error *err)
{
    P11KitUri *parsed = NULL;
    const CK_ATTRIBUTE *prefix;
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE set[] = {{CKA_CLASS, &class, sizeof class}, {CKA_LABEL, label, 0}};
    char *text = NULL;
    int len = -1;
    enum stamp_err rc = parse(uri, &parsed, err);

    if (rc == STAMP_OK && p11_kit_uri_get_attribute(parsed, CKA_ID) != NULL) {
        rc = stamp_error_set(err, STAMP_E_CONFIG, 0, "keys are named here, not numbered");
    }
    if (rc == STAMP_OK) {
        prefix = p11_kit_uri_get_attribute(parsed, CKA_LABEL);
        len = prefix == NULL
                  ? snprintf(label, label_size, "devstamp %s", role)
                  : snprintf(label, label_size, "%.*s %s", (int)prefix->ulValueLen,
                             (const char *)prefix->pValue, role);
        set[1].ulValueLen = (CK_ULONG)(len < 0 ? 0 : len);
        p11_kit_uri_clear_attributes(parsed);
        if (len < 0 || (size_t)len >= label_size ||
            p11_kit_uri_set_attribute(parsed, &set[0]) != P11_KIT_URI_OK ||
            p11_kit_uri_set_attribute(parsed, &set[1]) != P11_KIT_URI_OK ||
            p11_kit_uri_format(parsed, P11_KIT_URI_FOR_ANY, &text) != P11_KIT_URI_OK ||
            (size_t)snprintf(out, size, "%s", text) >= size) {
            rc = stamp_error_set(err, STAMP_E_RANGE, 0, "the name of a key is too long");
        }
    }
    free(text);
    p11_kit_uri_free(parsed);
    return rc;
}

/* ---- the token ---- */

static bool matches_text(const unsigned char *want, size_t size, const char *is)
{
    size_t len = size;

    while (len > 0 && (want[len - 1] == ' ' || want[len - 1] == '\0')) {
        len--;
    }
    /* nothing said: all match */
    return len == 0 || (is != NULL && strlen(is) == len && memcmp(want, is, len) == 0);
}

static bool matches(P11KitUri *uri, const PKCS11_TOKEN *token)
{
    const CK_TOKEN_INFO *want = p11_kit_uri_get_token_info(uri);

    return matches_text(want->label, sizeof want->label, token->label) &&
           matches_text(want->manufacturerID, sizeof want->manufacturerID,
                        token->manufacturer) &&
           matches_text(want->model, sizeof want->model, token->model) &&
           matches_text(want->serialNumber, sizeof want->serialNumber, token->serialnr);
}

static enum stamp_err load(struct stamp_token *t, struct stamp_error *err)
{
    const char *module = p11_kit_uri_get_module_path(t->uri);

    t->ctx = PKCS11_CTX_new();
    if (t->ctx == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    if (PKCS11_CTX_load(t->ctx, module == NULL ? PROXY : module) != 0) {
        PKCS11_CTX_free(t->ctx);
        t->ctx = NULL;
        ERR_clear_error();
        return stamp_error_set(err, STAMP_E_CONFIG, 0,
                               "the PKCS #11 module '%s' cannot be loaded",
                               module == NULL ? PROXY : module);
    }
    if (PKCS11_enumerate_slots(t->ctx, &t->slots, &t->n_slots) != 0) {
        return failed(t, "cannot see the slots", err);
    }
    return STAMP_OK;
}

static enum stamp_err find(struct stamp_token *t, struct stamp_error *err)
{
    unsigned n = 0;

    for (unsigned i = 0; i < t->n_slots; i++) {
        PKCS11_TOKEN *token = t->slots[i].token;

        if (token != NULL && token->initialized != 0 && matches(t->uri, token)) {
            t->slot = &t->slots[i];
            n++;
        }
    }
    if (n == 1) {
        (void)snprintf(t->name, sizeof t->name, "%s", t->slot->token->label);
        return STAMP_OK;
    }
    (void)stamp_error_set(err, n == 0 ? STAMP_E_DEVICE : STAMP_E_CONFIG, 0,
                          n == 0 ? "there is no such token"
                                 : "the URI fits more than one token");
    stamp_error_hint(err, n == 0
                              ? "is it plugged in? `p11tool --list-tokens` shows those "
                                "that are"
                              : "add token=LABEL or serial=N to it");
    return n == 0 ? STAMP_E_DEVICE : STAMP_E_CONFIG;
}

/* ---- the PIN ---- */

/* PKCS #11 does not say how many tries are left: with one left nothing is tried. */
static enum stamp_err check_tries(const struct stamp_token *t, struct stamp_error *err)
{
    const PKCS11_TOKEN *token = t->slot->token;

    if (token->userPinLocked != 0) {
        (void)stamp_error_set(err, STAMP_E_AUTH, 0, "the PIN of token '%s' is locked",
                              t->name);
        stamp_error_hint(err, "unlock it with its SO PIN or PUK, or take a spare token");
        return STAMP_E_AUTH;
    }
    if (token->userPinFinalTry != 0) {
        (void)stamp_error_set(err, STAMP_E_AUTH, 0,
                              "one more wrong PIN locks token '%s': not tried", t->name);
        stamp_error_hint(err, "log in once with the token's own tool, so that its count "
                              "starts again");
        return STAMP_E_AUTH;
    }
    if (token->userPinSet == 0) {
        return stamp_error_set(err, STAMP_E_AUTH, 0, "token '%s' has no PIN yet",
                               t->name);
    }
    return STAMP_OK;
}

static enum stamp_err read_pin_file(const char *path, struct stamp_secret **pin,
                                    struct stamp_error *err)
{
    STAMP_SECRET_AUTO struct stamp_secret *text = NULL;
    size_t len = 0;
    const uint8_t *p;
    const void *end;
    enum stamp_err rc = stamp_file_read_secret(path, PIN_MAX, &text, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    p = stamp_secret_use(text, &len);
    end = memchr(p, '\n', len);
    return stamp_secret_new(pin, p,
                            end == NULL ? len : (size_t)((const uint8_t *)end - p), err);
}

enum stamp_err stampi_token_pin(P11KitUri *uri, const char *name,
                                const struct stamp_pin *from, struct stamp_secret **pin,
                                struct stamp_error *err)
{
    const char *source = p11_kit_uri_get_pin_source(uri);
    char prompt[64];

    if (from->known != NULL) {
        size_t len;
        const uint8_t *p = stamp_secret_use(from->known, &len);

        return stamp_secret_new(pin, p, len, err);
    }
    if (from->file != NULL) {
        return read_pin_file(from->file, pin, err);
    }
    if (from->fd < 0 && source != NULL) {
        if (strncmp(source, "file:", 5) == 0) {
            source += 5;
        }
        return read_pin_file(source, pin, err);
    }
    (void)snprintf(prompt, sizeof prompt, "PIN of %s", name);
    return stamp_secret_ask(pin, from->fd, prompt, err);
}

static enum stamp_err log_in(struct stamp_token *t, const struct stamp_pin *from,
                             struct stamp_error *err)
{
    enum stamp_err rc;
    unsigned long code;

    if (t->slot->token->loginRequired == 0) {
        return STAMP_OK;
    }
    rc = check_tries(t, err);
    if (rc == STAMP_OK) {
        rc = stampi_token_pin(t->uri, t->name, from, &t->pin, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    if (PKCS11_login(t->slot, 0, (const char *)stamp_secret_use(t->pin, NULL)) == 0) {
        return STAMP_OK;
    }
    code = (unsigned long)ERR_GET_REASON(ERR_peek_last_error());
    if (code == CKR_PIN_INCORRECT || code == CKR_PIN_LEN_RANGE ||
        code == CKR_PIN_INVALID || code == CKR_PIN_LOCKED || code == CKR_PIN_EXPIRED) {
        ERR_clear_error();
        stamp_error_hint(err, code == CKR_PIN_LOCKED
                                  ? "unlock it with its SO PIN or PUK"
                                  : "each wrong PIN leaves one try less");
        return stamp_error_set(err, STAMP_E_AUTH, (long)code,
                               code == CKR_PIN_LOCKED
                                   ? "the PIN of token '%s' is locked now"
                                   : "the PIN of token '%s' is wrong",
                               t->name);
    }
    return failed(t, "cannot log in", err);
}

/* ---- open and close ---- */

enum stamp_err stamp_token_open(const char *uri, const struct stamp_pin *pin,
                                struct stamp_token **out, struct stamp_error *err)
{
    struct stamp_token *t = calloc(1, sizeof *t);
    enum stamp_err rc;

    *out = NULL;
    if (t == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    (void)snprintf(t->name, sizeof t->name, "?");
    rc = parse(uri, &t->uri, err);
    if (rc == STAMP_OK) {
        rc = load(t, err);
    }
    if (rc == STAMP_OK) {
        rc = find(t, err);
    }
    if (rc == STAMP_OK) {
        rc = log_in(t, pin, err);
    }
    if (rc != STAMP_OK) {
        stamp_token_close(&t);
    }
    *out = t;
    return rc;
}

void stamp_token_close(struct stamp_token **p)
{
    struct stamp_token *t = *p;

    if (t == NULL) {
        return;
    }
    if (t->slots != NULL) {
        PKCS11_release_all_slots(t->ctx, t->slots, t->n_slots);
    }
    if (t->ctx != NULL) {
        PKCS11_CTX_unload(t->ctx);
        PKCS11_CTX_free(t->ctx);
    }
    p11_kit_uri_free(t->uri);
    stamp_secret_free(&t->pin);
    free(t);
    *p = NULL;
}

/* ---- the key ---- */

/* By label and id, where the URI has them. */
static bool is_key(P11KitUri *uri, const PKCS11_KEY *key)
{
    const CK_ATTRIBUTE *label = p11_kit_uri_get_attribute(uri, CKA_LABEL);
    const CK_ATTRIBUTE *id = p11_kit_uri_get_attribute(uri, CKA_ID);

    if (label != NULL && (key->label == NULL || strlen(key->label) != label->ulValueLen ||
                          memcmp(key->label, label->pValue, label->ulValueLen) != 0)) {
        return false;
    }
    return id == NULL || (key->id_len == id->ulValueLen &&
                          memcmp(key->id, id->pValue, id->ulValueLen) == 0);
}

static enum stamp_err get_key(struct stamp_token *t, P11KitUri *uri, EVP_PKEY **out,
                              struct stamp_error *err)
{
    uint8_t point[STAMP_POINT_SIZE];
    PKCS11_KEY *keys = NULL;
    PKCS11_KEY *found = NULL;
    unsigned n = 0;
    unsigned hits = 0;

    *out = NULL;
    if (PKCS11_enumerate_keys(t->slot->token, &keys, &n) != 0) {
        return failed(t, "cannot see the keys", err);
    }
    for (unsigned i = 0; i < n; i++) {
        if (is_key(uri, &keys[i])) {
            found = &keys[i];
            hits++;
        }
    }
    if (hits != 1) {
        (void)stamp_error_set(err, STAMP_E_MISSING, 0,
                              hits == 0 ? "token '%s' has no such private key"
                                        : "the URI fits more than one key of token '%s'",
                              t->name);
        stamp_error_hint(err, "add object=LABEL or id=%%NN to it");
        return STAMP_E_MISSING;
    }
    *out = PKCS11_get_private_key(found);
    if (*out == NULL) {
        return failed(t, "cannot use the key", err);
    }
    if (stamp_key_point(*out, point, err) != STAMP_OK) {
        stamp_free_pkey(out);
        return STAMP_E_FORMAT;
    }
    return STAMP_OK;
}

enum stamp_err stamp_token_key(struct stamp_token *t, EVP_PKEY **out,
                               struct stamp_error *err)
{
    return get_key(t, t->uri, out, err);
}

enum stamp_err stamp_token_key_of(struct stamp_token *t, const char *uri, EVP_PKEY **out,
                                  struct stamp_error *err)
{
    P11KitUri *parsed = NULL;
    enum stamp_err rc = parse(uri, &parsed, err);

    *out = NULL;
    if (rc == STAMP_OK) {
        rc = get_key(t, parsed, out, err);
    }
    p11_kit_uri_free(parsed);
    return rc;
}

bool stamp_token_fits(const struct stamp_token *t, const char *uri)
{
    P11KitUri *parsed = NULL;
    bool fits = parse(uri, &parsed, NULL) == STAMP_OK && matches(parsed, t->slot->token);

    p11_kit_uri_free(parsed);
    return fits;
}

const struct stamp_secret *stamp_token_pin(const struct stamp_token *t)
{
    return t->pin;
}

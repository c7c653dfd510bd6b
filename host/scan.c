#include "host/scan.h"

#include <jansson.h>
#include <openssl/crypto.h>
#include <string.h>

#include "host/dpp.h"
#include "host/serial.h"

#define PAYLOAD_MAX 4096u
#define POP_MIN 4u
#define POP_MAX 64u

static enum stamp_err bad(const char *what, const char *why, struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_FORMAT, 0, "not %s: %s", what, why);
}

void stamp_scan_fini(struct stamp_scan *scan)
{
    stamp_secret_free(&scan->pop);
    OPENSSL_cleanse(scan, sizeof *scan);
}

static bool begins(const char *text, size_t len, const char *with)
{
    return len >= strlen(with) && memcmp(text, with, strlen(with)) == 0;
}

/* The bytes up to the next ';' after the head `with`; `text` and `len` go past it. */
static bool take_field(const char **text, size_t *len, const char *with,
                       const char **value, size_t *value_len)
{
    const char *end;

    if (!begins(*text, *len, with)) {
        return false;
    }
    *text += strlen(with);
    *len -= strlen(with);
    end = memchr(*text, ';', *len);
    if (end == NULL) {
        return false;
    }
    *value = *text;
    *value_len = (size_t)(end - *text);
    *text += *value_len + 1;
    *len -= *value_len + 1;
    return true;
}

static bool parse_hash(const char *hex, size_t len, uint8_t out[32])
{
    static const char digits[] = "0123456789abcdef";

    if (len != 64) {
        return false;
    }
    for (size_t i = 0; i < 64; i++) {
        const char *d = hex[i] == '\0' ? NULL : strchr(digits, hex[i]);

        if (d == NULL) {
            return false;
        }
        out[i / 2] = (uint8_t)(out[i / 2] << 4 | (uint8_t)(d - digits));
    }
    return true;
}

static bool set_serial(struct stamp_scan *out, const char *text, size_t len)
{
    if (len < 1 || len >= sizeof out->serial || memchr(text, '\0', len) != NULL) {
        return false;
    }
    memcpy(out->serial, text, len);
    out->serial[len] = '\0';
    return stamp_serial_check(out->serial, NULL) == STAMP_OK;
}

static enum stamp_err set_pop(struct stamp_scan *out, const char *what, const char *text,
                              size_t len, struct stamp_error *err)
{
    if (len < POP_MIN || len > POP_MAX || memchr(text, '\0', len) != NULL) {
        return bad(what, "its proof of possession has not 4 to 64 characters", err);
    }
    return stamp_secret_new(&out->pop, text, len, err);
}

static enum stamp_err parse_claim(const char *payload, size_t len, struct stamp_scan *out,
                                  struct stamp_error *err)
{
    static const char what[] = "a claim label";
    const char *value = NULL;
    size_t value_len = 0;
    enum stamp_err rc;

    if (!take_field(&payload, &len, "STAMP:S:", &value, &value_len)) {
        return bad(what, "it does not begin with 'STAMP:S:' and a serial", err);
    }
    if (!set_serial(out, value, value_len)) {
        return bad(what, "its serial is not one", err);
    }
    if (!take_field(&payload, &len, "H:", &value, &value_len) ||
        !parse_hash(value, value_len, out->hash)) {
        return bad(what, "no 'H:' and 64 hex digits follow the serial", err);
    }
    out->has_hash = true;
    if (!take_field(&payload, &len, "P:", &value, &value_len)) {
        return bad(what, "no 'P:' and a proof of possession follow the hash", err);
    }
    rc = set_pop(out, what, value, value_len, err);
    if (rc == STAMP_OK && (len != 1 || *payload != ';')) {
        rc = bad(what, "it does not end in ';;'", err);
    }
    return rc;
}

enum stamp_err stamp_claim_label_parse(const char *payload, size_t len,
                                       struct stamp_scan *out, struct stamp_error *err)
{
    enum stamp_err rc;

    memset(out, 0, sizeof *out);
    rc = parse_claim(payload, len, out, err);
    if (rc != STAMP_OK) {
        stamp_scan_fini(out);
    }
    return rc;
}

static enum stamp_err parse_dpp(const char *payload, size_t len, struct stamp_scan *out,
                                struct stamp_error *err)
{
    enum stamp_err rc = stamp_dpp_parse(payload, len, out->key, err);

    if (rc == STAMP_OK) {
        rc = stamp_dpp_hash(out->key, out->hash, err);
    }
    out->has_key = rc == STAMP_OK;
    out->has_hash = out->has_key;
    return rc;
}

/* jansson frees its strings as they are; what it holds is ours to overwrite until then.
 */
static void wipe_string(const json_t *string)
{
    const char *text = json_string_value(string);

    if (text != NULL) {
        OPENSSL_cleanse((void *)(uintptr_t)text, json_string_length(string));
    }
}

static enum stamp_err parse_esp(const char *payload, size_t len, struct stamp_scan *out,
                                struct stamp_error *err)
{
    static const char what[] = "ESP provisioning JSON";
    json_t *root = json_loadb(payload, len, JSON_REJECT_DUPLICATES, NULL);
    const char *ver = json_string_value(json_object_get(root, "ver"));
    json_t *pop = json_object_get(root, "pop");
    enum stamp_err rc = STAMP_OK;

    if (!json_is_object(root)) {
        rc = bad(what, "it is not one JSON object", err);
    } else if (ver == NULL || strcmp(ver, "v1") != 0) {
        rc = bad(what, "its \"ver\" is not \"v1\"", err);
    } else if (!json_is_string(json_object_get(root, "transport"))) {
        rc = bad(what, "it has no \"transport\"", err);
    } else if (pop != NULL && !json_is_string(pop)) {
        rc = bad(what, "its \"pop\" is not text", err);
    } else if (pop != NULL) {
        rc = set_pop(out, what, json_string_value(pop), json_string_length(pop), err);
    }
    wipe_string(pop);
    json_decref(root);
    return rc;
}

enum stamp_err stamp_scan_parse(const char *payload, size_t len, struct stamp_scan *out,
                                struct stamp_error *err)
{
    enum stamp_err rc;

    memset(out, 0, sizeof *out);
    if (len > PAYLOAD_MAX) {
        return stamp_error_set(err, STAMP_E_FORMAT, 0, "the label's text is too long");
    }
    if (begins(payload, len, "DPP:")) {
        rc = parse_dpp(payload, len, out, err);
    } else if (begins(payload, len, "STAMP:")) {
        rc = parse_claim(payload, len, out, err);
    } else if (begins(payload, len, "{")) {
        rc = parse_esp(payload, len, out, err);
    } else {
        rc = stamp_error_set(err, STAMP_E_FORMAT, 0,
                             "the label's text is no claim label, DPP URI or ESP JSON");
    }
    if (rc != STAMP_OK) {
        stamp_scan_fini(out);
    }
    return rc;
}

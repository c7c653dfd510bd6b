#include "service/answer.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "service/log.h"

void service_answer(const struct service_asker *who, unsigned code,
                    enum service_body kind, const uint8_t *bytes, size_t len)
{
    struct service_message m = {
        .type = SERVICE_QUERY_ANSWER,
        .id = who->id,
        .u.query_answer = {.code = code, .kind = (uint8_t)kind, .more = 1}};

    do {
        size_t part = len < SERVICE_PART_MAX ? len : SERVICE_PART_MAX;

        m.u.query_answer.part = (struct stamp_slice){bytes, part};
        bytes += part;
        len -= part;
        m.u.query_answer.more = len > 0;
        service_channel_post(who->to, &m);
    } while (len > 0);
}

static void send_text(const struct service_asker *who, unsigned code,
                      enum service_body kind, json_t *what)
{
    char *text = what == NULL ? NULL : json_dumps(what, JSON_COMPACT);

    json_decref(what);
    if (text == NULL) {
        service_answer_later(who);
        return;
    }
    service_answer(who, code, kind, (const uint8_t *)text, strlen(text));
    free(text);
}

void service_answer_json(const struct service_asker *who, unsigned code, json_t *what)
{
    send_text(who, code, SERVICE_JSON, what);
}

static const char *title_of(unsigned code)
{
    static const struct {
        unsigned code;
        const char *title;
    } titles[] = {{ANSWER_UNAUTHORIZED, "Unauthorized"},
                  {ANSWER_FORBIDDEN, "Forbidden"},
                  {ANSWER_NOT_FOUND, "Not Found"},
                  {ANSWER_CONFLICT, "Conflict"},
                  {ANSWER_UNPROCESSABLE, "Unprocessable Content"}};

    for (size_t i = 0; i < sizeof titles / sizeof *titles; i++) {
        if (titles[i].code == code) {
            return titles[i].title;
        }
    }
    return "Bad Request";
}

void service_answer_problem(const struct service_asker *who, unsigned code,
                            const char *detail)
{
    send_text(who, code, SERVICE_PROBLEM,
              json_pack("{s:s, s:s, s:i, s:s}", "type", "about:blank", "title",
                        title_of(code), "status", (int)code, "detail", detail));
}

void service_answer_later(const struct service_asker *who)
{
    service_answer(who, 0, SERVICE_JSON, (const uint8_t *)"", 0);
}

json_t *service_base64(const uint8_t *p, size_t len)
{
    unsigned char *text = malloc(4 * ((len + 2) / 3) + 1);
    json_t *j = NULL;

    if (text != NULL) {
        (void)EVP_EncodeBlock(text, p, (int)len);
        j = json_string((const char *)text);
    }
    free(text);
    return j;
}

enum stamp_err service_question_digest(const struct service_message *m,
                                       uint8_t digest[32], struct stamp_error *err)
{
    uint8_t bytes[SERVICE_MESSAGE_MAX];
    size_t len = service_wire_encode(m, bytes);

    return len > 0 && EVP_Digest(bytes, len, digest, NULL, stamp_sha256(), NULL) == 1
               ? STAMP_OK
               : stamp_openssl_failed(err, "cannot hash a request");
}

/* ---- who may ---- */

static void log_refusal(const char *name, struct stamp_slice from, const char *refusal)
{
    char address[SERVICE_FROM_MAX + 1];

    service_text(from, address, sizeof address);
    service_log("refused", "by", name, "from", address, "refusal", refusal, NULL);
}

enum stamp_err service_refuse_role(const struct stamp_apikey *key,
                                   struct stamp_slice from)
{
    log_refusal(key->name, from, "role");
    return STAMP_E_AUTH;
}

enum stamp_err service_admit(struct stamp_registry *r,
                             const uint8_t key[STAMP_TOKEN_DIGEST_SIZE], unsigned may,
                             struct stamp_slice from, time_t now,
                             struct stamp_apikey *out, struct stamp_error *err)
{
    struct stamp_error why = STAMP_ERROR_INIT;
    enum stamp_err rc = stamp_registry_apikey_find(r, key, now, out, &why);

    if (rc != STAMP_OK && rc != STAMP_E_MISSING) {
        return stamp_error_set(err, rc, why.native, "%s", why.what);
    }
    if (rc == STAMP_OK) {
        return (may >> out->role & 1u) != 0 ? STAMP_OK : service_refuse_role(out, from);
    }
    log_refusal(out->name, from, "api key");
    return rc;
}

void service_answer_not_admitted(const struct service_asker *who, enum stamp_err rc)
{
    if (rc == STAMP_E_AUTH) {
        service_answer_problem(who, ANSWER_FORBIDDEN,
                               "the role of this API key may not do that");
    } else {
        service_answer_problem(
            who, ANSWER_UNAUTHORIZED,
            "there is no such API key or certificate, or it has ended");
    }
}

#include "cli/online.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/hex.h"
#include "host/keyfile.h"
#include "host/openssl.h"
#include "host/pki.h"

bool cli_online_take(struct cli_online *o, int opt, const char *value)
{
    switch (opt) {
    case CLI_ONLINE_SERVER:
        o->url = value;
        return true;
    case CLI_ONLINE_KEY:
        o->key_file = value;
        return true;
    case CLI_ONLINE_CLIENT:
        o->client = value;
        return true;
    case CLI_ONLINE_TRUST:
        o->trust = value;
        return true;
    default:
        return false;
    }
}

int cli_online_check(const struct cli_online *o, const char *verb)
{
    if (o->url == NULL &&
        (o->key_file != NULL || o->client != NULL || o->trust != NULL)) {
        return cli_usage(verb, "--api-key-file, --client and --trust go with --server");
    }
    if (o->key_file != NULL && o->client != NULL) {
        return cli_usage(verb, "show --api-key-file or --client, not both");
    }
    return o->url != NULL && o->key_file == NULL && o->client == NULL
               ? cli_usage(verb, "--server wants --api-key-file F, or --client PEM")
               : 0;
}

enum stamp_err cli_online_trust(struct cli_online *o, const char *workspace,
                                struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    if (o->trust == NULL) {
        rc = cli_root_file(workspace, o->root, err);
        if (rc != STAMP_OK) {
            stamp_error_hint(err, "name whom to believe with --trust PEM");
        }
        o->trust = o->root;
    }
    return rc;
}

/* A key that others may read is none. */
static enum stamp_err check_client(const struct cli_online *o, struct stamp_error *err)
{
    STAMP_X509_AUTO *cert = NULL;
    STAMP_PKEY_AUTO *key = NULL;
    enum stamp_err rc = stamp_pki_load(o->client, &cert, err);

    if (rc == STAMP_OK) {
        rc = stamp_keyfile_read(o->client, NULL, &key, err);
    }
    return rc == STAMP_OK && X509_check_private_key(cert, key) != 1
               ? stamp_error_set(err, STAMP_E_FORMAT, 0,
                                 "'%s': the key is not the certificate's", o->client)
               : rc;
}

enum stamp_err cli_online_open(struct cli_online *o, const char *workspace,
                               struct stamp_error *err)
{
    struct stamp_https_setup setup = {.url = o->url, .client = o->client};
    enum stamp_err rc = STAMP_OK;

    if (o->patience_s == 0) {
        o->patience_s = CLI_ONLINE_PATIENCE_S;
    }
    if (o->trust == NULL && o->trust_pem != NULL) {
        setup.ca_pem =
            (struct stamp_slice){(const uint8_t *)o->trust_pem, strlen(o->trust_pem)};
    } else {
        rc = cli_online_trust(o, workspace, err);
        setup.ca = o->trust;
    }
    if (rc == STAMP_OK) {
        rc = o->client != NULL ? check_client(o, err)
                               : cli_secret_line(o->key_file, &o->key, err);
    }
    setup.bearer = o->key;
    return rc == STAMP_OK ? stamp_https_new(&setup, &o->https, err) : rc;
}

void cli_online_close(struct cli_online *o)
{
    stamp_https_free(&o->https);
    stamp_secret_free(&o->key);
}

enum stamp_err cli_online_post(struct cli_online *o, const char *before, const char *name,
                               const char *after, json_t *body, json_t **answer,
                               struct stamp_error *err)
{
    char *text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT);
    char *path = NULL;
    enum stamp_err rc =
        text == NULL ? stamp_error_set(err, STAMP_E_RANGE, 0, "a text is none in UTF-8")
                     : stamp_service_path(before, name, after, &path, err);

    *answer = NULL;
    if (rc == STAMP_OK) {
        rc = stamp_service_ask(o->https, o->url, path, text, o->patience_s, answer, err);
    }
    json_decref(body);
    free(text);
    free(path);
    return rc;
}

enum stamp_err cli_online_ask(struct cli_online *o,
                              const struct stamp_service_request *request,
                              unsigned patience_s, json_t **answer,
                              struct stamp_error *err)
{
    return stamp_service_request(o->https, o->url, request, patience_s, answer, err);
}

enum stamp_err cli_online_name(char header[CLI_ONLINE_NAME_SIZE], struct stamp_error *err)
{
    uint8_t bytes[16];
    char text[2 * sizeof bytes + 1];

    if (RAND_bytes(bytes, sizeof bytes) != 1) {
        return stamp_openssl_failed(err, "no random bytes");
    }
    stamp_hex(bytes, sizeof bytes, text);
    (void)snprintf(header, CLI_ONLINE_NAME_SIZE, "Idempotency-Key: %s", text);
    return STAMP_OK;
}

enum stamp_err cli_online_once(struct cli_online *o, const char *path, json_t *body,
                               unsigned patience_s, json_t **answer,
                               struct stamp_error *err)
{
    char header[CLI_ONLINE_NAME_SIZE];
    struct stamp_service_request request = {
        .path = path, .header = header, .type = "application/json"};
    char *text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT);
    enum stamp_err rc =
        text == NULL ? stamp_error_set(err, STAMP_E_RANGE, 0, "a text is none in UTF-8")
                     : cli_online_name(header, err);

    *answer = NULL;
    if (rc == STAMP_OK) {
        request.body = (struct stamp_slice){(const uint8_t *)text, strlen(text)};
        rc = cli_online_ask(o, &request, patience_s, answer, err);
    }
    json_decref(body);
    free(text);
    return rc;
}

enum stamp_err cli_online_get(struct cli_online *o, const char *before, const char *name,
                              const char *after, json_t **answer, struct stamp_error *err)
{
    char *path = NULL;
    enum stamp_err rc = stamp_service_path(before, name, after, &path, err);

    *answer = NULL;
    if (rc == STAMP_OK) {
        rc = stamp_service_ask(o->https, o->url, path, NULL, o->patience_s, answer, err);
    }
    free(path);
    return rc;
}

static enum stamp_err tell_page(const struct cli_online *o, const json_t *rows,
                                enum stamp_err (*told)(void *ctx, json_t *row,
                                                       struct stamp_error *err),
                                void *ctx, struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;
    json_t *row;
    size_t i;

    if (!json_is_array(rows)) {
        return stamp_error_set(err, STAMP_E_FORMAT, 0, "'%s' answers with no list",
                               o->url);
    }
    json_array_foreach(rows, i, row)
    {
        rc = rc == STAMP_OK ? told(ctx, row, err) : rc;
    }
    return rc;
}

enum stamp_err cli_online_list(struct cli_online *o, const char *path, const char *rows,
                               enum stamp_err (*told)(void *ctx, json_t *row,
                                                      struct stamp_error *err),
                               void *ctx, struct stamp_error *err)
{
    json_int_t after = 0;
    enum stamp_err rc = STAMP_OK;

    for (bool more = true; rc == STAMP_OK && more;) {
        char query[64];
        json_t *page = NULL;
        const json_t *next;

        (void)snprintf(query, sizeof query, "?limit=%u&after=%lld", STAMP_SERVICE_PAGE,
                       (long long)after);
        rc = cli_online_get(o, path, NULL, query, &page, err);
        if (rc == STAMP_OK) {
            rc = tell_page(o, json_object_get(page, rows), told, ctx, err);
        }
        next = json_object_get(page, "next");
        more = json_is_integer(next) && json_integer_value(next) > after;
        after = json_integer_value(next);
        json_decref(page);
    }
    return rc;
}

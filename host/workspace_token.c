#include "host/workspace_token.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/file.h"
#include "host/token_session.h"

#define URI_MAX ((size_t)512)
#define TOKENS_MAX 3u /* each key may have its own */

struct stampi_workspace_tokens {
    struct stamp_token *token[TOKENS_MAX];
    size_t n;
};

enum stamp_err stampi_workspace_tokens_new(struct stampi_workspace_tokens **out,
                                           struct stamp_error *err)
{
    *out = calloc(1, sizeof **out);
    return *out == NULL ? stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory")
                        : STAMP_OK;
}

void stampi_workspace_tokens_free(struct stampi_workspace_tokens **p)
{
    for (size_t i = 0; *p != NULL && i < (*p)->n; i++) {
        stamp_token_close(&(*p)->token[i]);
    }
    free(*p);
    *p = NULL;
}

/* Which file has the PIN is no secret; what is in it is. */
static struct stamp_pin pin_from(void)
{
    const char *file = getenv(STAMP_WORKSPACE_PIN_FILE);

    return (struct stamp_pin){.fd = -1,
                              .file = file != NULL && file[0] != '\0' ? file : NULL};
}

static enum stamp_err open_token(struct stampi_workspace_tokens *tokens, const char *uri,
                                 struct stamp_token **out, struct stamp_error *err)
{
    const struct stamp_pin pin = pin_from();
    enum stamp_err rc;

    for (size_t i = 0; i < tokens->n; i++) {
        if (stamp_token_fits(tokens->token[i], uri)) {
            *out = tokens->token[i];
            return STAMP_OK;
        }
    }
    if (tokens->n == TOKENS_MAX) {
        STAMP_BUG("a workspace has more tokens than keys");
    }
    rc = stamp_token_open(uri, &pin, out, err);
    if (rc == STAMP_OK) {
        tokens->token[tokens->n++] = *out;
    }
    return rc;
}

enum stamp_err stampi_workspace_token_key(struct stampi_workspace_tokens *tokens,
                                          const char *path, EVP_PKEY **out,
                                          struct stamp_error *err)
{
    struct stamp_token *token = NULL;
    char uri[URI_MAX];
    uint8_t *text = NULL;
    size_t len = 0;
    enum stamp_err rc = stamp_file_read(path, URI_MAX - 1, &text, &len, err);

    *out = NULL;
    if (rc != STAMP_OK) {
        return rc;
    }
    len = strcspn((const char *)text, "\r\n");
    memcpy(uri, text, len);
    uri[len] = '\0';
    free(text);
    if (!stamp_token_is_uri(uri)) {
        return stamp_error_set(err, STAMP_E_CONFIG, 0, "'%s' holds no pkcs11: URI", path);
    }
    rc = open_token(tokens, uri, &token, err);
    return rc == STAMP_OK ? stamp_token_key_of(token, uri, out, err) : rc;
}

enum stamp_err stampi_workspace_token_make(const char *uri, const char *const *roles,
                                           size_t n, char (*out)[512],
                                           struct stamp_error *err)
{
    STAMP_SESSION_AUTO *session = NULL;
    const struct stamp_pin pin = pin_from();
    uint8_t point[STAMP_POINT_SIZE];
    char label[48];
    bool made;
    enum stamp_err rc = stamp_session_open(uri, &pin, &session, err);

    for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
        rc = stamp_token_name(uri, roles[i], label, sizeof label, out[i], sizeof out[i],
                              err);
        if (rc == STAMP_OK) {
            rc =
                stamp_session_key(session, label, STAMP_TOKEN_SIGN, 0, &made, point, err);
        }
        if (rc == STAMP_OK && !made) {
            stamp_error_hint(err, "name this workspace's keys: ...;object=NAME");
            rc = stamp_error_set(err, STAMP_E_EXISTS, 0,
                                 "token %s has a key named '%s' already",
                                 stamp_session_name(session), label);
        }
    }
    return rc;
}

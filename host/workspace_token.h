/*
 * Keys of a workspace that are in tokens: keys/owner.uri, root.uri and sub-ca.uri in the
 * place of the .key files name them. A token is opened once, when its first key is used,
 * and stays open for as long as the workspace.
 */
#ifndef HOST_WORKSPACE_TOKEN_H
#define HOST_WORKSPACE_TOKEN_H

#include "host/token.h"
#include "host/workspace.h"

struct stampi_workspace_tokens;

STAMP_MUST_USE enum stamp_err
stampi_workspace_tokens_new(struct stampi_workspace_tokens **out,
                            struct stamp_error *err);
void stampi_workspace_tokens_free(struct stampi_workspace_tokens **p);

/** The key that a file names. @param out  must not outlive `tokens` */
STAMP_MUST_USE enum stamp_err
stampi_workspace_token_key(struct stampi_workspace_tokens *tokens, const char *path,
                           EVP_PKEY **out, struct stamp_error *err);

/**
 * Make `n` keys in the token of `uri`, for signatures, never to come out.
 *
 * @param uri    its object is the first word of their names; none = "devstamp"
 * @param roles  the second words
 * @param out    `n` URIs
 * @retval STAMP_E_EXISTS  there is a key of such a name; those that were made stay
 */
STAMP_MUST_USE enum stamp_err stampi_workspace_token_make(const char *uri,
                                                          const char *const *roles,
                                                          size_t n, char (*out)[512],
                                                          struct stamp_error *err);

#endif

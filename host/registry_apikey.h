/*
 * Keys of the service's API: what a program shows that makes batches or asks the books
 * over the network, as a bearer token. Each has a name, by which its changes are signed
 * in the books, one role, and an end. The books hold its digest, not the key.
 */
#ifndef HOST_REGISTRY_APIKEY_H
#define HOST_REGISTRY_APIKEY_H

#include "host/registry_batch.h"
#include "host/registry_token.h"

/** What somebody may do. The numbers are in the books. */
enum stamp_role {
    STAMP_ROLE_ADMIN = 1,   /* all */
    STAMP_ROLE_FACTORY = 2, /* make batches and fetch them */
    STAMP_ROLE_SUPPORT = 3,
    STAMP_ROLE_AUDITOR = 4, /* look at all, change nothing */
    STAMP_ROLE_STATION = 5,
    STAMP_ROLE_DEVICE = 6
};

/** "admin", "factory" ...; "?" of a number that is none. */
const char *stamp_role_name(int role);

/** 0: there is none of this name. */
int stamp_role_of(const char *name);

struct stamp_apikey {
    char name[STAMP_REGISTRY_NAME_SIZE];
    int role;
    time_t at, not_after;
    char who[STAMP_REGISTRY_TEXT_SIZE]; /* made it */
};

/**
 * Book a key, drawn as stamp_token_draw() does.
 *
 * @retval STAMP_E_EXISTS  there is one of this name already
 * @retval STAMP_E_RANGE   the name is none of 1..64 bytes
 */
STAMP_MUST_USE enum stamp_err
stamp_registry_apikey_add(struct stamp_registry *r, const char *name,
                          enum stamp_role role,
                          const uint8_t digest[STAMP_TOKEN_DIGEST_SIZE], time_t now,
                          time_t not_after, struct stamp_error *err);

/** Take it away; it opens nothing from then on. STAMP_E_MISSING where there is none. */
STAMP_MUST_USE enum stamp_err stamp_registry_apikey_remove(struct stamp_registry *r,
                                                           const char *name,
                                                           struct stamp_error *err);

/** Called with each, by name; false ends it. */
typedef bool (*stamp_registry_apikey_told)(void *ctx, const struct stamp_apikey *key);
STAMP_MUST_USE enum stamp_err stamp_registry_apikey_list(struct stamp_registry *r,
                                                         stamp_registry_apikey_told told,
                                                         void *ctx,
                                                         struct stamp_error *err);

/** Whose key is it? STAMP_E_MISSING: nobody's, or it has ended. */
STAMP_MUST_USE enum stamp_err
stamp_registry_apikey_find(struct stamp_registry *r,
                           const uint8_t digest[STAMP_TOKEN_DIGEST_SIZE], time_t now,
                           struct stamp_apikey *out, struct stamp_error *err);

#endif

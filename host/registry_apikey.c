#include "host/registry_apikey.h"

#include <string.h>

#include "host/registry_own.h"

#define PAGE 64

static const char *const roles[] = {NULL,      "admin",   "factory", "support",
                                    "auditor", "station", "device"};
#define ROLES (int)(sizeof roles / sizeof roles[0])

const char *stamp_role_name(int role)
{
    return role > 0 && role < ROLES ? roles[role] : "?";
}

int stamp_role_of(const char *name)
{
    for (int i = 1; i < ROLES; i++) {
        if (strcmp(roles[i], name) == 0) {
            return i;
        }
    }
    return 0;
}

enum stamp_err stamp_registry_apikey_add(struct stamp_registry *r, const char *name,
                                         enum stamp_role role,
                                         const uint8_t digest[STAMP_TOKEN_DIGEST_SIZE],
                                         time_t now, time_t not_after,
                                         struct stamp_error *err)
{
    int64_t changed = 0;
    enum stamp_err rc =
        name[0] == '\0'
            ? stamp_error_set(err, STAMP_E_RANGE, 0, "a key has a name")
            : stampi_check_text(name, STAMP_REGISTRY_NAME_SIZE - 1, "name", err);

    if (rc == STAMP_OK) {
        rc = stampi_begin(r, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    rc = STAMPI_RUN(r, STAMPI_API_KEY_ADD, NULL, NULL, &changed, err, stampi_text(name),
                    stampi_blob(digest, STAMP_TOKEN_DIGEST_SIZE), stampi_int(role),
                    stampi_int((int64_t)now), stampi_int((int64_t)not_after),
                    stampi_text(r->who));
    if (rc == STAMP_OK && changed == 0) {
        rc = stamp_error_set(err, STAMP_E_EXISTS, 0, "there is a key '%s' already", name);
    }
    return stampi_finish(r, rc, err);
}

enum stamp_err stamp_registry_apikey_remove(struct stamp_registry *r, const char *name,
                                            struct stamp_error *err)
{
    int64_t changed = 0;
    enum stamp_err rc = stampi_begin(r, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    rc = STAMPI_RUN(r, STAMPI_API_KEY_REMOVE, NULL, NULL, &changed, err,
                    stampi_text(name));
    if (rc == STAMP_OK && changed == 0) {
        rc = stamp_error_set(err, STAMP_E_MISSING, 0, "there is no key '%s'", name);
    }
    return stampi_finish(r, rc, err);
}

struct telling {
    stamp_registry_apikey_told told;
    void *ctx;
    struct stamp_apikey key;
    int n; /* of this page */
    bool ended;
};

/* name, role, at, not_after, who */
static enum stamp_err tell(void *ctx, const struct stampi_value *v,
                           struct stamp_error *err)
{
    struct telling *t = ctx;

    (void)err;
    stampi_get_text(&v[0], t->key.name, sizeof t->key.name);
    t->key.role = (int)v[1].number;
    t->key.at = (time_t)v[2].number;
    t->key.not_after = (time_t)v[3].number;
    stampi_get_text(&v[4], t->key.who, sizeof t->key.who);
    t->n++;
    t->ended = t->ended || !t->told(t->ctx, &t->key);
    return STAMP_OK;
}

enum stamp_err stamp_registry_apikey_list(struct stamp_registry *r,
                                          stamp_registry_apikey_told told, void *ctx,
                                          struct stamp_error *err)
{
    struct telling t = {.told = told, .ctx = ctx};
    char after[STAMP_REGISTRY_NAME_SIZE] = "";
    enum stamp_err rc;

    do {
        t.n = 0;
        rc = STAMPI_RUN(r, STAMPI_API_KEY_LIST, tell, &t, NULL, err, stampi_text(after),
                        stampi_int(PAGE));
        memcpy(after, t.key.name, sizeof after);
    } while (rc == STAMP_OK && !t.ended && t.n == PAGE);
    return rc;
}

static bool take(void *ctx, const struct stamp_apikey *key)
{
    *(struct stamp_apikey *)ctx = *key;
    return true;
}

enum stamp_err stamp_registry_apikey_find(struct stamp_registry *r,
                                          const uint8_t digest[STAMP_TOKEN_DIGEST_SIZE],
                                          time_t now, struct stamp_apikey *out,
                                          struct stamp_error *err)
{
    struct telling t = {.told = take, .ctx = out};
    enum stamp_err rc;

    memset(out, 0, sizeof *out);
    rc = STAMPI_RUN(r, STAMPI_API_KEY_FIND, tell, &t, NULL, err,
                    stampi_blob(digest, STAMP_TOKEN_DIGEST_SIZE));
    if (rc == STAMP_OK && (t.n == 0 || out->not_after < now)) {
        memset(out, 0, sizeof *out);
        rc = stamp_error_set(err, STAMP_E_MISSING, 0, "no such key, or it has ended");
    }
    return rc;
}

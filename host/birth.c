#include "host/birth.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct stamp_birth_maker {
    const struct stamp_profile *profile;
    struct stamp_leaf_maker *leaf;
};

void stamp_leaf_profile_of(const struct stamp_profile *p, uint8_t purpose,
                           struct stamp_leaf_profile *leaf)
{
    const struct stamp_profile_certificate *c = &p->certificate;

    *leaf = (struct stamp_leaf_profile){.country = c->country,
                                        .organization = c->organization,
                                        .organizational_unit = c->organizational_unit,
                                        .hardware_type_oid = c->hardware_type_oid,
                                        .pen = c->pen,
                                        .purpose = purpose,
                                        .validity_days = c->validity_days};
}

enum stamp_err stamp_birth_new(const struct stamp_profile *profile, uint8_t purpose,
                               const X509 *issuer, EVP_PKEY *key,
                               struct stamp_birth_maker **out, struct stamp_error *err)
{
    struct stamp_birth_maker *m = calloc(1, sizeof *m);
    struct stamp_leaf_profile leaf;
    enum stamp_err rc;

    *out = NULL;
    if (m == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    m->profile = profile;
    stamp_leaf_profile_of(profile, purpose, &leaf);
    rc = stamp_leaf_new(&leaf, issuer, key, &m->leaf, err);
    if (rc != STAMP_OK) {
        stamp_birth_free(&m);
    }
    *out = m;
    return rc;
}

void stamp_birth_free(struct stamp_birth_maker **p)
{
    if (*p != NULL) {
        stamp_leaf_free(&(*p)->leaf);
        free(*p);
        *p = NULL;
    }
}

#define NAME_SIZE (STAMP_MAX_TEXT * 4u + 1u)

static enum stamp_err subject_of(const struct stamp_birth_maker *m,
                                 const struct stamp_birth *b, char name[NAME_SIZE],
                                 struct stamp_leaf_subject *s, struct stamp_error *err)
{
    struct stamp_barcode_vars vars;

    stamp_profile_vars(m->profile, &vars);
    vars.serial = b->serial;
    vars.point = b->provisioning;
    *s = (struct stamp_leaf_subject){.serial = b->serial,
                                     .common_name = name,
                                     .point = b->point,
                                     .digest = b->digest,
                                     .not_before = b->not_before};
    memcpy(s->serial_number, b->serial_number, sizeof s->serial_number);
    return stamp_template_fill(m->profile->certificate.common_name, &vars, name,
                               NAME_SIZE, err);
}

enum stamp_err stamp_birth_make(struct stamp_birth_maker *m, const struct stamp_birth *b,
                                uint8_t *out, size_t *len, struct stamp_error *err)
{
    struct stamp_leaf_subject s;
    char name[NAME_SIZE];
    enum stamp_err rc = subject_of(m, b, name, &s, err);

    return rc == STAMP_OK ? stamp_leaf_make(m->leaf, &s, out, len, err) : rc;
}

enum stamp_err stamp_birth_tbs(const struct stamp_birth_maker *m,
                               const struct stamp_birth *b, uint8_t *out, size_t *len,
                               struct stamp_error *err)
{
    struct stamp_leaf_subject s;
    char name[NAME_SIZE];
    enum stamp_err rc = subject_of(m, b, name, &s, err);

    return rc == STAMP_OK ? stamp_leaf_tbs(m->leaf, &s, out, len, err) : rc;
}

#include "host/pkcs10.h"

#include <openssl/asn1t.h>
#include <openssl/err.h>
#include <string.h>

#include "host/key.h"

enum { REQUEST_MAX = 4096 };

/* CertificationRequestInfo, its key as it stands. RFC 2986 4.1. */
typedef struct {
    ASN1_ENCODING enc;
    ASN1_INTEGER *version;
    X509_NAME *subject;
    ASN1_TYPE *key;
    STACK_OF(X509_ATTRIBUTE) * attributes;
} REQUEST_INFO;

/* CertificationRequest. RFC 2986 4.2. */
typedef struct {
    REQUEST_INFO *info;
    X509_ALGOR *algorithm;
    ASN1_BIT_STRING *signature;
} REQUEST;

DECLARE_ASN1_ITEM(REQUEST_INFO)
DECLARE_ASN1_ITEM(REQUEST)

/* clang-format off */
ASN1_SEQUENCE_enc(REQUEST_INFO, enc, NULL) = {
    ASN1_SIMPLE(REQUEST_INFO, version, ASN1_INTEGER),
    ASN1_SIMPLE(REQUEST_INFO, subject, X509_NAME),
    ASN1_SIMPLE(REQUEST_INFO, key, ASN1_ANY),
    ASN1_IMP_SET_OF_OPT(REQUEST_INFO, attributes, X509_ATTRIBUTE, 0)
} ASN1_SEQUENCE_END_enc(REQUEST_INFO, REQUEST_INFO)

ASN1_SEQUENCE(REQUEST) = {
    ASN1_SIMPLE(REQUEST, info, REQUEST_INFO),
    ASN1_SIMPLE(REQUEST, algorithm, X509_ALGOR),
    ASN1_SIMPLE(REQUEST, signature, ASN1_BIT_STRING)
} ASN1_SEQUENCE_END(REQUEST)
    /* clang-format on */

    static void request_free(REQUEST * *req)
{
    ASN1_item_free((ASN1_VALUE *)*req, ASN1_ITEM_rptr(REQUEST));
}

#define REQUEST_AUTO __attribute__((cleanup(request_free))) REQUEST

static enum stamp_err malformed(const char *what, struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_FORMAT, 0,
                           "the request for a certificate is malformed: %s", what);
}

/* extensionRequest, of which there may be one, with one value. RFC 2985 5.4.2. */
static bool take_extensions(const REQUEST_INFO *info, STACK_OF(X509_EXTENSION) * *out)
{
    int at = X509at_get_attr_by_NID(info->attributes, NID_ext_req, -1);
    X509_ATTRIBUTE *attribute = X509at_get_attr(info->attributes, at);
    const unsigned char *p;
    const unsigned char *end;
    ASN1_TYPE *value;

    if (at < 0) {
        return true;
    }
    value = X509_ATTRIBUTE_get0_type(attribute, 0);
    if (X509at_get_attr_by_NID(info->attributes, NID_ext_req, at) >= 0 ||
        X509_ATTRIBUTE_count(attribute) != 1 || value->type != V_ASN1_SEQUENCE) {
        return false;
    }
    p = ASN1_STRING_get0_data(value->value.sequence);
    end = p + ASN1_STRING_length(value->value.sequence);
    *out = d2i_X509_EXTENSIONS(NULL, &p, end - p);
    return *out != NULL && p == end;
}

/* challengePassword: one, a text. RFC 2985 5.4.1; RFC 7030 3.5 puts the proof of
 * possession of a connection there. */
static bool take_challenge(const REQUEST_INFO *info, ASN1_STRING **out)
{
    int at = X509at_get_attr_by_NID(info->attributes, NID_pkcs9_challengePassword, -1);
    X509_ATTRIBUTE *attribute = X509at_get_attr(info->attributes, at);
    const ASN1_TYPE *value;

    if (at < 0) {
        return true;
    }
    value = X509_ATTRIBUTE_get0_type(attribute, 0);
    if (X509at_get_attr_by_NID(info->attributes, NID_pkcs9_challengePassword, at) >= 0 ||
        X509_ATTRIBUTE_count(attribute) != 1 ||
        (value->type != V_ASN1_PRINTABLESTRING && value->type != V_ASN1_UTF8STRING &&
         value->type != V_ASN1_T61STRING && value->type != V_ASN1_IA5STRING)) {
        return false;
    }
    *out = ASN1_STRING_dup(value->value.asn1_string);
    return *out != NULL;
}

/* DecryptKeyIdentifier, AsymmetricDecryptKeyIdentifier: RFC 4108 2.2.5, RFC 7030 4.4.1.
 */
static int find_attribute(const REQUEST_INFO *info, const char *dotted)
{
    ASN1_OBJECT *oid =
        X509at_get_attr_count(info->attributes) <= 0 ? NULL : OBJ_txt2obj(dotted, 1);
    int at = oid == NULL ? -1 : X509at_get_attr_by_OBJ(info->attributes, oid, -1);

    ASN1_OBJECT_free(oid);
    return at;
}

static bool take_decrypt_key(const REQUEST_INFO *info, struct stamp_pkcs10 *out)
{
    int at = find_attribute(info, "1.2.840.113549.1.9.16.2.54");
    X509_ATTRIBUTE *attribute = X509at_get_attr(info->attributes, at);
    const ASN1_TYPE *value;

    out->decrypt_shared = find_attribute(info, "1.2.840.113549.1.9.16.2.37") >= 0;
    if (at < 0) {
        return true;
    }
    value = X509_ATTRIBUTE_get0_type(attribute, 0);
    if (X509_ATTRIBUTE_count(attribute) != 1 || value->type != V_ASN1_OCTET_STRING) {
        return false;
    }
    out->decrypt_key = ASN1_OCTET_STRING_dup(value->value.octet_string);
    return out->decrypt_key != NULL;
}

static enum stamp_err take_rest(REQUEST_INFO *info, struct stamp_pkcs10 *out,
                                struct stamp_error *err)
{
    if (ASN1_INTEGER_get(info->version) != 0) {
        return malformed("its version is unknown", err);
    }
    if (!take_extensions(info, &out->extensions)) {
        return malformed("its list of extensions", err);
    }
    if (!take_challenge(info, &out->challenge)) {
        return malformed("its challenge password", err);
    }
    if (!take_decrypt_key(info, out)) {
        return malformed("its identifier of a key", err);
    }
    out->subject = info->subject;
    info->subject = NULL;
    return STAMP_OK;
}

/* ecdsa-with-SHA256, as all but a few ask (RFC 5758 3.2: without parameters), is checked
 * without OpenSSL's way from a name to what it names. */
static bool is_signed(const REQUEST *req, EVP_PKEY *key)
{
    const ASN1_ENCODING *tbs = &req->info->enc;
    const ASN1_BIT_STRING *sig = req->signature;
    uint8_t hash[32];
    STAMP_PKEY_CTX_AUTO *ctx = NULL;

    if (OBJ_obj2nid(req->algorithm->algorithm) != NID_ecdsa_with_SHA256 ||
        req->algorithm->parameter != NULL || (sig->flags & 7) != 0 || tbs->modified) {
        return ASN1_item_verify(ASN1_ITEM_rptr(REQUEST_INFO), req->algorithm, sig,
                                req->info, key) == 1;
    }
    ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    return ctx != NULL && EVP_PKEY_verify_init(ctx) == 1 &&
           EVP_Digest(tbs->enc, (size_t)tbs->len, hash, NULL, stamp_sha256(), NULL) ==
               1 &&
           EVP_PKEY_verify(ctx, ASN1_STRING_get0_data(sig),
                           (size_t)ASN1_STRING_length(sig), hash, sizeof hash) == 1;
}

static enum stamp_err take(REQUEST *req, struct stamp_pkcs10 *out,
                           struct stamp_error *err)
{
    EVP_PKEY *key = NULL;
    REQUEST_INFO *info = req->info;
    ASN1_STRING *spki = info->key->value.sequence;

    if (info->key->type != V_ASN1_SEQUENCE ||
        !stamp_key_spki_point((struct stamp_slice){ASN1_STRING_get0_data(spki),
                                                   (size_t)ASN1_STRING_length(spki)},
                              out->point) ||
        stamp_key_lend_point(out->point, &key, NULL) != STAMP_OK) {
        return stamp_error_set(err, STAMP_E_UNSUPPORTED, 0,
                               "the request for a certificate is for no P-256 key");
    }
    if (!is_signed(req, key)) {
        return stamp_error_set(err, STAMP_E_AUTH, 0,
                               "the request for a certificate is refused: its signature "
                               "is not of its own key");
    }
    return take_rest(info, out, err);
}

static enum stamp_err take_keyless(REQUEST *req, struct stamp_pkcs10 *out,
                                   struct stamp_error *err)
{
    return take_rest(req->info, out, err);
}

static enum stamp_err open_with(struct stamp_slice der,
                                enum stamp_err (*how)(REQUEST *, struct stamp_pkcs10 *,
                                                      struct stamp_error *),
                                struct stamp_pkcs10 *out, struct stamp_error *err)
{
    const unsigned char *p = der.p;
    REQUEST_AUTO *req = NULL;
    enum stamp_err rc;

    memset(out, 0, sizeof *out);
    if (der.len > 0 && der.len <= REQUEST_MAX) {
        req = (REQUEST *)ASN1_item_d2i(NULL, &p, (long)der.len, ASN1_ITEM_rptr(REQUEST));
    }
    rc = req == NULL || p != der.p + der.len ? malformed("not PKCS#10", err)
                                             : how(req, out, err);
    if (rc != STAMP_OK) {
        stamp_pkcs10_free(out);
    }
    ERR_clear_error();
    return rc;
}

enum stamp_err stamp_pkcs10_open(struct stamp_slice der, struct stamp_pkcs10 *out,
                                 struct stamp_error *err)
{
    return open_with(der, take, out, err);
}

enum stamp_err stamp_pkcs10_open_keyless(struct stamp_slice der, struct stamp_pkcs10 *out,
                                         struct stamp_error *err)
{
    return open_with(der, take_keyless, out, err);
}

const ASN1_OCTET_STRING *stamp_extension(const STACK_OF(X509_EXTENSION) * list,
                                         const ASN1_OBJECT *oid)
{
    int at = X509v3_get_ext_by_OBJ(list, oid, -1);

    return at < 0 || X509v3_get_ext_by_OBJ(list, oid, at) >= 0
               ? NULL
               : X509_EXTENSION_get_data(sk_X509_EXTENSION_value(list, at));
}

void stamp_pkcs10_free(struct stamp_pkcs10 *r)
{
    X509_NAME_free(r->subject);
    sk_X509_EXTENSION_pop_free(r->extensions, X509_EXTENSION_free);
    ASN1_STRING_free(r->challenge);
    ASN1_OCTET_STRING_free(r->decrypt_key);
    memset(r, 0, sizeof *r);
}

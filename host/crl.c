#include "host/crl.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/der.h"
#include "host/leaf_own.h"

enum { PAGE = 1000, CHUNK = 65536, DAY = 86400 };

struct stamp_crl {
    EVP_PKEY *key;
    struct stampi_part issuer;
    struct stampi_part authority_key; /* the extension */
    EVP_MD_CTX *md;
    uint8_t tbs_head[STAMP_CRL_HEAD_MAX]; /* up to the entries */
    size_t tbs_head_len;
    uint8_t tbs_tail[STAMP_CRL_TAIL_MAX]; /* the extensions */
    size_t tbs_tail_len;
    uint64_t entries_len;
    uint64_t left; /* of the entries */
};

/* ---- DER ---- */

static void put_number(struct stamp_der *d, const uint8_t *p, size_t len)
{
    size_t mark = stamp_der_len(d);

    while (len > 1 && p[0] == 0) {
        p++;
        len--;
    }
    stamp_der_raw(d, p, len);
    if ((p[0] & 0x80u) != 0) {
        stamp_der_raw(d, "", 1);
    }
    stamp_der_wrap(d, STAMP_DER_INTEGER, mark);
}

static void put_reason(struct stamp_der *d, enum stamp_reason reason)
{
    const uint8_t ext[] = {0x30, 0x0C, 0x30, 0x0A, 0x06, 0x03, 0x55,
                           0x1D, 0x15, 0x04, 0x03, 0x0A, 0x01, (uint8_t)reason};

    if (reason != STAMP_REASON_UNSPECIFIED) { /* 5.3.1: it should be absent */
        stamp_der_raw(d, ext, sizeof ext);
    }
}

size_t stamp_crl_entry(const struct stamp_revocation *r, uint8_t out[STAMP_CRL_ENTRY_MAX])
{
    struct stamp_der d;
    size_t len;

    stamp_der_init(&d, out, STAMP_CRL_ENTRY_MAX);
    put_reason(&d, r->reason);
    stampi_put_time(&d, r->at);
    put_number(&d, r->serial_number, sizeof r->serial_number);
    stamp_der_wrap(&d, STAMP_DER_SEQUENCE, 0);
    len = stamp_der_len(&d);
    memmove(out, stamp_der_bytes(&d), len);
    return len;
}

/* A head of a constructed value whose content is elsewhere. */
static void put_head(struct stamp_der *d, uint8_t tag, uint64_t len)
{
    uint8_t head[10] = {tag};
    size_t n = 1;
    unsigned bytes = 0;

    while (bytes < 8 && len >> (8 * bytes) != 0) {
        bytes++;
    }
    if (len < 0x80) {
        head[n++] = (uint8_t)len;
    } else {
        head[n++] = (uint8_t)(0x80u | bytes);
        while (bytes > 0) {
            head[n++] = (uint8_t)(len >> (8 * --bytes));
        }
    }
    stamp_der_raw(d, head, n);
}

static void put_tail(struct stamp_crl *c, uint64_t number)
{
    static const uint8_t crl_number[] = {0x06, 0x03, 0x55, 0x1D, 0x14};
    uint8_t bytes[8];
    struct stamp_der d;

    for (unsigned i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(number >> (56 - 8 * i));
    }
    stamp_der_init(&d, c->tbs_tail, sizeof c->tbs_tail);
    put_number(&d, bytes, sizeof bytes);
    stamp_der_wrap(&d, STAMP_DER_OCTETS, 0);
    stamp_der_raw(&d, crl_number, sizeof crl_number);
    stamp_der_wrap(&d, STAMP_DER_SEQUENCE, 0);
    stampi_put_part(&d, &c->authority_key);
    stamp_der_wrap(&d, STAMP_DER_SEQUENCE, 0);
    stamp_der_wrap(&d, STAMP_DER_CONTEXT(0), 0);
    c->tbs_tail_len = stamp_der_len(&d);
    memmove(c->tbs_tail, stamp_der_bytes(&d), c->tbs_tail_len);
}

/* The entries' list is absent where there is none: 5.1.2.6. */
static bool put_begin(struct stamp_crl *c, const struct stamp_crl_what *what)
{
    static const uint8_t v2 = 1;
    struct stamp_der d;

    stamp_der_init(&d, c->tbs_head, sizeof c->tbs_head);
    if (what->entries_len > 0) {
        put_head(&d, STAMP_DER_SEQUENCE, what->entries_len);
    }
    stampi_put_time(&d, what->next_update);
    stampi_put_time(&d, what->this_update);
    stampi_put_part(&d, &c->issuer);
    stampi_put_ecdsa(&d);
    stamp_der_put(&d, STAMP_DER_INTEGER, &v2, 1);
    put_head(&d, STAMP_DER_SEQUENCE,
             stamp_der_len(&d) + what->entries_len + c->tbs_tail_len);
    c->tbs_head_len = stamp_der_len(&d);
    memmove(c->tbs_head, stamp_der_bytes(&d), d.full ? 0 : c->tbs_head_len);
    return !d.full;
}

/* ---- signing ---- */

enum stamp_err stamp_crl_new(const X509 *issuer, EVP_PKEY *key, struct stamp_crl **out,
                             struct stamp_error *err)
{
    struct stamp_crl *c = calloc(1, sizeof *c);

    *out = c;
    if (c == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    if (EVP_PKEY_up_ref(key) == 1) {
        c->key = key;
    }
    c->md = EVP_MD_CTX_new();
    if (c->key == NULL || c->md == NULL || !stampi_part_issuer(&c->issuer, issuer) ||
        !stampi_part_authority_key(&c->authority_key, issuer)) {
        stamp_crl_free(out);
        return stamp_openssl_failed(err, "cannot prepare a revocation list");
    }
    return STAMP_OK;
}

void stamp_crl_free(struct stamp_crl **p)
{
    if (*p == NULL) {
        return;
    }
    EVP_PKEY_free((*p)->key);
    EVP_MD_CTX_free((*p)->md);
    free(*p);
    *p = NULL;
}

enum stamp_err stamp_crl_begin(struct stamp_crl *c, const struct stamp_crl_what *what,
                               struct stamp_error *err)
{
    if (what->this_update < 0 || what->next_update <= what->this_update ||
        what->entries_len > UINT32_MAX || what->number > INT64_MAX) {
        return stamp_error_set(err, STAMP_E_RANGE, 0,
                               "a revocation list with such dates or of such a length "
                               "cannot be");
    }
    put_tail(c, what->number);
    c->entries_len = c->left = what->entries_len;
    if (!put_begin(c, what) ||
        EVP_DigestSignInit(c->md, NULL, EVP_sha256(), NULL, c->key) != 1 ||
        EVP_DigestSignUpdate(c->md, c->tbs_head, c->tbs_head_len) != 1) {
        return stamp_openssl_failed(err, "cannot begin a revocation list");
    }
    return STAMP_OK;
}

enum stamp_err stamp_crl_add(struct stamp_crl *c, const void *entries, size_t len,
                             struct stamp_error *err)
{
    if (len > c->left) {
        return stamp_error_set(err, STAMP_E_FORMAT, 0,
                               "more entries of a revocation list than were said");
    }
    c->left -= len;
    return EVP_DigestSignUpdate(c->md, entries, len) == 1
               ? STAMP_OK
               : stamp_openssl_failed(err, "cannot hash a revocation list");
}

enum stamp_err stamp_crl_end(struct stamp_crl *c, uint8_t head[STAMP_CRL_HEAD_MAX],
                             size_t *head_len, uint8_t tail[STAMP_CRL_TAIL_MAX],
                             size_t *tail_len, struct stamp_error *err)
{
    uint8_t signature[128];
    size_t signature_len = sizeof signature;
    struct stamp_der d;

    if (c->left != 0) {
        return stamp_error_set(err, STAMP_E_FORMAT, 0,
                               "fewer entries of a revocation list than were said");
    }
    if (EVP_DigestSignUpdate(c->md, c->tbs_tail, c->tbs_tail_len) != 1 ||
        EVP_DigestSignFinal(c->md, signature, &signature_len) != 1) {
        return stamp_openssl_failed(err, "cannot sign a revocation list");
    }
    stamp_der_init(&d, tail, STAMP_CRL_TAIL_MAX);
    stamp_der_raw(&d, signature, signature_len);
    stamp_der_raw(&d, "", 1); /* no unused bits */
    stamp_der_wrap(&d, STAMP_DER_BIT_STRING, 0);
    stampi_put_ecdsa(&d);
    stamp_der_raw(&d, c->tbs_tail, c->tbs_tail_len);
    *tail_len = stamp_der_len(&d);
    memmove(tail, stamp_der_bytes(&d), *tail_len);

    stamp_der_init(&d, head, STAMP_CRL_HEAD_MAX);
    stamp_der_raw(&d, c->tbs_head, c->tbs_head_len);
    put_head(&d, STAMP_DER_SEQUENCE, c->tbs_head_len + c->entries_len + *tail_len);
    *head_len = stamp_der_len(&d);
    memmove(head, stamp_der_bytes(&d), *head_len);
    return STAMP_OK;
}

/* ---- the list of an authority ---- */

static enum stamp_err cannot_write(const char *path, struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_IO, errno, "cannot write '%s': %s", path,
                           strerror(errno));
}

static bool put_all(int fd, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;

    while (len > 0) {
        ssize_t n = write(fd, p, len);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        p += n;
        len -= (size_t)n;
    }
    return true;
}

enum stamp_err stamp_crl_gather(struct stamp_registry *r, const struct stamp_ca *ca,
                                time_t now, int fd, uint64_t *len, uint64_t *count,
                                struct stamp_error *err)
{
    struct stamp_revocation *rows = calloc(PAGE, sizeof *rows);
    struct stamp_revocation last;
    uint8_t *buf = malloc((size_t)PAGE * STAMP_CRL_ENTRY_MAX);
    size_t n = PAGE;
    enum stamp_err rc = rows == NULL || buf == NULL ? STAMP_E_NOMEM : STAMP_OK;

    *len = 0;
    *count = 0;
    if (rc != STAMP_OK) {
        (void)stamp_error_set(err, rc, ENOMEM, "out of memory");
    }
    while (rc == STAMP_OK && n == PAGE) {
        size_t at = 0;

        rc = stamp_registry_revocations(r, ca, now, *count == 0 ? NULL : &last, rows,
                                        PAGE, &n, err);
        for (size_t i = 0; i < n; i++) {
            at += stamp_crl_entry(&rows[i], buf + at);
        }
        if (rc == STAMP_OK && n > 0) {
            last = rows[n - 1];
            *len += at;
            *count += n;
            if (!put_all(fd, buf, at)) {
                rc = cannot_write("a temporary file", err);
            }
        }
    }
    free(rows);
    free(buf);
    return rc;
}

/* Sign what lies in `entries`, and copy it behind its head to `out`. */
static enum stamp_err sign_file(struct stamp_crl *c, const struct stamp_crl_what *what,
                                int entries, int out, const char *path,
                                struct stamp_error *err)
{
    static const int passes = 2; /* to sign, to copy */
    uint8_t head[STAMP_CRL_HEAD_MAX];
    uint8_t tail[STAMP_CRL_TAIL_MAX];
    uint8_t *buf = malloc(CHUNK);
    size_t head_len = 0;
    size_t tail_len = 0;
    enum stamp_err rc = stamp_crl_begin(c, what, err);

    for (int pass = 0; pass < passes && rc == STAMP_OK && buf != NULL; pass++) {
        ssize_t n;
        off_t at = 0;

        if (pass == 1 && !put_all(out, head, head_len)) {
            rc = cannot_write(path, err);
        }
        while (rc == STAMP_OK && (n = pread(entries, buf, CHUNK, at)) > 0) {
            at += n;
            if (pass == 0) {
                rc = stamp_crl_add(c, buf, (size_t)n, err);
            } else if (!put_all(out, buf, (size_t)n)) {
                rc = cannot_write(path, err);
            }
        }
        if (pass == 0 && rc == STAMP_OK) {
            rc = stamp_crl_end(c, head, &head_len, tail, &tail_len, err);
        }
    }
    if (rc == STAMP_OK && !put_all(out, tail, tail_len)) {
        rc = cannot_write(path, err);
    }
    free(buf);
    return buf != NULL ? rc
                       : stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
}

static enum stamp_err put_in_place(struct stamp_crl *c, const struct stamp_crl_what *what,
                                   int entries, const char *path, struct stamp_error *err)
{
    char temporary[PATH_MAX];
    enum stamp_err rc;
    int out;

    if (snprintf(temporary, sizeof temporary, "%s.tmp", path) >= (int)sizeof temporary) {
        return stamp_error_set(err, STAMP_E_RANGE, ENAMETOOLONG, "the path is too long");
    }
    out = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (out < 0) {
        return cannot_write(path, err);
    }
    rc = sign_file(c, what, entries, out, path, err);
    if (rc == STAMP_OK && (fchmod(out, 0644) != 0 || fsync(out) != 0 || close(out) != 0 ||
                           rename(temporary, path) != 0)) {
        rc = cannot_write(path, err);
    } else if (rc != STAMP_OK) {
        (void)close(out);
    }
    if (rc != STAMP_OK) {
        (void)unlink(temporary);
        stamp_error_state(err, "nothing was changed");
    }
    return rc;
}

enum stamp_err stamp_crl_write(struct stamp_registry *r, const X509 *issuer,
                               EVP_PKEY *key, uint32_t days, const char *path,
                               uint64_t *count, struct stamp_error *err)
{
    struct stamp_crl *c = NULL;
    struct stamp_ca ca;
    struct stamp_crl_what what = {.this_update = time(NULL)};
    FILE *entries = tmpfile();
    int64_t number = 0;
    enum stamp_err rc = stamp_ca_of(issuer, &ca, err);

    *count = 0;
    what.next_update = what.this_update + (time_t)days * DAY;
    if (entries == NULL) {
        return cannot_write("a temporary file", err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_crl_gather(r, &ca, what.this_update, fileno(entries),
                              &what.entries_len, count, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_registry_crl_number(r, &number, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_crl_new(issuer, key, &c, err);
    }
    what.number = (uint64_t)number;
    if (rc == STAMP_OK) {
        rc = put_in_place(c, &what, fileno(entries), path, err);
    }
    stamp_crl_free(&c);
    (void)fclose(entries);
    return rc;
}

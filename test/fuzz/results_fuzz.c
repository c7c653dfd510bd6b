/*
 * Any bytes as results. Signatures would stop all of them at the door, so they hold here:
 * the manifest stands in the head as it is, without its CMS, and the digest in the tail
 * is put right first.
 */
#include <openssl/evp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host/batchfile_own.h"
#include "host/cms.h"
#include "host/results.h"
#include "host/sig.h"

#define TAIL_SIZE 101u /* array, digest, signature */
#define TAIL_DIGEST 3u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum stamp_err __wrap_stamp_cms_verify(struct stamp_slice der, X509 *const *anchors,
                                       size_t n, uint8_t **content, size_t *content_len,
                                       X509 **signer, struct stamp_error *err);
enum stamp_err __wrap_stampi_check_signer(const char *path, X509 *signer, uint8_t purpose,
                                          X509 *const *anchors, size_t n,
                                          struct stamp_error *err);
enum stamp_err __wrap_stamp_sig_check_point(const uint8_t point[STAMP_POINT_SIZE],
                                            const char *label, const void *payload,
                                            size_t len, const uint8_t sig[STAMP_SIG_SIZE],
                                            struct stamp_error *err);

static void must(bool ok)
{
    if (!ok) {
        abort();
    }
}

enum stamp_err __wrap_stamp_cms_verify(struct stamp_slice der, X509 *const *anchors,
                                       size_t n, uint8_t **content, size_t *content_len,
                                       X509 **signer, struct stamp_error *err)
{
    (void)anchors;
    (void)n;
    (void)err;
    *content = OPENSSL_memdup(der.p, der.len);
    must(*content != NULL);
    *content_len = der.len;
    *signer = NULL;
    return STAMP_OK;
}

enum stamp_err __wrap_stampi_check_signer(const char *path, X509 *signer, uint8_t purpose,
                                          X509 *const *anchors, size_t n,
                                          struct stamp_error *err)
{
    (void)path;
    (void)signer;
    (void)purpose;
    (void)anchors;
    (void)n;
    (void)err;
    return STAMP_OK;
}

enum stamp_err __wrap_stamp_sig_check_point(const uint8_t point[STAMP_POINT_SIZE],
                                            const char *label, const void *payload,
                                            size_t len, const uint8_t sig[STAMP_SIG_SIZE],
                                            struct stamp_error *err)
{
    (void)point;
    (void)label;
    (void)payload;
    (void)len;
    (void)sig;
    (void)err;
    return STAMP_OK;
}

static bool clean(const char *text)
{
    return stamp_text_ok((const uint8_t *)text, strlen(text), false);
}

/* What is told is what SPEC 12-6 allows. */
static void check_entry(const struct stamp_books_line *e, uint32_t index)
{
    must(e->index == index && e->serial[0] != '\0' && clean(e->serial));
    must(clean(e->chip) && clean(e->who) && clean(e->where) && clean(e->reason));
    must(e->result <= STAMP_BOOKS_SCRAPPED);
    must(e->result != STAMP_BOOKS_UNUSED || e->handed_at == 0);
    must(e->result == STAMP_BOOKS_SCRAPPED || e->reason[0] == '\0');
    must(e->result >= STAMP_BOOKS_STRUCK || (e->reported_at == 0 && e->chip[0] == '\0'));
}

static void check_all(struct stamp_results *r)
{
    const struct stamp_results_head *head = stamp_results_head(r);
    struct stamp_books_line line;

    must(head->count > 0 && head->number > 0 && clean(head->product));
    for (uint32_t i = 0; i < head->count; i++) {
        must(stamp_results_next(r, &line, NULL) == STAMP_OK);
        check_entry(&line, i);
    }
    must(stamp_results_next(r, &line, NULL) == STAMP_E_MISSING);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_results *r = NULL;
    uint8_t *bytes;
    char path[32];
    int fd;

    if (len > 1u << 18) {
        return 0;
    }
    bytes = malloc(len + 1);
    fd = memfd_create("results", MFD_CLOEXEC);
    must(bytes != NULL && fd >= 0);
    memcpy(bytes, data, len);
    if (len > TAIL_SIZE) {
        must(EVP_Digest(bytes, len - TAIL_SIZE, bytes + len - TAIL_SIZE + TAIL_DIGEST,
                        NULL, EVP_sha256(), NULL) == 1);
    }
    must(write(fd, bytes, len) == (ssize_t)len);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (stamp_results_open(path, NULL, 0, &r, &err) == STAMP_OK) {
        check_all(r);
    } else {
        must(r == NULL && err.what[0] != '\0');
    }
    stamp_results_free(&r);
    (void)close(fd);
    free(bytes);
    return 0;
}

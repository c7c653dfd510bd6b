/*
 * Any bytes as what headquarters, stations and units send each other. The first byte says
 * as what: 0 the payload of a work order, 1 an entry of a journal, 2 a unit's request for
 * a certificate, 3 an offer, of which claims are to follow, 4 a part of a journal whose
 * seal and signature hold (ld --wrap).
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "host/claims.h"
#include "host/journal_bundle.h"
#include "host/offer.h"
#include "host/order_own.h"
#include "host/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct stamp_slice input;

enum stamp_err __wrap_stamp_letter_open(const char *label, const char *what,
                                        struct stamp_slice in, EVP_PKEY *key,
                                        struct stamp_buffer *plain,
                                        struct stamp_slice *payload, const uint8_t **sig,
                                        struct stamp_error *err);
enum stamp_err __wrap_stamp_sig_check(EVP_PKEY *key, const char *label, const void *p,
                                      size_t len, const uint8_t sig[64],
                                      struct stamp_error *err);

enum stamp_err __wrap_stamp_letter_open(const char *label, const char *what,
                                        struct stamp_slice in, EVP_PKEY *key,
                                        struct stamp_buffer *plain,
                                        struct stamp_slice *payload, const uint8_t **sig,
                                        struct stamp_error *err)
{
    static const uint8_t zero[64];

    (void)label;
    (void)what;
    (void)in;
    (void)key;
    (void)err;
    *plain = (struct stamp_buffer){0};
    *payload = input;
    *sig = zero;
    return STAMP_OK;
}

enum stamp_err __wrap_stamp_sig_check(EVP_PKEY *key, const char *label, const void *p,
                                      size_t len, const uint8_t sig[64],
                                      struct stamp_error *err)
{
    (void)key;
    (void)label;
    (void)p;
    (void)len;
    (void)sig;
    (void)err;
    return STAMP_OK;
}

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* What is refused has a reason; what is taken is what it says. */
static void check_error(enum stamp_err rc, const struct stamp_error *err)
{
    require(rc == STAMP_OK || err->what[0] != '\0');
}

static void as_order(struct stamp_slice in)
{
    static uint8_t again[65536];
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_order order;
    size_t len;
    enum stamp_err rc = stampi_order_decode(in, &order, &err);

    check_error(rc, &err);
    if (rc == STAMP_OK) {
        require(stampi_order_encode(&order, again, sizeof again, &len, &err) == STAMP_OK);
        require(len == in.len && memcmp(again, in.p, len) == 0);
    }
}

static void as_entry(struct stamp_slice in)
{
    static uint8_t again[STAMP_JOURNAL_ENTRY_MAX];
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_journal_entry e;
    size_t len;
    enum stamp_err rc = stamp_journal_entry_decode(in, &e, &err);

    check_error(rc, &err);
    if (rc == STAMP_OK) {
        require(stamp_journal_entry_encode(&e, again, &len, &err) == STAMP_OK);
        require(len == in.len && memcmp(again, in.p, len) == 0);
    }
}

static void as_request(struct stamp_slice in)
{
    static uint8_t claims[STAMP_CLAIMS_MAX];
    static const uint8_t challenge[32];
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_request r;
    struct stamp_request_asked asked = {
        .challenge = challenge, .offer = in, .serial = "x"};
    size_t len;
    enum stamp_err rc = stamp_request_read(in, &r, &err);

    check_error(rc, &err);
    if (rc == STAMP_OK) {
        require(stamp_request_check(&r, &asked, claims, &len, &err) != STAMP_OK);
    }
}

/* The input's end is what the unit tells. */
static void as_offer(struct stamp_slice in)
{
    static uint8_t claims[STAMP_CLAIMS_MAX];
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_evidence evidence = {.has_point = false};
    size_t len;

    if (in.len < 1) {
        return;
    }
    evidence.has_point = (in.p[in.len - 1] & 1) != 0;
    for (int i = 0; i < 3; i++) {
        evidence.has_commitment[i] = (in.p[in.len - 1] >> (i + 1) & 1) != 0;
    }
    evidence.point[0] = 4;
    in.len--;
    check_error(stamp_offer_claims(in, &evidence, claims, &len, &err), &err);
}

static enum stamp_err whose(void *ctx, const uint8_t station[32], X509 **journal,
                            struct stamp_error *err)
{
    (void)ctx;
    (void)station;
    (void)err;
    *journal = X509_new();
    return STAMP_OK;
}

static void as_part(struct stamp_slice in)
{
    static struct stamp_journal_part part;
    static const uint8_t head[] = {0x83, 0x01, 0x40, 0x40}; /* a letter, empty */
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_buffer plain = {0};
    size_t used = 0;
    enum stamp_err rc;

    input = in;
    rc = stamp_journal_part_open((struct stamp_slice){head, sizeof head}, NULL, whose,
                                 NULL, &used, &plain, &part, &err);
    check_error(rc, &err);
    for (size_t i = 0; rc == STAMP_OK && i < part.n; i++) {
        require(part.entry[i].p >= in.p &&
                part.entry[i].len <= (size_t)(in.p + in.len - part.entry[i].p));
        as_entry(part.entry[i]);
    }
    stamp_buffer_free(&plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static void (*const as[])(struct stamp_slice) = {as_order, as_entry, as_request,
                                                     as_offer, as_part};

    if (len > 0) {
        as[data[0] % 5]((struct stamp_slice){data + 1, len - 1});
    }
    return 0;
}

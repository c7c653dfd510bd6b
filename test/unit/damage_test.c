/*
 * No change of an image is ever authentic: every single bit, every single bit with the
 * CRCs put right again, and thousands of random corruptions. SPEC 3-14, 7-7.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/bytes.h"
#include "host/key.h"
#include "test/unit/desk/desk.h"

#define CORRUPTIONS 10000u

static struct desk desk;
static struct stamp_buffer fresh;   /* as made: blank banks */
static struct stamp_buffer rotated; /* two banks, the newer one in A */

static const struct stamp_geometry *const g = &desk_geometry;

static int open_desk(void **state)
{
    struct stamp_buffer body;
    struct stamp_slice encoded;
    struct stamp items;
    struct stamp_error err = STAMP_ERROR_INIT;
    static const uint8_t salt[16] = {1};

    (void)state;
    desk_open(&desk, STAMP_DEVELOPMENT);
    desk_issue(&desk, &body);
    encoded.p = body.p;
    encoded.len = body.len;
    assert_int_equal(stamp_image_make(g, encoded, NULL, &fresh, &err), STAMP_OK);
    assert_int_equal(stamp_image_make(g, encoded, NULL, &rotated, &err), STAMP_OK);
    memset(&items, 0, sizeof items);
    items.trust_bundle.p = desk.ws->bundle;
    items.trust_bundle.len = desk.ws->bundle_len;
    desk_put_bank(&rotated, g, STAMP_BANK_B, 1, &items, NULL);
    items.has_claim_state = true;
    items.claimed = true;
    items.pop_salt.p = salt;
    items.pop_salt.len = sizeof salt;
    items.pop.p = (const uint8_t *)"rotated-1";
    items.pop.len = 9;
    desk_put_bank(&rotated, g, STAMP_BANK_A, 2, &items, NULL);
    memcpy(rotated.p + STAMP_LOCK_OFFSET, "LOCK", 4);
    stamp_buffer_free(&body);
    return 0;
}

static int close_desk(void **state)
{
    (void)state;
    stamp_buffer_free(&fresh);
    stamp_buffer_free(&rotated);
    desk_close(&desk);
    return 0;
}

static void images_are_authentic_before(void **state)
{
    (void)state;
    assert_int_equal(desk_verdict(&desk, fresh.p, fresh.len), 0);
    assert_int_equal(desk_verdict(&desk, rotated.p, rotated.len), 0);
}

/* Bytes of a region behind which all is erased. */
static size_t used(const struct stamp_buffer *image, uint32_t start, bool birth)
{
    const uint8_t *p = image->p + start;

    return p[0] == g->erased
               ? 0
               : STAMP_BODY_OFFSET + stamp_get_u32(p + 12) + (birth ? 0 : 64u);
}

static bool in_use(const struct stamp_buffer *image, size_t at)
{
    uint32_t start = at < g->birth_size                  ? 0
                     : at < g->birth_size + g->bank_size ? g->birth_size
                                                         : g->birth_size + g->bank_size;

    return at - start < used(image, start, start == 0);
}

static void must_be_found(int verdict, const char *name, size_t byte, unsigned bit)
{
    if (verdict == 0) {
        fail_msg("%s: bit %u of byte %zu makes no difference", name, bit, byte);
    }
}

static void flip_every_bit(struct stamp_buffer *image, const char *name)
{
    size_t found[4] = {0};
    size_t spare = 0;

    for (size_t i = 0; i < image->len; i++) {
        bool mine = in_use(image, i);

        for (unsigned bit = 0; bit < 8; bit++) {
            int verdict;

            image->p[i] ^= (uint8_t)(1u << bit);
            verdict = desk_verdict(&desk, image->p, image->len);
            image->p[i] ^= (uint8_t)(1u << bit);
            must_be_found(verdict, name, i, bit);
            found[verdict]++;
            spare += mine ? 0 : 1;
        }
    }
    print_message("%s: %zu flips: %zu unreadable, %zu not authentic, 0 authentic; %zu of "
                  "them in erased space\n",
                  name, 8 * image->len, found[1], found[3], spare);
}

static void every_flipped_bit_is_found(void **state)
{
    (void)state;
    flip_every_bit(&fresh, "fresh");
    flip_every_bit(&rotated, "rotated");
}

/* Who flips bits on purpose puts the CRCs right. */
static void flip_and_repair(struct stamp_buffer *image, enum stamp_which which,
                            size_t found[4])
{
    uint32_t start = which == STAMP_BIRTH    ? 0
                     : which == STAMP_BANK_A ? g->birth_size
                                             : g->birth_size + g->bank_size;
    static const char *const region[] = {"birth", "bank A", "bank B"};
    uint8_t header[STAMP_HEADER_SIZE];
    size_t end = used(image, start, which == STAMP_BIRTH);

    memcpy(header, image->p + start, sizeof header);
    for (size_t i = 0; i < end; i++) {
        bool crc = (i >= 40 && i < 44) || (i >= 60 && i < 64);

        for (unsigned bit = 0; bit < 8 && !crc; bit++) {
            uint8_t *p = image->p + start + i;
            uint8_t old = *p;
            int verdict;

            *p ^= (uint8_t)(1u << bit);
            desk_repair(image, g, which);
            verdict = desk_verdict(&desk, image->p, image->len);
            *p = old;
            memcpy(image->p + start, header, sizeof header);
            *p = old;
            must_be_found(verdict, region[which], i, bit);
            found[verdict]++;
        }
    }
}

static void every_flipped_bit_is_found_with_its_crc_repaired(void **state)
{
    size_t found[4] = {0};

    (void)state;
    flip_and_repair(&rotated, STAMP_BIRTH, found);
    flip_and_repair(&rotated, STAMP_BANK_A, found);
    flip_and_repair(&rotated, STAMP_BANK_B, found);
    print_message("with CRCs repaired: %zu unreadable, %zu not authentic, 0 authentic\n",
                  found[1], found[3]);
    assert_true(found[3] > 5000);
    assert_int_equal(desk_verdict(&desk, rotated.p, rotated.len), 0);
}

/* xorshift: the same corruptions in every run. */
static uint32_t draw(uint32_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 17;
    *x ^= *x << 5;
    return *x;
}

static void corrupt(struct stamp_buffer *image, uint32_t *x)
{
    size_t at = draw(x) % image->len;
    size_t len = 1 + draw(x) % 64;
    size_t from = draw(x) % image->len;

    len = len < image->len - at ? len : image->len - at;
    switch (draw(x) % 4) {
    case 0: /* a run of noise */
        for (size_t i = 0; i < len; i++) {
            image->p[at + i] = (uint8_t)draw(x);
        }
        break;
    case 1: /* a run of one value */
        memset(image->p + at, draw(x) % 2 == 0 ? 0x00 : 0xFF, len);
        break;
    case 2: /* a piece copied elsewhere */
        len = len < image->len - from ? len : image->len - from;
        memmove(image->p + at, image->p + from, len);
        break;
    default: /* scattered bits */
        for (size_t i = 0; i < len; i++) {
            image->p[draw(x) % image->len] ^= (uint8_t)(1u << draw(x) % 8);
        }
    }
}

static void random_corruptions_are_found(void **state)
{
    struct stamp_buffer work = {NULL, 0};
    size_t found[4] = {0};
    uint32_t x = 0x5EED;

    (void)state;
    assert_int_equal(stamp_buffer_new(&work, rotated.len, 0, NULL), STAMP_OK);
    for (unsigned i = 0; found[1] + found[3] < CORRUPTIONS; i++) {
        const struct stamp_buffer *from = i % 2 == 0 ? &fresh : &rotated;
        int verdict;

        memcpy(work.p, from->p, from->len);
        do {
            corrupt(&work, &x);
        } while (memcmp(work.p, from->p, from->len) == 0);
        if (i % 3 == 0) { /* and CRCs that agree with it */
            desk_repair(&work, g, (enum stamp_which)(i % 9 / 3));
        }
        if (memcmp(work.p, from->p, from->len) == 0) {
            continue; /* it was just a CRC, and is repaired */
        }
        verdict = desk_verdict(&desk, work.p, work.len);
        if (verdict == 0) {
            fail_msg("corruption %u makes no difference", i);
        }
        found[verdict]++;
    }
    print_message("%zu corruptions: %zu unreadable, %zu not authentic, 0 authentic\n",
                  found[1] + found[3], found[1], found[3]);
    assert_true(found[1] + found[3] >= CORRUPTIONS);
    stamp_buffer_free(&work);
}

static void every_shorter_image_is_unreadable(void **state)
{
    (void)state;
    for (size_t len = 0; len < rotated.len; len += len < 256 ? 1 : 61) {
        assert_int_equal(desk_verdict(&desk, rotated.p, len), 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_are_authentic_before),
        cmocka_unit_test(every_flipped_bit_is_found),
        cmocka_unit_test(every_flipped_bit_is_found_with_its_crc_repaired),
        cmocka_unit_test(random_corruptions_are_found),
        cmocka_unit_test(every_shorter_image_is_unreadable),
    };

    return cmocka_run_group_tests(tests, open_desk, close_desk);
}

/* Batch files: what is written is read, and nothing else is. SPEC 11. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/bytes.h"
#include "host/batchfile.h"
#include "host/cms.h"
#include "host/key.h"
#include "host/signerkey.h"
#include "test/fixture/batch.h"

#define HEAD 16u
#define CHECK 8u
#define FRAME (HEAD + CHECK)

static struct batch_fixture f;

static int setup(void **state)
{
    (void)state;
    batch_fixture_init(&f, STAMP_PRODUCTION);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    batch_fixture_fini(&f);
    return 0;
}

static int clean(void **state)
{
    (void)state;
    batch_fixture_clean(&f);
    return 0;
}

static struct stamp_batch *open_batch(void)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_batch *b = NULL;

    if (batch_fixture_open(&f, &b, &err) != STAMP_OK) {
        fail_msg("%s", err.what);
    }
    return b;
}

static void assert_stamp(struct stamp_batch *b, uint32_t index)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_slice want = batch_fixture_body(&f, index);
    static uint8_t body[STAMP_MAX_LEN];
    size_t len = 0;

    if (stamp_batch_get(b, index, body, &len, &err) != STAMP_OK) {
        fail_msg("%s", err.what);
    }
    assert_int_equal(len, want.len);
    assert_memory_equal(body, want.p, len);
}

static void every_stamp_comes_back_for_each_station(void **state)
{
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    batch_fixture_write(&f, 5);
    for (int s = 0; s < BATCH_STATIONS; s++) {
        STAMP_BATCH_AUTO *b = open_batch();

        assert_int_equal(stamp_batch_unlock(b, f.station_key[s], &err), STAMP_OK);
        for (uint32_t i = 5; i-- > 0;) {
            assert_stamp(b, i);
        }
        assert_int_equal(stamp_batch_verify(b, &err), STAMP_OK);
    }
}

/* Pages hold 256 records: none too few, none too many, on either side of a page's end. */
static void any_count_around_a_page_is_whole(void **state)
{
    static const uint32_t counts[] = {1, 255, 256, 257, 511, 512, 513, 700};
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        STAMP_BATCH_AUTO *b = NULL;
        struct stamp_batch_entry entry;
        char serial[10];

        batch_fixture_clean(&f);
        batch_fixture_write(&f, counts[i]);
        b = open_batch();
        assert_int_equal(stamp_batch_unlock(b, f.station_key[0], &err), STAMP_OK);
        assert_int_equal(stamp_batch_verify(b, &err), STAMP_OK);
        assert_stamp(b, 0);
        assert_stamp(b, counts[i] - 1);
        assert_int_equal(stamp_batch_manifest(b)->count, counts[i]);
        assert_int_equal(stamp_batch_entry(b, counts[i], &entry, &err), STAMP_E_MISSING);
        stamp_error_clear(&err);
        for (uint32_t k = 0; k < counts[i]; k++) {
            batch_fixture_serial(k, serial);
            assert_int_equal(stamp_batch_find(b, serial, &entry, &err), STAMP_OK);
            assert_int_equal(entry.index, k);
            assert_string_equal(entry.serial, serial);
        }
    }
}

static void manifest_says_what_was_closed(void **state)
{
    STAMP_BATCH_AUTO *b = NULL;
    struct stamp_batch_setup want = batch_fixture_setup(&f);
    const struct stamp_batch_manifest *m;
    uint8_t *der = NULL;
    int len = i2d_X509(f.station[1], &der);

    (void)state;
    batch_fixture_write(&f, 3);
    b = open_batch();
    m = stamp_batch_manifest(b);
    assert_memory_equal(m->id, want.id, sizeof m->id);
    assert_int_equal(m->volume, 0);
    assert_int_equal(m->product.len, 10);
    assert_memory_equal(m->product.p, "Thermostat", 10);
    assert_int_equal(m->purpose, STAMP_PRODUCTION);
    assert_int_equal(m->made_at, 1750000000);
    assert_int_equal(m->count, 3);
    assert_memory_equal(m->first.p, "SN-000000", 9);
    assert_memory_equal(m->last.p, "SN-000002", 9);
    assert_true(m->ordered);
    assert_int_equal(m->n_recipients, 2);
    assert_int_equal(m->recipients[1].len, len);
    assert_memory_equal(m->recipients[1].p, der, (size_t)len);
    assert_memory_equal(m->profile_digest, want.profile_digest, 32);
    assert_int_equal(m->bundle.len, f.pki.bundle_len);
    assert_memory_equal(m->bundle.p, f.pki.bundle, f.pki.bundle_len);
    assert_int_equal(m->note.len, 10);
    assert_memory_equal(m->note.p, "for line 1", 10);
    assert_true(m->has_partition);
    assert_int_equal(m->partition.offset, 0x3F0000);
    assert_int_equal(m->partition.birth_size, 8192);
    assert_int_equal(m->partition.bank_size, 4096);
    assert_int_equal(m->partition.erase_size, 4096);
    assert_int_equal(m->partition.program_size, 4);
    assert_int_equal(m->partition.erased_value, 0xFF);
    assert_int_equal(X509_cmp(stamp_batch_signer(b), f.certificate), 0);
    OPENSSL_free(der);
}

/* Without what is optional. */
static void manifest_may_say_no_note_and_no_partition(void **state)
{
    STAMP_BATCH_AUTO *b = NULL;
    STAMP_BATCH_WRITER_AUTO *w = NULL;
    struct stamp_batch_setup setup = batch_fixture_setup(&f);
    struct stamp_batch_closing closing = batch_fixture_closing(&f, 1);
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_profile_partition odd = *closing.partition;

    (void)state;
    closing.note = NULL;
    odd.erased_value = 7;
    closing.partition = &odd;
    assert_int_equal(stamp_batch_writer_open(f.path, &setup, NULL, NULL, &w, &err),
                     STAMP_OK);
    batch_fixture_append(&f, w, 1);
    assert_int_equal(stamp_batch_finish(w, &closing, &err), STAMP_E_RANGE);
    stamp_error_clear(&err);
    closing.partition = NULL;
    assert_int_equal(stamp_batch_finish(w, &closing, &err), STAMP_OK);
    b = open_batch();
    assert_null(stamp_batch_manifest(b)->note.p);
    assert_false(stamp_batch_manifest(b)->has_partition);
}

/* SPEC 12-2: to every recipient, to nobody else, and a key of each file's own. */
static void voucher_key_is_for_who_opens_the_file(void **state)
{
    uint8_t first[STAMP_POINT_SIZE] = {0};
    uint8_t point[STAMP_POINT_SIZE];
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    for (int i = 0; i < 2; i++) {
        STAMP_BATCH_AUTO *b = NULL;
        EVP_PKEY *key = NULL;

        batch_fixture_write(&f, 1);
        b = open_batch();
        assert_int_equal(stamp_batch_voucher(b, &key, &err), STAMP_E_AUTH);
        assert_null(key);
        stamp_error_clear(&err);
        for (int s = 0; s < BATCH_STATIONS; s++) {
            assert_int_equal(stamp_batch_unlock(b, f.station_key[s], &err), STAMP_OK);
            assert_int_equal(stamp_batch_voucher(b, &key, &err), STAMP_OK);
            assert_int_equal(stamp_key_point(key, point, &err), STAMP_OK);
            assert_memory_equal(point, stamp_batch_manifest(b)->voucher, sizeof point);
            stamp_free_pkey(&key);
        }
        assert_memory_not_equal(point, first, sizeof point);
        memcpy(first, point, sizeof point);
        batch_fixture_clean(&f);
    }
}

static void without_a_key_nothing_opens(void **state)
{
    STAMP_BATCH_AUTO *b = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    uint8_t body[STAMP_MAX_LEN];
    size_t len = 1;

    (void)state;
    batch_fixture_write(&f, 2);
    b = open_batch();
    assert_int_equal(stamp_batch_verify(b, &err), STAMP_OK);
    assert_int_equal(stamp_batch_get(b, 0, body, &len, &err), STAMP_E_AUTH);
    assert_int_equal(len, 0);
}

/* SPEC 11-19. */
static void wrong_station_key_is_refused_without_saying_more(void **state)
{
    STAMP_BATCH_AUTO *b = NULL;
    STAMP_PKEY_AUTO *other = NULL;
    EVP_PKEY *p384 = EVP_EC_gen("P-384");
    struct stamp_error err = STAMP_ERROR_INIT;
    EVP_PKEY *keys[3];
    uint8_t body[STAMP_MAX_LEN];
    char want[96];
    size_t len;

    (void)state;
    batch_fixture_write(&f, 2);
    b = open_batch();
    assert_int_equal(stamp_key_generate(&other, &err), STAMP_OK);
    keys[0] = other;
    keys[1] = f.key;
    keys[2] = p384;
    (void)snprintf(want, sizeof want, "this key does not open '%s'", f.path);
    for (int i = 0; i < 3; i++) {
        stamp_error_clear(&err);
        assert_int_equal(stamp_batch_unlock(b, keys[i], &err), STAMP_E_AUTH);
        assert_string_equal(err.what, want);
        assert_string_equal(err.hint, "");
        assert_int_equal(err.native, 0);
        assert_int_equal(stamp_batch_get(b, 0, body, &len, NULL), STAMP_E_AUTH);
    }
    assert_int_equal(stamp_batch_unlock(b, f.station_key[1], &err), STAMP_OK);
    assert_stamp(b, 1);
    EVP_PKEY_free(p384);
}

static void missing_serial_and_index_are_said(void **state)
{
    STAMP_BATCH_AUTO *b = NULL;
    struct stamp_batch_entry entry;

    (void)state;
    batch_fixture_write(&f, 3);
    b = open_batch();
    assert_int_equal(stamp_batch_find(b, "SN-000003", &entry, NULL), STAMP_E_MISSING);
    assert_int_equal(stamp_batch_find(b, "A", &entry, NULL), STAMP_E_MISSING);
    assert_int_equal(stamp_batch_find(b, "SN-0000000", &entry, NULL), STAMP_E_MISSING);
    assert_int_equal(stamp_batch_entry(b, UINT32_MAX, &entry, NULL), STAMP_E_MISSING);
}

/* Serials as another machine's claims may leave them. */
static void serials_out_of_order_are_found_too(void **state)
{
    static const char *const serials[] = {"SN-000005", "SN-000001", "SN-000009"};
    STAMP_BATCH_WRITER_AUTO *w = NULL;
    STAMP_BATCH_SEALER_AUTO *sealer = NULL;
    STAMP_BATCH_AUTO *b = NULL;
    struct stamp_batch_setup s = batch_fixture_setup(&f);
    struct stamp_batch_closing closing = batch_fixture_closing(&f, 3);
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_batch_record record;
    struct stamp_batch_entry entry;
    static uint8_t bytes[STAMP_BATCH_RECORD_MAX];

    (void)state;
    assert_int_equal(stamp_batch_writer_open(f.path, &s, NULL, NULL, &w, &err), STAMP_OK);
    assert_int_equal(stamp_batch_sealer_new(w, &sealer, &err), STAMP_OK);
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t number = (uint32_t)strtoul(serials[i] + 3, NULL, 10);

        assert_int_equal(stamp_batch_seal(sealer, i, serials[i],
                                          batch_fixture_body(&f, number), bytes,
                                          sizeof bytes, &record, &err),
                         STAMP_OK);
        assert_int_equal(stamp_batch_append(w, bytes, &record, &err), STAMP_OK);
    }
    assert_int_equal(stamp_batch_finish(w, &closing, &err), STAMP_OK);
    b = open_batch();
    assert_false(stamp_batch_manifest(b)->ordered);
    assert_int_equal(stamp_batch_unlock(b, f.station_key[0], &err), STAMP_OK);
    assert_int_equal(stamp_batch_verify(b, &err), STAMP_OK);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(stamp_batch_find(b, serials[i], &entry, &err), STAMP_OK);
        assert_int_equal(entry.index, i);
    }
    assert_int_equal(stamp_batch_find(b, "SN-000002", &entry, &err), STAMP_E_MISSING);
}

/* What the books of a pipeline count on. */
static void file_is_at_most_15_percent_larger_than_its_stamps(void **state)
{
    struct fixture_options options = {.serial = "SN-000000"};
    struct stat st;
    size_t stamps;

    (void)state;
    fixture_birth(&f.pki, &options, &f.stamp); /* as long as those of a workspace */
    stamps = f.stamp.len * 1000;
    batch_fixture_write(&f, 1000);
    assert_int_equal(stat(f.path, &st), 0);
    assert_true((double)st.st_size <= 1.15 * (double)stamps);
    print_message("%zu bytes a stamp, %.1f in the file\n", f.stamp.len,
                  (double)st.st_size / 1000);
    options.small = true;
    fixture_birth(&f.pki, &options, &f.stamp);
}

/* ---- refusals of the writer ---- */

static void finished_file_is_never_overwritten(void **state)
{
    struct stamp_batch_writer *w = NULL;
    struct stamp_batch_setup s = batch_fixture_setup(&f);
    struct stamp_batch_closing closing = batch_fixture_closing(&f, 2);
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    batch_fixture_put(f.path, (const uint8_t *)"precious", 8);
    assert_int_equal(stamp_batch_writer_open(f.path, &s, NULL, NULL, &w, &err),
                     STAMP_E_EXISTS);
    assert_null(w);
    assert_int_equal(access(f.part, F_OK), -1);
    batch_fixture_clean(&f);

    /* It comes while we write. */
    stamp_error_clear(&err);
    assert_int_equal(stamp_batch_writer_open(f.path, &s, NULL, NULL, &w, &err), STAMP_OK);
    batch_fixture_append(&f, w, 2);
    batch_fixture_put(f.path, (const uint8_t *)"precious", 8);
    assert_int_equal(stamp_batch_finish(w, &closing, &err), STAMP_E_EXISTS);
    stamp_batch_writer_free(&w);
    {
        size_t len;
        uint8_t *bytes = batch_fixture_read(f.path, &len);

        assert_int_equal(len, 8);
        assert_memory_equal(bytes, "precious", 8);
        free(bytes);
    }
    /* And nothing is lost: out of the way, it is finished. */
    assert_int_equal(unlink(f.path), 0);
    stamp_error_clear(&err);
    assert_int_equal(stamp_batch_writer_open(f.path, &s, NULL, NULL, &w, &err), STAMP_OK);
    assert_int_equal(stamp_batch_writer_count(w), 2);
    assert_int_equal(stamp_batch_finish(w, &closing, &err), STAMP_OK);
    stamp_batch_writer_free(&w);
    assert_int_equal(access(f.part, F_OK), -1);
}

static void nothing_is_taken_after_the_finish(void **state)
{
    STAMP_BATCH_WRITER_AUTO *w = NULL;
    STAMP_BATCH_SEALER_AUTO *sealer = NULL;
    struct stamp_batch_setup s = batch_fixture_setup(&f);
    struct stamp_batch_closing closing = batch_fixture_closing(&f, 1);
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_batch_record record;
    static uint8_t bytes[STAMP_BATCH_RECORD_MAX];

    (void)state;
    assert_int_equal(stamp_batch_writer_open(f.path, &s, NULL, NULL, &w, &err), STAMP_OK);
    batch_fixture_append(&f, w, 1);
    assert_int_equal(stamp_batch_sealer_new(w, &sealer, &err), STAMP_OK);
    assert_int_equal(stamp_batch_finish(w, &closing, &err), STAMP_OK);
    assert_int_equal(stamp_batch_seal(sealer, 1, "SN-000001", batch_fixture_body(&f, 1),
                                      bytes, sizeof bytes, &record, &err),
                     STAMP_OK);
    assert_int_equal(stamp_batch_append(w, bytes, &record, &err), STAMP_E_EXISTS);
    assert_int_equal(stamp_batch_finish(w, &closing, NULL), STAMP_E_EXISTS);
    assert_int_equal(stamp_batch_sync(w, NULL), STAMP_E_EXISTS);
}

static void records_are_appended_in_order_and_of_this_run_only(void **state)
{
    STAMP_BATCH_WRITER_AUTO *w = NULL;
    STAMP_BATCH_SEALER_AUTO *sealer = NULL;
    struct stamp_batch_setup s = batch_fixture_setup(&f);
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_batch_record record;
    static uint8_t bytes[STAMP_BATCH_RECORD_MAX];
    struct stamp_slice body = batch_fixture_body(&f, 0);
    struct stamp_slice none = {body.p, 0};
    struct stamp_slice big = {bytes, STAMP_MAX_LEN + 1};

    (void)state;
    assert_int_equal(stamp_batch_writer_open(f.path, &s, NULL, NULL, &w, &err), STAMP_OK);
    assert_int_equal(stamp_batch_sealer_new(w, &sealer, &err), STAMP_OK);
    assert_int_equal(
        stamp_batch_seal(sealer, 1, "A", body, bytes, sizeof bytes, &record, &err),
        STAMP_OK);
    assert_int_equal(stamp_batch_append(w, bytes, &record, &err), STAMP_E_RANGE);
    assert_int_equal(stamp_batch_writer_count(w), 0);
    assert_int_equal(
        stamp_batch_seal(sealer, 0, "A", body, bytes, sizeof bytes, &record, NULL),
        STAMP_OK);
    bytes[12] ^= 1; /* another segment */
    assert_int_equal(stamp_batch_append(w, bytes, &record, NULL), STAMP_E_RANGE);
    bytes[12] ^= 1;
    record.digest[0] ^= 1;
    assert_int_equal(stamp_batch_append(w, bytes, &record, NULL), STAMP_E_RANGE);
    record.digest[0] ^= 1;
    assert_int_equal(stamp_batch_append(w, bytes, &record, NULL), STAMP_OK);
    assert_int_equal(
        stamp_batch_seal(sealer, 1, "", body, bytes, sizeof bytes, &record, NULL),
        STAMP_E_RANGE);
    assert_int_equal(
        stamp_batch_seal(sealer, 1, "a b", body, bytes, sizeof bytes, &record, NULL),
        STAMP_E_RANGE);
    assert_int_equal(
        stamp_batch_seal(sealer, 1, "B", none, bytes, sizeof bytes, &record, NULL),
        STAMP_E_RANGE);
    assert_int_equal(
        stamp_batch_seal(sealer, 1, "B", big, bytes, sizeof bytes, &record, NULL),
        STAMP_E_RANGE);
    assert_int_equal(stamp_batch_seal(sealer, 1, "B", body, bytes,
                                      stamp_batch_record_size(1, body.len) - 1, &record,
                                      NULL),
                     STAMP_E_SPACE);
    assert_int_equal(stamp_batch_seal(sealer, 1, "B", body, bytes,
                                      stamp_batch_record_size(1, body.len), &record,
                                      NULL),
                     STAMP_OK);
    assert_int_equal(record.len, stamp_batch_record_size(1, body.len));
}

static void finish_refuses_before_it_writes(void **state)
{
    STAMP_BATCH_WRITER_AUTO *w = NULL;
    struct stamp_batch_setup s = batch_fixture_setup(&f);
    struct stamp_batch_closing good = batch_fixture_closing(&f, 2);
    struct stamp_batch_closing bad[8];
    static const enum stamp_err want[8] = {STAMP_E_RANGE,  STAMP_E_RANGE,   STAMP_E_RANGE,
                                           STAMP_E_RANGE,  STAMP_E_PURPOSE, STAMP_E_AUTH,
                                           STAMP_E_CRYPTO, STAMP_E_RANGE};
    struct stamp_error err = STAMP_ERROR_INIT;
    char note[STAMP_BATCH_NOTE_MAX + 2];
    STAMP_BATCH_AUTO *b = NULL;

    (void)state;
    memset(note, 'n', sizeof note - 1);
    note[sizeof note - 1] = '\0';
    for (int i = 0; i < 8; i++) {
        bad[i] = good;
    }
    bad[0].count = 3;
    bad[1].product = "";
    bad[2].note = note;
    bad[3].product = "a\nb";
    bad[4].purpose = STAMP_DEVELOPMENT;
    bad[5].certificate = f.pki.root;
    bad[6].key = f.station_key[0];
    bad[7].bundle.len--;
    assert_int_equal(stamp_batch_writer_open(f.path, &s, NULL, NULL, &w, &err), STAMP_OK);
    batch_fixture_append(&f, w, 2);
    for (int i = 0; i < 8; i++) {
        stamp_error_clear(&err);
        assert_int_equal(stamp_batch_finish(w, &bad[i], &err), want[i]);
        assert_string_equal(err.state, "nothing was changed");
    }
    assert_int_equal(stamp_batch_finish(w, &good, NULL), STAMP_OK);
    b = open_batch();
    assert_int_equal(stamp_batch_verify(b, NULL), STAMP_OK);
}

static void empty_batch_is_not_finished(void **state)
{
    STAMP_BATCH_WRITER_AUTO *w = NULL;
    struct stamp_batch_setup s = batch_fixture_setup(&f);
    struct stamp_batch_closing closing = batch_fixture_closing(&f, 0);

    (void)state;
    assert_int_equal(stamp_batch_writer_open(f.path, &s, NULL, NULL, &w, NULL), STAMP_OK);
    assert_int_equal(stamp_batch_finish(w, &closing, NULL), STAMP_E_RANGE);
}

/* ---- many workers ---- */

#define WORKERS 4
#define EACH 300

struct worker {
    pthread_t thread;
    struct stamp_batch_sealer *sealer;
    uint32_t first;
    const struct fixture_stamp *stamp;
    uint8_t *bytes; /* EACH records of `size` */
    size_t size;
    struct stamp_batch_record record[EACH];
    bool ok;
};

static void *seal_many(void *arg)
{
    struct worker *w = arg;
    uint8_t body[FIXTURE_MAX];
    struct stamp_slice slice = {body, w->stamp->len};
    struct stamp stamp;
    size_t at;

    memcpy(body, w->stamp->bytes, w->stamp->len);
    w->ok = stamp_decode(&stamp, body, slice.len) == STAMP_OK;
    at = (size_t)(stamp.serial.p - body);
    for (uint32_t i = 0; i < EACH && w->ok; i++) {
        char serial[10];

        batch_fixture_serial(w->first + i, serial);
        memcpy(body + at, serial, 9);
        w->ok = stamp_batch_seal(w->sealer, w->first + i, serial, slice,
                                 w->bytes + i * w->size, w->size, &w->record[i],
                                 NULL) == STAMP_OK;
    }
    return NULL;
}

static void workers_seal_at_once(void **state)
{
    static struct worker worker[WORKERS];
    STAMP_BATCH_WRITER_AUTO *w = NULL;
    STAMP_BATCH_AUTO *b = NULL;
    struct stamp_batch_setup s = batch_fixture_setup(&f);
    struct stamp_batch_closing closing = batch_fixture_closing(&f, WORKERS * EACH);
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    assert_int_equal(stamp_batch_writer_open(f.path, &s, NULL, NULL, &w, &err), STAMP_OK);
    for (uint32_t i = 0; i < WORKERS; i++) {
        worker[i].first = i * EACH;
        worker[i].stamp = &f.stamp;
        worker[i].size = stamp_batch_record_size(9, f.stamp.len);
        worker[i].bytes = malloc(worker[i].size * EACH);
        assert_int_equal(stamp_batch_sealer_new(w, &worker[i].sealer, &err), STAMP_OK);
        assert_int_equal(pthread_create(&worker[i].thread, NULL, seal_many, &worker[i]),
                         0);
    }
    for (uint32_t i = 0; i < WORKERS; i++) {
        assert_int_equal(pthread_join(worker[i].thread, NULL), 0);
        assert_true(worker[i].ok);
        for (uint32_t k = 0; k < EACH; k++) {
            assert_int_equal(stamp_batch_append(w, worker[i].bytes + k * worker[i].size,
                                                &worker[i].record[k], &err),
                             STAMP_OK);
        }
        free(worker[i].bytes);
        stamp_batch_sealer_free(&worker[i].sealer);
    }
    assert_int_equal(stamp_batch_finish(w, &closing, &err), STAMP_OK);
    b = open_batch();
    assert_int_equal(stamp_batch_unlock(b, f.station_key[1], &err), STAMP_OK);
    if (stamp_batch_verify(b, &err) != STAMP_OK) {
        fail_msg("%s", err.what);
    }
}

/* Each record's 16 random bytes are its own. SPEC 11-10. */
static void no_two_records_share_random_bytes(void **state)
{
    enum { N = 600 };
    static uint8_t seen[N][16];
    STAMP_BATCH_WRITER_AUTO *w = NULL;
    struct stamp_batch_sealer *sealer[2] = {NULL, NULL};
    struct stamp_batch_setup s = batch_fixture_setup(&f);
    struct stamp_batch_record record;
    static uint8_t bytes[STAMP_BATCH_RECORD_MAX];

    (void)state;
    assert_int_equal(stamp_batch_writer_open(f.path, &s, NULL, NULL, &w, NULL), STAMP_OK);
    assert_int_equal(stamp_batch_sealer_new(w, &sealer[0], NULL), STAMP_OK);
    assert_int_equal(stamp_batch_sealer_new(w, &sealer[1], NULL), STAMP_OK);
    for (int i = 0; i < N; i++) {
        assert_int_equal(stamp_batch_seal(sealer[i % 2], 0, "A",
                                          batch_fixture_body(&f, 0), bytes, sizeof bytes,
                                          &record, NULL),
                         STAMP_OK);
        memcpy(seen[i], bytes + HEAD, 16);
        for (int k = 0; k < i; k++) {
            assert_memory_not_equal(seen[i], seen[k], 16);
        }
    }
    stamp_batch_sealer_free(&sealer[0]);
    stamp_batch_sealer_free(&sealer[1]);
}

/* ---- every byte ---- */

/* What the block at `at` is called in messages. */
static size_t name_block(const uint8_t *bytes, size_t at, char *out, size_t size)
{
    const uint8_t *p = bytes + at;
    unsigned a = stamp_get_u32(p + 8);

    if (memcmp(p, "dStR", 4) == 0) {
        (void)snprintf(out, size, "record %u ('SN-%06u')", a, a);
    } else if (memcmp(p, "dStS", 4) == 0) {
        (void)snprintf(out, size, "segment %u", a);
    } else if (memcmp(p, "dStL", 4) == 0) {
        (void)snprintf(out, size, "page %u (records", a);
    } else {
        static const char *const kinds[] = {"dStB", "header",   "dStI", "index",
                                            "dStM", "manifest", "dStE", "end"};

        for (size_t i = 0; i < 8; i += 2) {
            if (memcmp(p, kinds[i], 4) == 0) {
                (void)snprintf(out, size, "the %s of", kinds[i + 1]);
            }
        }
    }
    return at + FRAME + stamp_get_u32(p + 4);
}

/* Two segments, so that the second has a block in the middle. */
static void write_two_segments(void)
{
    struct stamp_batch_setup s = batch_fixture_setup(&f);
    struct stamp_batch_closing closing = batch_fixture_closing(&f, 4);
    struct stamp_batch_writer *w = NULL;

    assert_int_equal(stamp_batch_writer_open(f.path, &s, NULL, NULL, &w, NULL), STAMP_OK);
    batch_fixture_append(&f, w, 2);
    assert_int_equal(stamp_batch_sync(w, NULL), STAMP_OK);
    stamp_batch_writer_free(&w);
    assert_int_equal(stamp_batch_writer_open(f.path, &s, NULL, NULL, &w, NULL), STAMP_OK);
    assert_int_equal(stamp_batch_writer_count(w), 2);
    batch_fixture_append(&f, w, 4);
    assert_int_equal(stamp_batch_finish(w, &closing, NULL), STAMP_OK);
    stamp_batch_writer_free(&w);
}

/* Open and check all, without a key: any reader finds it. */
static enum stamp_err check_file(struct stamp_error *err)
{
    STAMP_BATCH_AUTO *b = NULL;
    enum stamp_err rc = batch_fixture_open(&f, &b, err);

    return rc == STAMP_OK ? stamp_batch_verify(b, err) : rc;
}

static void flip(int fd, size_t at, uint8_t bit)
{
    uint8_t byte;

    assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
    byte ^= bit;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
}

/* Each byte of a block changed, one bit at a time and another bit each time. */
static void flip_block(int fd, size_t at, size_t end, const char *name)
{
    for (size_t i = at; i < end; i++) {
        struct stamp_error err = STAMP_ERROR_INIT;
        enum stamp_err rc;

        flip(fd, i, (uint8_t)(1u << (i % 8)));
        rc = check_file(&err);
        flip(fd, i, (uint8_t)(1u << (i % 8)));
        /* The first bytes say what file it is. */
        if (i < 4 && rc == STAMP_E_FORMAT) {
            continue;
        }
        if (rc != STAMP_E_CORRUPT || strstr(err.what, name) == NULL) {
            fail_msg("byte %zu, in %s: %d '%s'", i, name, rc, err.what);
        }
    }
}

static void every_flipped_byte_is_found_and_its_place_named(void **state)
{
    size_t len;
    size_t at = 0;
    uint8_t *bytes;
    FILE *file;

    (void)state;
    write_two_segments();
    bytes = batch_fixture_read(f.path, &len);
    file = fopen(f.path, "r+b");
    assert_non_null(file);
    while (at < len) {
        char name[64] = "";
        size_t end = name_block(bytes, at, name, sizeof name);

        assert_string_not_equal(name, "");
        flip_block(fileno(file), at, end, name);
        at = end;
    }
    assert_int_equal(check_file(NULL), STAMP_OK);
    (void)fclose(file);
    free(bytes);
}

static void every_shorter_or_longer_file_is_refused(void **state)
{
    uint8_t zero[8] = {0};
    uint8_t *bytes;
    size_t len;

    (void)state;
    batch_fixture_write(&f, 2);
    bytes = batch_fixture_read(f.path, &len);
    for (size_t i = len; i-- > 0;) {
        struct stamp_error err = STAMP_ERROR_INIT;
        enum stamp_err rc;

        assert_int_equal(truncate(f.path, (off_t)i), 0);
        rc = check_file(&err);
        if (rc != STAMP_E_CORRUPT && !(i < 104 && rc == STAMP_E_FORMAT)) {
            fail_msg("%zu of %zu bytes: %d '%s'", i, len, rc, err.what);
        }
    }
    for (size_t i = 1; i <= sizeof zero; i++) {
        batch_fixture_put(f.path, bytes, len);
        {
            FILE *file = fopen(f.path, "ab");

            assert_int_equal(fwrite(zero, 1, i, file), i);
            (void)fclose(file);
        }
        assert_int_equal(check_file(NULL), STAMP_E_CORRUPT);
    }
    free(bytes);
}

/* ---- somebody who puts the checks right ---- */

/* Where record `index` is. */
static size_t find_record(const uint8_t *bytes, size_t len, uint32_t index)
{
    for (size_t at = 0; at < len; at += FRAME + stamp_get_u32(bytes + at + 4)) {
        if (memcmp(bytes + at, "dStR", 4) == 0 &&
            stamp_get_u32(bytes + at + 8) == index) {
            return at;
        }
    }
    fail_msg("no record %u", index);
    return 0;
}

static size_t find_block(const uint8_t *bytes, size_t len, const char *magic)
{
    for (size_t at = 0; at < len; at += FRAME + stamp_get_u32(bytes + at + 4)) {
        if (memcmp(bytes + at, magic, 4) == 0) {
            return at;
        }
    }
    fail_msg("no %s", magic);
    return 0;
}

static size_t block_size(const uint8_t *bytes, size_t at)
{
    return FRAME + stamp_get_u32(bytes + at + 4);
}

static void put_check(uint8_t *bytes, size_t at)
{
    size_t len = block_size(bytes, at) - CHECK;
    uint8_t *copy = calloc(1, len + 1);
    uint8_t digest[32];

    memcpy(copy + 1, bytes + at, len);
    SHA256(copy, len + 1, digest);
    memcpy(bytes + at + len, digest, CHECK);
    free(copy);
}

static void assert_refused(const uint8_t *bytes, size_t len, enum stamp_err want,
                           const char *name)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    enum stamp_err rc;

    batch_fixture_put(f.path, bytes, len);
    rc = check_file(&err);
    if (rc != want || strstr(err.what, name) == NULL) {
        fail_msg("want %d '%s', got %d '%s'", want, name, rc, err.what);
    }
}

static void changed_record_with_a_right_check_is_named(void **state)
{
    size_t len;
    size_t at;
    uint8_t *bytes;

    (void)state;
    batch_fixture_write(&f, 4);
    bytes = batch_fixture_read(f.path, &len);
    at = find_record(bytes, len, 2);
    bytes[at + 100] ^= 1;
    put_check(bytes, at);
    assert_refused(bytes, len, STAMP_E_AUTH,
                   "record 2 ('SN-000002') of '/tmp/stamp-batch-");
    assert_refused(bytes, len, STAMP_E_AUTH, "is not the one that was signed");
    free(bytes);
}

static void reordered_records_are_named(void **state)
{
    size_t len;
    size_t size;
    uint8_t *bytes;
    uint8_t *one;
    uint8_t *two;

    (void)state;
    batch_fixture_write(&f, 4);
    bytes = batch_fixture_read(f.path, &len);
    one = bytes + find_record(bytes, len, 1);
    two = bytes + find_record(bytes, len, 2);
    size = block_size(one, 0);
    for (size_t i = 0; i < size; i++) {
        uint8_t swap = one[i];

        one[i] = two[i];
        two[i] = swap;
    }
    assert_refused(bytes, len, STAMP_E_AUTH, "record 1 ('SN-000001')");
    assert_refused(bytes, len, STAMP_E_AUTH,
                   "record 2 ('SN-000002') stands in its place");
    free(bytes);
}

static void record_of_another_batch_is_named(void **state)
{
    uint8_t *ours;
    uint8_t *theirs;
    size_t len;
    size_t other_len;
    size_t at;

    (void)state;
    batch_fixture_write(&f, 3);
    ours = batch_fixture_read(f.path, &len);
    batch_fixture_clean(&f);
    batch_fixture_write(&f, 3);
    theirs = batch_fixture_read(f.path, &other_len);
    at = find_record(ours, len, 1);
    memcpy(ours + at, theirs + find_record(theirs, other_len, 1), block_size(ours, at));
    assert_refused(ours, len, STAMP_E_AUTH, "record 1 ('SN-000001')");
    free(ours);
    free(theirs);
}

static void taken_out_record_is_named(void **state)
{
    uint8_t *bytes;
    size_t len;
    size_t at;
    size_t size;

    (void)state;
    batch_fixture_write(&f, 3);
    bytes = batch_fixture_read(f.path, &len);
    at = find_record(bytes, len, 1);
    size = block_size(bytes, at);
    /* All behind moves up: the end's own offsets are put right, the signed index is not
     * the forger's to change. */
    memmove(bytes + at, bytes + at + size, len - at - size);
    len -= size;
    at = find_block(bytes, len, "dStE");
    stamp_put_u32(bytes + at + HEAD, stamp_get_u32(bytes + at + HEAD) - (uint32_t)size);
    stamp_put_u32(bytes + at + HEAD + 8,
                  stamp_get_u32(bytes + at + HEAD + 8) - (uint32_t)size);
    put_check(bytes, at);
    assert_refused(bytes, len, STAMP_E_CORRUPT, "page 0 (records 0 to 2)");
    /* In the file as it was, with a hole where the record stood. */
    batch_fixture_clean(&f);
    free(bytes);
    batch_fixture_write(&f, 3);
    bytes = batch_fixture_read(f.path, &len);
    at = find_record(bytes, len, 1);
    memset(bytes + at, 0, block_size(bytes, at));
    assert_refused(bytes, len, STAMP_E_CORRUPT, "record 1 ('SN-000001')");
    free(bytes);
}

static void index_or_page_with_a_right_check_is_named(void **state)
{
    uint8_t *bytes;
    size_t len;
    size_t at;

    (void)state;
    batch_fixture_write(&f, 3);
    bytes = batch_fixture_read(f.path, &len);
    at = find_block(bytes, len, "dStL");
    bytes[at + HEAD + 9] ^= 1; /* the first record's digest */
    put_check(bytes, at);
    assert_refused(bytes, len, STAMP_E_CORRUPT, "page 0");
    bytes[at + HEAD + 9] ^= 1;
    put_check(bytes, at);
    at = find_block(bytes, len, "dStI");
    bytes[at + HEAD] ^= 1;
    put_check(bytes, at);
    assert_refused(bytes, len, STAMP_E_CORRUPT, "the index of");
    bytes[at + HEAD] ^= 1;
    put_check(bytes, at);
    at = find_block(bytes, len, "dStS");
    bytes[at + block_size(bytes, at) - CHECK - 1] ^= 1;
    put_check(bytes, at);
    assert_refused(bytes, len, STAMP_E_CORRUPT, "segment 0");
    bytes[at + block_size(bytes, at) - CHECK - 1] ^= 1;
    put_check(bytes, at);
    bytes[HEAD] ^= 1; /* the batch id */
    put_check(bytes, 0);
    assert_refused(bytes, len, STAMP_E_CORRUPT, "the header of");
    free(bytes);
}

/* SPEC 11-6. */
static void newer_file_is_not_read(void **state)
{
    uint8_t *bytes;
    size_t len;

    (void)state;
    batch_fixture_write(&f, 1);
    bytes = batch_fixture_read(f.path, &len);
    bytes[8] = 2;
    put_check(bytes, 0);
    assert_refused(bytes, len, STAMP_E_VERSION, "was made by a newer program");
    free(bytes);
}

/* ---- whose signature ---- */

static void other_root_is_not_believed(void **state)
{
    struct stamp_batch *b = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    struct fixture other;

    (void)state;
    batch_fixture_write(&f, 1);
    fixture_init(&other, STAMP_PRODUCTION);
    assert_int_equal(stamp_batch_open(f.path, &other.root, 1, &b, &err), STAMP_E_AUTH);
    assert_null(b);
    assert_int_equal(stamp_batch_open(f.path, NULL, 0, &b, NULL), STAMP_E_AUTH);
    fixture_fini(&other);
}

/* What was signed is given as it was signed. SPEC 11-20. */
static void manifest_is_given_with_its_signature(void **state)
{
    STAMP_BATCH_AUTO *b = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_slice cms;
    uint8_t *file;
    uint8_t *content = NULL;
    X509 *signer = NULL;
    size_t len;
    size_t content_len;

    (void)state;
    batch_fixture_write(&f, 1);
    b = open_batch();
    cms = stamp_batch_manifest_cms(b);
    file = batch_fixture_read(f.path, &len);
    assert_memory_equal(cms.p, file + find_block(file, len, "dStM") + 16, cms.len);
    assert_int_equal(
        stamp_cms_verify(cms, &f.pki.root, 1, &content, &content_len, &signer, &err),
        STAMP_OK);
    free(file);
    OPENSSL_free(content);
    X509_free(signer);
}

/* The manifest of one file in another, in all else right: header and index tell. */
static void manifest_of_another_batch_does_not_fit(void **state)
{
    uint8_t *ours;
    uint8_t *theirs;
    size_t len;
    size_t other_len;
    size_t at;
    size_t from;

    (void)state;
    batch_fixture_write(&f, 2);
    ours = batch_fixture_read(f.path, &len);
    for (int i = 0;; i++) { /* until both are of one length; signatures differ in it */
        batch_fixture_clean(&f);
        batch_fixture_write(&f, 2);
        theirs = batch_fixture_read(f.path, &other_len);
        at = find_block(ours, len, "dStM");
        from = find_block(theirs, other_len, "dStM");
        if (block_size(ours, at) == block_size(theirs, from)) {
            break;
        }
        assert_true(i < 100);
        free(theirs);
    }
    memcpy(ours + at, theirs + from, block_size(ours, at));
    assert_refused(ours, len, STAMP_E_CORRUPT, "the index of");
    free(ours);
    free(theirs);
}

static void development_and_production_do_not_mix(void **state)
{
    struct batch_fixture dev;
    struct stamp_batch *b = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_signerkey what = {.arc = STAMP_ARC_BATCH_SIGNER,
                                   .organization = "Acme",
                                   .purpose = STAMP_DEVELOPMENT,
                                   .not_before = 1700000000};
    struct stamp_batch_setup s;
    struct stamp_batch_closing closing;
    STAMP_BATCH_WRITER_AUTO *w = NULL;
    X509 *mixed = NULL;

    (void)state;
    /* A development certificate by the production root, over a development batch. */
    batch_fixture_init(&dev, STAMP_DEVELOPMENT);
    assert_int_equal(stamp_signerkey_certificate(&what, dev.key, f.pki.root,
                                                 f.pki.root_key, &mixed, &err),
                     STAMP_OK);
    s = batch_fixture_setup(&dev);
    closing = batch_fixture_closing(&dev, 1);
    closing.certificate = mixed;
    assert_int_equal(stamp_batch_writer_open(dev.path, &s, NULL, NULL, &w, &err),
                     STAMP_OK);
    batch_fixture_append(&dev, w, 1);
    assert_int_equal(stamp_batch_finish(w, &closing, &err), STAMP_OK);
    assert_int_equal(stamp_batch_open(dev.path, &f.pki.root, 1, &b, &err),
                     STAMP_E_PURPOSE);
    X509_free(mixed);
    batch_fixture_fini(&dev);
}

/* A stamp of another product or serial under a right key. SPEC 11-13. */
static void stamp_that_is_not_the_records_is_refused(void **state)
{
    STAMP_BATCH_WRITER_AUTO *w = NULL;
    STAMP_BATCH_SEALER_AUTO *sealer = NULL;
    STAMP_BATCH_AUTO *b = NULL;
    struct stamp_batch_setup s = batch_fixture_setup(&f);
    struct stamp_batch_closing closing = batch_fixture_closing(&f, 2);
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_batch_record record;
    static uint8_t bytes[STAMP_BATCH_RECORD_MAX];
    static uint8_t body[STAMP_MAX_LEN];
    size_t len;

    (void)state;
    assert_int_equal(stamp_batch_writer_open(f.path, &s, NULL, NULL, &w, &err), STAMP_OK);
    assert_int_equal(stamp_batch_sealer_new(w, &sealer, &err), STAMP_OK);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(stamp_batch_seal(sealer, i, i == 0 ? "SN-000000" : "SN-000001",
                                          batch_fixture_body(&f, 0), bytes, sizeof bytes,
                                          &record, &err),
                         STAMP_OK);
        assert_int_equal(stamp_batch_append(w, bytes, &record, &err), STAMP_OK);
    }
    assert_int_equal(stamp_batch_finish(w, &closing, &err), STAMP_OK);
    b = open_batch();
    assert_int_equal(stamp_batch_verify(b, &err),
                     STAMP_OK); /* sealed, it does not show */
    assert_int_equal(stamp_batch_unlock(b, f.station_key[0], &err), STAMP_OK);
    assert_int_equal(stamp_batch_get(b, 0, body, &len, &err), STAMP_OK);
    assert_int_equal(stamp_batch_get(b, 1, body, &len, &err), STAMP_E_AUTH);
    assert_non_null(strstr(err.what, "record 1 ('SN-000001')"));
    assert_non_null(strstr(err.what, "holds what is not its stamp"));
    assert_int_equal(stamp_batch_verify(b, NULL), STAMP_E_AUTH);
}

static void what_is_no_batch_file_is_said(void **state)
{
    struct stamp_batch *b = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;

    (void)state;
    assert_int_equal(batch_fixture_open(&f, &b, &err), STAMP_E_IO);
    stamp_error_clear(&err);
    batch_fixture_put(f.path, (const uint8_t *)"", 0);
    assert_int_equal(batch_fixture_open(&f, &b, &err), STAMP_E_FORMAT);
    stamp_error_clear(&err);
    batch_fixture_put(f.path, f.stamp.bytes, f.stamp.len);
    assert_int_equal(batch_fixture_open(&f, &b, &err), STAMP_E_FORMAT);
    assert_null(b);
    stamp_error_clear(&err);
    assert_int_equal(stamp_batch_open(f.dir, &f.pki.root, 1, &b, &err), STAMP_E_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(every_stamp_comes_back_for_each_station, clean),
        cmocka_unit_test_teardown(any_count_around_a_page_is_whole, clean),
        cmocka_unit_test_teardown(manifest_says_what_was_closed, clean),
        cmocka_unit_test_teardown(manifest_may_say_no_note_and_no_partition, clean),
        cmocka_unit_test_teardown(voucher_key_is_for_who_opens_the_file, clean),
        cmocka_unit_test_teardown(manifest_is_given_with_its_signature, clean),
        cmocka_unit_test_teardown(without_a_key_nothing_opens, clean),
        cmocka_unit_test_teardown(wrong_station_key_is_refused_without_saying_more,
                                  clean),
        cmocka_unit_test_teardown(missing_serial_and_index_are_said, clean),
        cmocka_unit_test_teardown(serials_out_of_order_are_found_too, clean),
        cmocka_unit_test_teardown(file_is_at_most_15_percent_larger_than_its_stamps,
                                  clean),
        cmocka_unit_test_teardown(finished_file_is_never_overwritten, clean),
        cmocka_unit_test_teardown(nothing_is_taken_after_the_finish, clean),
        cmocka_unit_test_teardown(records_are_appended_in_order_and_of_this_run_only,
                                  clean),
        cmocka_unit_test_teardown(finish_refuses_before_it_writes, clean),
        cmocka_unit_test_teardown(empty_batch_is_not_finished, clean),
        cmocka_unit_test_teardown(workers_seal_at_once, clean),
        cmocka_unit_test_teardown(no_two_records_share_random_bytes, clean),
        cmocka_unit_test_teardown(every_flipped_byte_is_found_and_its_place_named, clean),
        cmocka_unit_test_teardown(every_shorter_or_longer_file_is_refused, clean),
        cmocka_unit_test_teardown(changed_record_with_a_right_check_is_named, clean),
        cmocka_unit_test_teardown(reordered_records_are_named, clean),
        cmocka_unit_test_teardown(record_of_another_batch_is_named, clean),
        cmocka_unit_test_teardown(taken_out_record_is_named, clean),
        cmocka_unit_test_teardown(index_or_page_with_a_right_check_is_named, clean),
        cmocka_unit_test_teardown(newer_file_is_not_read, clean),
        cmocka_unit_test_teardown(other_root_is_not_believed, clean),
        cmocka_unit_test_teardown(manifest_of_another_batch_does_not_fit, clean),
        cmocka_unit_test_teardown(development_and_production_do_not_mix, clean),
        cmocka_unit_test_teardown(stamp_that_is_not_the_records_is_refused, clean),
        cmocka_unit_test_teardown(what_is_no_batch_file_is_said, clean),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}

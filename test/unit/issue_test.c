/* Issuing in threads: workers of one issuer make stamps that are whole, authentic and
 * each of its own. */
#include "host/issue.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "test/unit/desk/desk.h"

#define WORKERS 2u
#define STAMPS 40u
#define ALL ((size_t)WORKERS * STAMPS)

struct job {
    pthread_t thread;
    const struct stamp_issuer *issuer;
    unsigned number;
    enum stamp_err rc;
    struct stamp_issued issued[STAMPS];
};

static struct desk desk;

static int setup(void **state)
{
    (void)state;
    desk_open(&desk, STAMP_DEVELOPMENT);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    desk_close(&desk);
    return 0;
}

static void *run(void *arg)
{
    struct job *job = arg;
    struct stamp_issue_worker *w = NULL;

    job->rc = stamp_issue_worker_new(job->issuer, &w, NULL);
    for (unsigned i = 0; i < STAMPS && job->rc == STAMP_OK; i++) {
        char serial[STAMP_SERIAL_SIZE];
        struct stamp_issue_subject subject = {.serial = serial, .at = 1764000000};

        (void)snprintf(serial, sizeof serial, "SN-%u-%03u", job->number, i);
        subject.certificate_serial[0] = 1;
        subject.certificate_serial[14] = (uint8_t)job->number;
        subject.certificate_serial[15] = (uint8_t)i;
        job->rc = stamp_issue_one(w, &subject, &job->issued[i], NULL);
    }
    stamp_issue_worker_free(&w);
    return NULL;
}

static struct job *issue_in_threads(void)
{
    struct job *jobs = calloc(WORKERS, sizeof *jobs);

    assert_non_null(jobs);
    for (unsigned i = 0; i < WORKERS; i++) {
        jobs[i].issuer = desk.issuer;
        jobs[i].number = i;
        assert_int_equal(pthread_create(&jobs[i].thread, NULL, run, &jobs[i]), 0);
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        assert_int_equal(pthread_join(jobs[i].thread, NULL), 0);
        assert_int_equal(jobs[i].rc, STAMP_OK);
    }
    return jobs;
}

/* The body is what the codec makes of the same contents, and verify finds no fault. */
static void stamps_are_whole_and_authentic(void **state)
{
    struct job *jobs = issue_in_threads();

    (void)state;
    for (unsigned i = 0; i < ALL; i++) {
        const struct stamp_issued *issued = &jobs[i / STAMPS].issued[i % STAMPS];
        struct stamp_slice body = {issued->body, issued->body_len};
        STAMP_BUFFER_AUTO image = {NULL, 0};
        static uint8_t again[STAMP_MAX_LEN];
        struct stamp s;
        size_t len = 0;

        assert_int_equal(stamp_decode(&s, body.p, body.len), STAMP_OK);
        assert_int_equal(stamp_encode(&s, again, sizeof again, &len), STAMP_OK);
        assert_int_equal(len, body.len);
        assert_memory_equal(again, body.p, len);
        assert_int_equal(s.certificates[0].len, issued->certificate_len);
        assert_memory_equal(s.certificates[0].p, issued->certificate,
                            issued->certificate_len);
        assert_ptr_equal(issued->pop.p, s.pop.p);
        assert_int_equal(issued->pop.len, s.pop.len);
        assert_int_equal(stamp_image_make(&desk_geometry, body, NULL, &image, NULL),
                         STAMP_OK);
        assert_int_equal(desk_verdict(&desk, image.p, image.len), 0);
    }
    free(jobs);
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, 32);
}

static void workers_share_no_key(void **state)
{
    struct job *jobs = issue_in_threads();
    static uint8_t keys[ALL][32];

    (void)state;
    for (unsigned i = 0; i < ALL; i++) {
        memcpy(keys[i], jobs[i / STAMPS].issued[i % STAMPS].fingerprint, 32);
    }
    qsort(keys, ALL, 32, compare);
    for (unsigned i = 1; i < ALL; i++) {
        assert_memory_not_equal(keys[i - 1], keys[i], 32);
    }
    free(jobs);
}

static void wiping_leaves_nothing(void **state)
{
    struct job *jobs = issue_in_threads();
    struct stamp_issued *issued = &jobs[0].issued[0];
    size_t len = issued->body_len;

    (void)state;
    assert_true(len > 0);
    stamp_issued_wipe(issued);
    for (size_t i = 0; i < len; i++) {
        assert_int_equal(issued->body[i], 0);
    }
    assert_int_equal(issued->body_len, 0);
    assert_null(issued->pop.p);
    free(jobs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stamps_are_whole_and_authentic),
        cmocka_unit_test(workers_share_no_key),
        cmocka_unit_test(wiping_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}

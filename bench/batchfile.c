/*
 * What a batch file costs a stamp: CPU microseconds for sealing, appending and syncing,
 * and for opening one again. No keys are made and nothing is signed but the manifest.
 *
 * usage: batchfile [COUNT [DIRECTORY]]     200000 stamps, in a directory under the
 * present one: where /tmp is memory, nothing is measured
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "host/batchfile.h"
#include "host/error.h"
#include "test/fixture/batch.h"

#define SYNC_EACH 10000u
#define FINDS 2000u
#define FIRST_SERIAL "SN-000000000"

/* Seconds of this process's CPU, kernel included, and of the clock on the wall. */
struct moment {
    double cpu;
    double wall;
};

static struct moment now(void)
{
    struct timespec wall;
    struct timespec cpu;

    (void)clock_gettime(CLOCK_MONOTONIC, &wall);
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    return (struct moment){(double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9,
                           (double)wall.tv_sec + (double)wall.tv_nsec / 1e9};
}

static void report(const char *what, struct moment start, uint32_t count)
{
    struct moment end = now();

    (void)printf("%-22s %8.2f us of CPU, %8.2f us on the clock, %9.0f/s\n", what,
                 (end.cpu - start.cpu) * 1e6 / count,
                 (end.wall - start.wall) * 1e6 / count, count / (end.wall - start.wall));
}

static void must(enum stamp_err rc, const struct stamp_error *err)
{
    if (rc != STAMP_OK) {
        stamp_error_print(err, "batchfile");
        exit(1);
    }
}

/* The fixture's stamp with this run's serial in it. */
static struct stamp_slice body_of(struct batch_fixture *f, const char *serial)
{
    static size_t at;
    struct stamp_slice body = {f->stamp.bytes, f->stamp.len};
    struct stamp stamp;

    if (at == 0) {
        must(stamp_decode(&stamp, body.p, body.len), NULL);
        at = (size_t)(stamp.serial.p - body.p);
    }
    memcpy(f->stamp.bytes + at, serial, strlen(serial));
    return body;
}

/* Sealing alone: what each worker adds to its key operations. */
static void measure_seal(struct batch_fixture *f, struct stamp_batch_writer *w,
                         uint32_t count)
{
    static uint8_t bytes[STAMP_BATCH_RECORD_MAX];
    STAMP_BATCH_SEALER_AUTO *sealer = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_slice body = body_of(f, FIRST_SERIAL);
    struct stamp_batch_record record;
    struct moment start;

    must(stamp_batch_sealer_new(w, &sealer, &err), &err);
    start = now();
    for (uint32_t i = 0; i < count; i++) {
        must(stamp_batch_seal(sealer, i, FIRST_SERIAL, body, bytes, sizeof bytes, &record,
                              &err),
             &err);
    }
    report("seal", start, count);
}

static void measure_write(struct batch_fixture *f, struct stamp_batch_writer *w,
                          uint32_t count)
{
    static uint8_t bytes[STAMP_BATCH_RECORD_MAX];
    STAMP_BATCH_SEALER_AUTO *sealer = NULL;
    struct stamp_batch_closing closing = batch_fixture_closing(f, count);
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_batch_record record;
    struct moment start;
    char serial[16];

    must(stamp_batch_sealer_new(w, &sealer, &err), &err);
    start = now();
    for (uint32_t i = 0; i < count; i++) {
        (void)snprintf(serial, sizeof serial, "SN-%09u", i);
        must(stamp_batch_seal(sealer, i, serial, body_of(f, serial), bytes, sizeof bytes,
                              &record, &err),
             &err);
        must(stamp_batch_append(w, bytes, &record, &err), &err);
        if (i % SYNC_EACH == SYNC_EACH - 1) {
            must(stamp_batch_sync(w, &err), &err);
        }
    }
    report("seal, append and sync", start, count);
    start = now();
    must(stamp_batch_finish(w, &closing, &err), &err);
    report("finish", start, count);
}

static void measure_read(struct batch_fixture *f, uint32_t count)
{
    static uint8_t body[STAMP_MAX_LEN];
    STAMP_BATCH_AUTO *b = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    struct moment start = now();
    size_t len;

    must(batch_fixture_open(f, &b, &err), &err);
    must(stamp_batch_unlock(b, f->station_key[0], &err), &err);
    report("open and unlock", start, 1);
    start = now();
    for (uint32_t i = 0; i < count; i++) {
        must(stamp_batch_get(b, i, body, &len, &err), &err);
    }
    report("get, one after another", start, count);
    start = now();
    for (uint32_t i = 0; i < FINDS; i++) {
        struct stamp_batch_entry entry;
        char serial[16];

        /* All over the file: a step that has no factor in common with its length. */
        (void)snprintf(serial, sizeof serial, "SN-%09u",
                       (uint32_t)((uint64_t)i * 2654435761u % count));
        must(stamp_batch_find(b, serial, &entry, &err), &err);
        must(stamp_batch_get(b, entry.index, body, &len, &err), &err);
    }
    report("find and get, anywhere", start, FINDS);
    stamp_batch_close(&b);
    must(batch_fixture_open(f, &b, &err), &err);
    start = now();
    must(stamp_batch_verify(b, &err), &err);
    report("verify, without a key", start, count);
}

int main(int argc, char **argv)
{
    uint32_t count = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 200000;
    struct batch_fixture *f = calloc(1, sizeof *f);
    struct fixture_options full = {.serial = FIRST_SERIAL};
    struct stamp_batch_writer *w = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_batch_setup setup;
    struct rusage usage;

    if (f == NULL || count == 0 || (argc > 2 && chdir(argv[2]) != 0)) {
        (void)fprintf(stderr, "usage: batchfile [COUNT [DIRECTORY]]\n");
        free(f);
        return 2;
    }
    batch_fixture_init(f, STAMP_PRODUCTION);
    (void)snprintf(f->path, sizeof f->path, "bench-%d.batch", (int)getpid());
    (void)snprintf(f->part, sizeof f->part, "%s" STAMP_BATCH_PART, f->path);
    fixture_birth(&f->pki, &full, &f->stamp);
    setup = batch_fixture_setup(f);
    (void)printf("%u stamps of %zu bytes\n", count, f->stamp.len);
    must(stamp_batch_writer_open(f->path, &setup, NULL, NULL, &w, &err), &err);
    measure_seal(f, w, count);
    measure_write(f, w, count);
    (void)printf("%-22s %8.1f bytes a stamp\n", "file",
                 (double)stamp_batch_writer_size(w) / count);
    stamp_batch_writer_free(&w);
    measure_read(f, count);
    (void)getrusage(RUSAGE_SELF, &usage);
    (void)printf("%-22s %8ld KiB\n", "memory at most", usage.ru_maxrss);
    batch_fixture_fini(f);
    free(f);
    return 0;
}

/*
 * How fast one process hands stamps out: durable on the books, opened, and as an image on
 * the disk, one after another and in groups as `stamp batch next -n` does. Beside it,
 * measured in the same run, what the disk lets through: waits for it, a second.
 *
 * usage: batch_next [COUNT [DIRECTORY]]    20000 stamps, in a directory under the present
 * one: where /tmp is memory, nothing is measured
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "host/batchbooks.h"
#include "host/error.h"
#include "host/file.h"
#include "host/files.h"
#include "host/imagefile.h"
#include "test/fixture/batch.h"

#define FIRST_SERIAL "SN-000000000"
#define GROUP_MAX 256u
#define WAITS 300u
#define ONE_BY_ONE 1000u

struct bench {
    struct batch_fixture f;
    struct stamp_batch *batch;
    struct stamp_books *books;
    char images[48];
    uint32_t handed; /* all before are on the books */
};

static double now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(enum stamp_err rc, const struct stamp_error *err)
{
    if (rc != STAMP_OK) {
        stamp_error_print(err, "batch_next");
        exit(1);
    }
}

static void report(const char *what, unsigned group, double seconds, uint32_t count,
                   double limit)
{
    (void)printf("%-28s %5u %10.0f/s %10.0f/s\n", what, group, count / seconds, limit);
}

/* What is appended and waited for, each 4 KiB. */
static double disk(void)
{
    static const char page[4096];
    char name[] = "bench-disk-XXXXXX";
    int fd = mkstemp(name);
    double start;

    if (fd < 0) {
        perror("batch_next");
        exit(1);
    }
    start = now();
    for (unsigned i = 0; i < WAITS; i++) {
        if (write(fd, page, sizeof page) != (ssize_t)sizeof page || fdatasync(fd) != 0) {
            perror("batch_next");
            exit(1);
        }
    }
    start = now() - start;
    (void)close(fd);
    (void)unlink(name);
    return WAITS / start;
}

static void write_batch(struct bench *b, uint32_t count)
{
    static uint8_t bytes[STAMP_BATCH_RECORD_MAX];
    struct fixture_options full = {.serial = FIRST_SERIAL};
    struct stamp_batch_setup setup = batch_fixture_setup(&b->f);
    struct stamp_batch_closing closing = batch_fixture_closing(&b->f, count);
    STAMP_BATCH_WRITER_AUTO *w = NULL;
    STAMP_BATCH_SEALER_AUTO *sealer = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_slice body;
    struct stamp_batch_record record;
    struct stamp stamp;
    char serial[16];

    fixture_birth(&b->f.pki, &full, &b->f.stamp);
    body.p = b->f.stamp.bytes;
    body.len = b->f.stamp.len;
    must(stamp_decode(&stamp, body.p, body.len), &err);
    must(stamp_batch_writer_open(b->f.path, &setup, NULL, NULL, &w, &err), &err);
    must(stamp_batch_sealer_new(w, &sealer, &err), &err);
    for (uint32_t i = 0; i < count; i++) {
        (void)snprintf(serial, sizeof serial, "SN-%09u", i % 1000000000u);
        memcpy(b->f.stamp.bytes + (stamp.serial.p - body.p), serial, 12);
        must(
            stamp_batch_seal(sealer, i, serial, body, bytes, sizeof bytes, &record, &err),
            &err);
        must(stamp_batch_append(w, bytes, &record, &err), &err);
    }
    must(stamp_batch_finish(w, &closing, &err), &err);
}

static void open_books(struct bench *b)
{
    struct stamp_error err = STAMP_ERROR_INIT;

    must(batch_fixture_open(&b->f, &b->batch, &err), &err);
    must(stamp_batch_unlock(b->batch, b->f.station_key[0], &err), &err);
    must(stamp_books_open(b->f.path, b->batch, true, &b->books, &err), &err);
}

/* Open one that was handed out; with `files`, write its image. */
static void open_one(struct bench *b, uint32_t index, struct stamp_files *files)
{
    static uint8_t body[STAMP_MAX_LEN];
    static const struct stamp_geometry g = {.birth_size = 8192,
                                            .bank_size = 4096,
                                            .erase_size = 4096,
                                            .program_size = 4,
                                            .erased = 0xFF};
    STAMP_BUFFER_AUTO image = {NULL, 0};
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_slice slice = {body, 0};
    char name[32];

    must(stamp_batch_get(b->batch, index, body, &slice.len, &err), &err);
    if (files == NULL) {
        return;
    }
    (void)snprintf(name, sizeof name, "%u.bin", index);
    must(stamp_imagefile_render(STAMP_IMAGE_PARTITION, &g, 0, slice, &image, &err), &err);
    must(stamp_files_add(files, name, image.p, image.len, STAMP_FILE_SECRET, &err), &err);
}

static void remove_images(struct bench *b)
{
    char name[96];

    for (uint32_t i = 0; i < b->handed; i++) {
        (void)snprintf(name, sizeof name, "%s/%u.bin", b->images, i);
        (void)unlink(name);
    }
}

/* Hand `count` out, `group` at a time. */
static void hand_out(struct bench *b, uint32_t count, uint32_t group, bool images,
                     double waits)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    uint32_t indices[GROUP_MAX];
    double start = now();

    for (uint32_t done = 0; done < count;) {
        struct stamp_files *files = NULL;
        size_t n = 0;

        if (images) {
            must(stamp_files_new(b->images, &files, &err), &err);
        }
        must(stamp_books_next(b->books, time(NULL), indices, group, &n, &err), &err);
        for (size_t i = 0; i < n; i++) {
            open_one(b, indices[i], files);
        }
        if (images) {
            must(stamp_files_commit(files, &err), &err);
        }
        stamp_files_free(&files);
        done += (uint32_t)n;
        b->handed += (uint32_t)n;
    }
    report(images ? "handed out, opened, image" : "handed out and opened", group,
           now() - start, count, waits * group);
    remove_images(b);
}

static void clean(struct bench *b)
{
    static const char *const suffix[] = {".books", ".books-wal", ".books-shm"};
    char name[96];

    stamp_books_free(&b->books);
    stamp_batch_close(&b->batch);
    for (size_t i = 0; i < sizeof suffix / sizeof *suffix; i++) {
        (void)snprintf(name, sizeof name, "%s%s", b->f.path, suffix[i]);
        (void)unlink(name);
    }
    (void)rmdir(b->images);
    batch_fixture_fini(&b->f);
}

int main(int argc, char **argv)
{
    static struct bench b;
    uint32_t count = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 20000;
    double waits;

    if (count < GROUP_MAX || (argc > 2 && chdir(argv[2]) != 0)) {
        (void)fprintf(stderr, "usage: batch_next [COUNT [DIRECTORY]]\n");
        return 2;
    }
    count -= count % GROUP_MAX;
    batch_fixture_init(&b.f, STAMP_PRODUCTION);
    (void)snprintf(b.f.path, sizeof b.f.path, "bench-%d.batch", (int)getpid());
    (void)snprintf(b.f.part, sizeof b.f.part, "%s" STAMP_BATCH_PART, b.f.path);
    (void)snprintf(b.images, sizeof b.images, "bench-%d.images", (int)getpid());
    if (mkdir(b.images, 0700) != 0) {
        perror("batch_next");
        return 1;
    }
    write_batch(&b, 2 * ONE_BY_ONE + 4 * count);
    open_books(&b);
    waits = disk();
    (void)printf("%-28s %5s %12s %12s\n", "one process, file key", "group", "stamps",
                 "disk's waits x group");
    hand_out(&b, ONE_BY_ONE, 1, false, waits);
    hand_out(&b, count, 64, false, waits);
    hand_out(&b, count, GROUP_MAX, false, waits);
    hand_out(&b, ONE_BY_ONE, 1, true, waits);
    hand_out(&b, count, 64, true, waits);
    hand_out(&b, count, GROUP_MAX, true, waits);
    clean(&b);
    return 0;
}

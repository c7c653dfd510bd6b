/*
 * A batch file for other programs to read, with all they need to check it:
 *
 *     batchfile_make DIRECTORY COUNT
 *
 * DIRECTORY/batch in two segments, root.pem, other.pem (a root that it has nothing to do
 * with), station-0.pem and .key, station-1.pem and .key, stamps/N: the bytes that went
 * in.
 */
#include <errno.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test/fixture/batch.h"

static void must(bool ok, const char *what)
{
    if (!ok) {
        (void)fprintf(stderr, "batchfile_make: cannot make '%s'\n", what);
        exit(1);
    }
}

static void write_certificate(const char *name, X509 *cert)
{
    FILE *file = fopen(name, "w");

    must(file != NULL && PEM_write_X509(file, cert) == 1 && fclose(file) == 0, name);
}

static void write_key(const char *name, EVP_PKEY *key)
{
    FILE *file = fopen(name, "w");

    must(file != NULL &&
             PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1 &&
             fclose(file) == 0,
         name);
}

static void write_people(struct batch_fixture *f)
{
    static struct fixture other;
    char name[32];

    fixture_init(&other, STAMP_PRODUCTION);
    write_certificate("root.pem", f->pki.root);
    write_certificate("other.pem", other.root);
    fixture_fini(&other);
    for (int i = 0; i < BATCH_STATIONS; i++) {
        (void)snprintf(name, sizeof name, "station-%d.pem", i);
        write_certificate(name, f->station[i]);
        (void)snprintf(name, sizeof name, "station-%d.key", i);
        write_key(name, f->station_key[i]);
    }
}

static void write_batch(struct batch_fixture *f, uint32_t count)
{
    const uint32_t ends[2] = {count / 3 + 1, count};
    struct stamp_batch_setup setup = batch_fixture_setup(f);
    struct stamp_batch_closing closing = batch_fixture_closing(f, count);
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_batch_writer *w = NULL;

    setup.volume = 7;
    for (int i = 0; i < 2; i++) {
        must(stamp_batch_writer_open("batch", &setup, NULL, NULL, &w, &err) == STAMP_OK,
             err.what);
        batch_fixture_append(f, w, ends[i]);
        if (i == 1) {
            must(stamp_batch_finish(w, &closing, &err) == STAMP_OK, err.what);
        } else {
            must(stamp_batch_sync(w, &err) == STAMP_OK, err.what);
        }
        stamp_batch_writer_free(&w);
    }
}

int main(int argc, char **argv)
{
    static struct batch_fixture f;
    unsigned long count = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;

    if (count < 3 || count > 100000) {
        (void)fprintf(stderr, "usage: batchfile_make DIRECTORY COUNT\n");
        return 2;
    }
    must(mkdir(argv[1], 0700) == 0 || errno == EEXIST, argv[1]);
    must(chdir(argv[1]) == 0 && mkdir("stamps", 0700) == 0, "stamps");
    batch_fixture_init(&f, STAMP_PRODUCTION);
    write_people(&f);
    write_batch(&f, (uint32_t)count);
    for (uint32_t i = 0; i < count; i++) {
        struct stamp_slice body = batch_fixture_body(&f, i);
        char name[32];

        (void)snprintf(name, sizeof name, "stamps/%u", i);
        batch_fixture_put(name, body.p, body.len);
    }
    batch_fixture_fini(&f);
    return 0;
}

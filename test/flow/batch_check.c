/*
 * What a batch must be once it is finished, however often its making was broken off:
 *
 *     batch_check WORKSPACE KEY BATCH... [-- FILE|DIRECTORY...]
 *
 * Each record opens; it is on the books, with its certificate; the sub-CA signed that,
 * and for the key in the record; no serial, key or certificate serial is there twice,
 * over all the batches. Then every byte of the files behind "--" is searched for the
 * private keys and proofs of possession that were found: as they are, in hexadecimal, in
 * base64. Prints how many stamps there are.
 */
#include <dirent.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/batchfile.h"
#include "host/key.h"
#include "host/keyfile.h"
#include "host/pki.h"
#include "host/registry_batch.h"
#include "host/workspace.h"

#define NEEDLE 12u /* bytes of each secret that are searched for */
#define SET_BITS 24u

static struct stamp_workspace *ws;
static uint8_t (*needles)[NEEDLE];
static size_t n_needles;
static size_t room;
static uint32_t *table; /* open addressing: index + 1 */
static size_t n_table;
static uint8_t seen[(size_t)1 << (SET_BITS - 3)]; /* what a needle begins with */

static void die(const char *what, const char *more)
{
    (void)fprintf(stderr, "batch_check: %s: %s\n", what, more);
    exit(1);
}

static void must(enum stamp_err rc, const struct stamp_error *err, const char *what)
{
    if (rc != STAMP_OK) {
        die(what, err->what);
    }
}

static uint32_t hash(const uint8_t *p)
{
    uint32_t h = 2166136261u;

    for (size_t i = 0; i < 8; i++) {
        h = (h ^ p[i]) * 16777619u;
    }
    return h;
}

static void add_needle(const uint8_t *p)
{
    if (n_needles == room) {
        room = room == 0 ? 4096 : room * 2;
        needles = realloc(needles, room * sizeof *needles);
        if (needles == NULL) {
            die("no memory", "");
        }
    }
    memcpy(needles[n_needles++], p, NEEDLE);
    uint32_t bit = hash(p) >> (32 - SET_BITS);
    seen[bit / 8] |= (uint8_t)(1u << bit % 8);
}

/* As it is, and as text; a key or a proof is longer than a needle. */
static void add_secret(const uint8_t *p, size_t len, bool text)
{
    char hex[2 * NEEDLE + 1];
    char upper[2 * NEEDLE + 1];
    unsigned char base64[64];

    if (len < NEEDLE) {
        die("a secret is too short to be searched for", "");
    }
    add_needle(p);
    if (text) {
        return;
    }
    for (size_t i = 0; i < NEEDLE; i++) {
        (void)snprintf(hex + 2 * i, 3, "%02x", p[i]);
        (void)snprintf(upper + 2 * i, 3, "%02X", p[i]);
    }
    (void)EVP_EncodeBlock(base64, p, 24);
    add_needle((const uint8_t *)hex);
    add_needle((const uint8_t *)upper);
    add_needle(base64);
}

/* ---- each once ---- */

struct once {
    uint8_t (*value)[32];
    size_t n;
    size_t room;
};

static void once_add(struct once *o, const void *p, size_t len)
{
    if (o->n == o->room) {
        o->room = o->room == 0 ? 4096 : o->room * 2;
        o->value = realloc(o->value, o->room * sizeof *o->value);
        if (o->value == NULL) {
            die("no memory", "");
        }
    }
    if (EVP_Digest(p, len, o->value[o->n++], NULL, EVP_sha256(), NULL) != 1) {
        die("no digest", "");
    }
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, 32);
}

static void once_check(struct once *o, const char *what)
{
    qsort(o->value, o->n, sizeof *o->value, compare);
    for (size_t i = 1; i < o->n; i++) {
        if (memcmp(o->value[i - 1], o->value[i], 32) == 0) {
            die("twice", what);
        }
    }
    free(o->value);
}

static struct once serials, keys, certificate_serials;

/* ---- records ---- */

static void check_certificate(const struct stamp *s, const char *serial)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    const unsigned char *der = s->certificates[0].p;
    X509 *cert = d2i_X509(NULL, &der, (long)s->certificates[0].len);
    EVP_PKEY *pair = NULL;
    char named[STAMP_SERIAL_SIZE];
    const ASN1_INTEGER *number;

    if (cert == NULL || X509_verify(cert, X509_get0_pubkey(ws->sub_ca)) != 1) {
        die("the certificate does not verify", serial);
    }
    must(stamp_key_from_scalar(s->key_private.p, &pair, &err), &err, serial);
    if (EVP_PKEY_eq(pair, X509_get0_pubkey(cert)) != 1) {
        die("the certificate is another key's", serial);
    }
    must(stamp_pki_serial(cert, named, sizeof named, &err), &err, serial);
    if (strcmp(named, serial) != 0) {
        die("the certificate is another serial's", serial);
    }
    number = X509_get0_serialNumber(cert);
    once_add(&certificate_serials, ASN1_STRING_get0_data(number),
             (size_t)ASN1_STRING_length(number));
    EVP_PKEY_free(pair);
    X509_free(cert);
}

static void check_books(const struct stamp *s, const char *serial)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_registry_row row;

    must(stamp_registry_find(ws->registry, serial, &row, &err), &err, serial);
    if (row.state != STAMP_REGISTRY_ISSUED ||
        row.certificate_len != s->certificates[0].len ||
        memcmp(row.certificate, s->certificates[0].p, row.certificate_len) != 0) {
        die("the books have it otherwise", serial);
    }
    stamp_registry_row_fini(&row);
}

static uint32_t check_batch(const char *path, EVP_PKEY *key)
{
    static uint8_t body[STAMP_MAX_LEN];
    struct stamp_error err = STAMP_ERROR_INIT;
    struct stamp_batch *b = NULL;
    const struct stamp_batch_manifest *m;
    struct stamp_registry_batch batch;
    uint32_t count;

    must(stamp_batch_open(path, &ws->root, 1, &b, &err), &err, path);
    must(stamp_batch_unlock(b, key, &err), &err, path);
    must(stamp_batch_verify(b, &err), &err, path);
    m = stamp_batch_manifest(b);
    must(stamp_registry_batch_find_uid(ws->registry, m->id, &batch, &err), &err, path);
    if (batch.state != STAMP_REGISTRY_BATCH_MADE) {
        die("the books do not call it made", path);
    }
    count = m->count;
    for (uint32_t i = 0; i < count; i++) {
        char serial[STAMP_SERIAL_SIZE];
        struct stamp s;
        size_t len = 0;

        must(stamp_batch_get(b, i, body, &len, &err), &err, path);
        if (stamp_decode(&s, body, len) != STAMP_OK) {
            die("no stamp", path);
        }
        (void)snprintf(serial, sizeof serial, "%.*s", (int)s.serial.len,
                       (const char *)s.serial.p);
        once_add(&serials, serial, strlen(serial));
        once_add(&keys, s.key_private.p, s.key_private.len);
        check_certificate(&s, serial);
        check_books(&s, serial);
        add_secret(s.key_private.p, s.key_private.len, false);
        if (s.provisioning_private.len > 0) {
            once_add(&keys, s.provisioning_private.p, s.provisioning_private.len);
            add_secret(s.provisioning_private.p, s.provisioning_private.len, false);
        }
        if (s.pop.len > 0) {
            add_secret(s.pop.p, s.pop.len, true);
        }
    }
    stamp_batch_close(&b);
    return count;
}

/* ---- searching ---- */

static void make_table(void)
{
    for (n_table = 1024; n_table < 4 * n_needles; n_table *= 2) {
    }
    table = calloc(n_table, sizeof *table);
    if (table == NULL) {
        die("no memory", "");
    }
    for (size_t i = 0; i < n_needles; i++) {
        size_t at = hash(needles[i]) & (n_table - 1);

        while (table[at] != 0) {
            at = (at + 1) & (n_table - 1);
        }
        table[at] = (uint32_t)i + 1;
    }
}

static void search_bytes(const uint8_t *p, size_t len, const char *path)
{
    for (size_t i = 0; i + NEEDLE <= len; i++) {
        uint32_t h = hash(p + i);
        uint32_t bit = h >> (32 - SET_BITS);

        if ((seen[bit / 8] >> bit % 8 & 1u) == 0) {
            continue;
        }
        for (size_t at = h & (n_table - 1); table[at] != 0;
             at = (at + 1) & (n_table - 1)) {
            if (memcmp(needles[table[at] - 1], p + i, NEEDLE) == 0) {
                die("a secret is in the clear in", path);
            }
        }
    }
}

static void search(const char *path)
{
    struct stat st;

    if (lstat(path, &st) != 0) {
        return; /* a database removes its files as it likes */
    }
    if (S_ISDIR(st.st_mode)) {
        DIR *dir = opendir(path);
        const struct dirent *entry;

        while (dir != NULL && (entry = readdir(dir)) != NULL) {
            char sub[PATH_MAX];

            if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
                (void)snprintf(sub, sizeof sub, "%s/%s", path, entry->d_name);
                search(sub);
            }
        }
        if (dir != NULL) {
            (void)closedir(dir);
        }
    } else if (S_ISREG(st.st_mode) && st.st_size > 0) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        void *p = fd < 0 ? MAP_FAILED
                         : mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);

        if (p == MAP_FAILED) {
            die("cannot read", path);
        }
        search_bytes(p, (size_t)st.st_size, path);
        (void)munmap(p, (size_t)st.st_size);
        (void)close(fd);
    }
}

int main(int argc, char **argv)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    EVP_PKEY *key = NULL;
    uint64_t count = 0;
    int i = 3;

    if (argc < 4) {
        die("usage", "batch_check WORKSPACE KEY BATCH... [-- FILE...]");
    }
    must(stamp_workspace_open(argv[1], &ws, &err), &err, argv[1]);
    must(stamp_keyfile_read(argv[2], NULL, &key, &err), &err, argv[2]);
    for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
        count += check_batch(argv[i], key);
    }
    once_check(&serials, "a serial");
    once_check(&keys, "a key");
    once_check(&certificate_serials, "a certificate serial");
    make_table();
    for (i++; i < argc; i++) {
        search(argv[i]);
    }
    (void)printf("%llu\n", (unsigned long long)count);
    EVP_PKEY_free(key);
    stamp_workspace_close(&ws);
    free(needles);
    free(table);
    return 0;
}

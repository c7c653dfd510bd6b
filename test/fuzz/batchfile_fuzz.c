/*
 * Any bytes as a batch file. Digests would stop all of them at the door, so they are put
 * right first: what is tried here is what a reader does with a file whose digests hold.
 *
 * The first byte says what the rest is: 0 a manifest's content, 1 what follows the header
 * of a FILE.part, 2 a finished file: length of the manifest's content (2 bytes, little
 * endian), the content, length of the index block (2 bytes), that block, all other
 * blocks.
 */
#include <openssl/sha.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/bytes.h"
#include "host/batchfile_own.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool ok)
{
    if (!ok) {
        abort();
    }
}

static void digest_of(const uint8_t *block, size_t size, uint8_t out[32])
{
    EVP_MD_CTX *md = stampi_digest_new();

    must(md != NULL && stampi_block_digest(md, block, size - STAMPI_CHECK_SIZE, out));
    EVP_MD_CTX_free(md);
}

/* Size of the block at `at`, 0 where there is none. */
static size_t block_at(const uint8_t *file, size_t len, size_t at)
{
    uint32_t payload;

    if (at > len || len - at <= STAMPI_FRAME_SIZE) {
        return 0;
    }
    payload = stamp_get_u32(file + at + 4);
    return payload == 0 || payload > len - at - STAMPI_FRAME_SIZE
               ? 0
               : payload + STAMPI_FRAME_SIZE;
}

static void put_check(uint8_t *file, size_t at, size_t size)
{
    uint8_t digest[32];

    digest_of(file + at, size, digest);
    memcpy(file + at + size - STAMPI_CHECK_SIZE, digest, STAMPI_CHECK_SIZE);
}

/* The digest of what an offset in a table points to, where it points to anything. */
static void put_digest(const uint8_t *file, size_t len, const uint8_t *offset,
                       uint8_t *digest)
{
    uint64_t at = stampi_get_u64(offset);
    size_t size = at < len ? block_at(file, len, (size_t)at) : 0;

    if (size > 0) {
        digest_of(file + at, size, digest);
    }
}

/* Records' digests in the pages that stand one after the other from `from` on. */
static void repair_pages(uint8_t *file, size_t len, size_t from)
{
    size_t size;

    for (size_t at = from; (size = block_at(file, len, at)) > 0; at += size) {
        size_t p = at + STAMPI_HEAD_SIZE;
        size_t end = at + size - STAMPI_CHECK_SIZE;

        while (memcmp(file + at, STAMPI_MAGIC_PAGE, 4) == 0 &&
               end - p > STAMPI_ENTRY_FIXED) {
            size_t serial = file[p + STAMPI_ENTRY_FIXED - 1];

            put_digest(file, len, file + p, file + p + 8);
            p += STAMPI_ENTRY_FIXED;
            p += serial < end - p ? serial : end - p;
        }
        put_check(file, at, size);
    }
}

static void try_manifest(const uint8_t *data, size_t len)
{
    static uint8_t again[STAMPI_CONTENT_MAX];
    struct stamp_slice in = {data, len};
    struct stamp_batch_manifest m;
    size_t again_len = 0;

    if (stampi_manifest_decode(&m, in) != STAMP_OK) {
        return;
    }
    /* There is one encoding of each manifest. The bundle in it is taken as it is. */
    must(stampi_manifest_encode(&m, again, sizeof again, &again_len) == STAMP_OK);
    must(again_len == len && memcmp(again, data, len) == 0);
}

static int memory_file(const uint8_t *bytes, size_t len)
{
    int fd = memfd_create("batch", MFD_CLOEXEC);

    must(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
    return fd;
}

/* Every second record is kept. */
static bool found(void *ctx, const struct stamp_batch_entry *entry)
{
    uint32_t *count = ctx;

    must(entry->index == *count && strlen(entry->serial) >= 1 &&
         strlen(entry->serial) <= STAMP_SERIAL_MAX);
    (*count)++;
    return *count < 600;
}

static void try_part(const uint8_t *data, size_t len)
{
    struct stamp_batch_writer *w = calloc(1, sizeof *w);
    size_t size = STAMPI_HEADER_SIZE + len;
    uint8_t *file = calloc(1, size);
    uint32_t count = 0;
    uint64_t end = 0;

    must(w != NULL && file != NULL);
    memcpy(file + STAMPI_HEADER_SIZE, data, len);
    repair_pages(file, size, STAMPI_HEADER_SIZE);
    w->fd = memory_file(file, size);
    w->ordered = true;
    w->md = stampi_digest_new();
    must(stamp_merkle_init(&w->tree, NULL) == STAMP_OK);
    must(stampi_writer_scan(w, size, found, &count, &end, NULL) == STAMP_OK);
    must(end >= STAMPI_HEADER_SIZE && end <= size);
    must(w->tree.count <= count && count <= w->tree.count + 1);
    must((w->tree.count == 0) == (w->n_segments == 0));
    stamp_batch_writer_free(&w);
    free(file);
}

/* Header, the blocks, the index and an end around a manifest that nobody signed. */
static struct stamp_batch *assemble(struct stamp_slice content, struct stamp_slice index,
                                    struct stamp_slice blocks)
{
    size_t index_at = STAMPI_HEADER_SIZE + blocks.len;
    size_t manifest_at = index_at + index.len;
    size_t size = manifest_at + STAMPI_END_SIZE;
    uint8_t *file = calloc(1, size);
    EVP_MD_CTX *md = stampi_digest_new();
    struct stamp_batch_manifest m;
    struct stamp_batch *b = NULL;
    uint8_t digest[32];
    uint8_t *p;

    must(file != NULL && md != NULL);
    memcpy(file + STAMPI_HEADER_SIZE, blocks.p, blocks.len);
    memcpy(file + index_at, index.p, index.len);
    repair_pages(file, index_at, STAMPI_HEADER_SIZE);
    p = file + index_at;
    if (index.len > 0 && block_at(file, manifest_at, index_at) == index.len) {
        uint32_t pages = stamp_get_u32(p + 8);
        size_t at = STAMPI_HEAD_SIZE;

        for (; at + STAMPI_SEGMENT_REF_SIZE + STAMPI_CHECK_SIZE <= index.len;
             pages -= pages > 0) {
            put_digest(file, index_at, p + at, p + at + (pages > 0 ? 8 : 12));
            at += pages > 0 ? STAMPI_PAGE_REF_SIZE : STAMPI_SEGMENT_REF_SIZE;
        }
        put_check(file, index_at, index.len);
    }
    stampi_put_u64(file + manifest_at + STAMPI_HEAD_SIZE, index_at);
    stampi_put_u64(file + manifest_at + STAMPI_HEAD_SIZE + 8, manifest_at);
    must(stampi_block_close(md, file + manifest_at, STAMPI_MAGIC_END, STAMPI_END_LEN,
                            STAMPI_VERSION, 0, digest));
    must(stampi_manifest_decode(&m, content) == STAMP_OK);
    must(stampi_recipients_digest(md, m.recipients, m.n_recipients, digest) &&
         stampi_header_make(md, m.id, m.volume, digest, m.profile_digest, file));
    if (stampi_batch_new("fuzz", memory_file(file, size), &b, NULL) == STAMP_OK) {
        size_t len = 0;

        if (index.len > STAMPI_FRAME_SIZE) {
            digest_of(file + index_at, index.len, m.index_digest);
        }
        b->content = OPENSSL_malloc(STAMPI_CONTENT_MAX);
        must(b->content != NULL &&
             stampi_manifest_encode(&m, b->content, STAMPI_CONTENT_MAX, &len) ==
                 STAMP_OK);
        if (stampi_batch_attach(b, len, NULL) != STAMP_OK) {
            stamp_batch_close(&b);
        }
    }
    EVP_MD_CTX_free(md);
    free(file);
    return b;
}

/* A key that opens nothing, for every segment: records come as far as their tag. */
static void unlock(struct stamp_batch *b)
{
    static const uint8_t content[STAMPI_KEY_SIZE];

    b->key = EVP_PKEY_new();
    must(b->key != NULL);
    for (uint32_t i = 0; i < b->n_segments; i++) {
        must(stampi_segment_key(b->manifest.id, b->manifest.volume, i, content,
                                &b->segment_keys[i], NULL) == STAMP_OK);
    }
}

static void try_file(const uint8_t *data, size_t len)
{
    static uint8_t body[STAMP_MAX_LEN];
    struct stamp_slice part[2];
    struct stamp_slice rest = {data, len};
    struct stamp_batch_manifest m;
    struct stamp_batch_entry entry;
    struct stamp_batch *b;
    size_t body_len;

    for (int i = 0; i < 2; i++) {
        size_t n;

        if (rest.len < 2) {
            return;
        }
        n = (size_t)(rest.p[0] | rest.p[1] << 8);
        if (n > rest.len - 2) {
            return;
        }
        part[i].p = rest.p + 2;
        part[i].len = n;
        rest.p += n + 2;
        rest.len -= n + 2;
    }
    if (stampi_manifest_decode(&m, part[0]) != STAMP_OK) {
        return;
    }
    b = assemble(part[0], part[1], rest);
    if (b == NULL) {
        return;
    }
    if (b->n_segments <= 64) {
        unlock(b);
    }
    for (uint32_t i = 0; i < b->manifest.count && i < 8; i++) {
        if (stamp_batch_entry(b, i, &entry, NULL) == STAMP_OK) {
            must(entry.index == i && entry.serial[0] != '\0');
        }
        must(b->key == NULL || stamp_batch_get(b, i, body, &body_len, NULL) != STAMP_OK);
    }
    if (b->manifest.count < 100000 &&
        stamp_batch_find(b, "SN-000001", &entry, NULL) == STAMP_OK) {
        must(strcmp(entry.serial, "SN-000001") == 0);
    }
    must(stamp_batch_verify(b, NULL) != STAMP_OK || b->key == NULL);
    stamp_batch_close(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0 || len > 1u << 18) {
        return 0;
    }
    switch (data[0]) {
    case 0:
        try_manifest(data + 1, len - 1);
        break;
    case 1:
        try_part(data + 1, len - 1);
        break;
    default:
        try_file(data + 1, len - 1);
        break;
    }
    return 0;
}

/* What the files of the stored tree share. */
#ifndef HOST_REGISTRY_LOG_OWN_H
#define HOST_REGISTRY_LOG_OWN_H

#include "host/registry_log.h"

/** What a check finds: told, up to a hundred, and counted. */
struct stampi_findings {
    stamp_log_wrong wrong;
    void *ctx;
    uint64_t n;
};
void stampi_tell(struct stampi_findings *f, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** What is kept of a leaf whose content was dropped: a byte string, which no entry is, of
 * 16 bytes that the leaf which says so has as its number. */
#define STAMPI_DROP_ID 16u
#define STAMPI_DROPPED_SIZE (STAMPI_DROP_ID + 1u)
void stampi_dropped_mark(const uint8_t id[STAMPI_DROP_ID],
                         uint8_t out[STAMPI_DROPPED_SIZE]);

/** The number of what is over all that was dropped: SPEC 18-12. */
STAMP_MUST_USE bool stampi_dropped_add(EVP_MD_CTX *md, uint64_t index,
                                       const uint8_t hash[STAMP_MERKLE_SIZE]);

/** What the log key signs of it, with STAMP_LABEL_LOG_DROP. */
#define STAMPI_DROP_SIGNED (STAMPI_DROP_ID + 32u)
void stampi_drop_signed(const uint8_t id[STAMPI_DROP_ID], const uint8_t digest[32],
                        uint8_t out[STAMPI_DROP_SIGNED]);

/** In a transaction that has leaves to write: they are written, and all that waits is
 * taken into the tree. */
STAMP_MUST_USE enum stamp_err stampi_log_grow_now(struct stamp_registry *r,
                                                  struct stamp_error *err);

#define STAMPI_TILE_BITS 8u
#define STAMPI_TILE_MAX 256u  /* hashes */
#define STAMPI_TILE_LEVELS 8u /* up to 2^64 leaves */
#define STAMPI_TILE_BYTES (STAMPI_TILE_MAX * STAMP_MERKLE_SIZE)

struct stampi_tile {
    uint64_t n; /* its number in its level */
    uint32_t count;
    bool changed;
    uint8_t hash[STAMPI_TILE_MAX][STAMP_MERKLE_SIZE];
};

/** The right edge of a tree: the tiles that are not whole. */
struct stampi_edge {
    EVP_MD_CTX *md;
    uint64_t size;
    /* A tile that has become whole, or whose time has come. */
    enum stamp_err (*keep)(void *ctx, unsigned level, const struct stampi_tile *t,
                           struct stamp_error *err);
    void *ctx;
    struct stampi_tile tile[STAMPI_TILE_LEVELS];
};

/** One more leaf. */
STAMP_MUST_USE enum stamp_err stampi_edge_add(struct stampi_edge *e,
                                              const uint8_t leaf[STAMP_MERKLE_SIZE],
                                              struct stamp_error *err);
/** Keep what is not whole, but has changed. */
STAMP_MUST_USE enum stamp_err stampi_edge_keep(struct stampi_edge *e,
                                               struct stamp_error *err);

/** The root over 2^n hashes side by side, which are overwritten. */
STAMP_MUST_USE bool stampi_fold(EVP_MD_CTX *md, uint8_t (*hash)[STAMP_MERKLE_SIZE],
                                uint32_t count);

/** Read a tile; count 0 where there is none. */
STAMP_MUST_USE enum stamp_err stampi_tile_read(struct stamp_registry *r, unsigned level,
                                               uint64_t n, struct stampi_tile *out,
                                               struct stamp_error *err);

#endif

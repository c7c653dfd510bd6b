/*
 * The POSIX port: the flash in a file, the root key in another. For tests, for desks, and
 * for devices with Linux, where the file should be on a file system that keeps what
 * fsync() wrote.
 *
 * The file behaves like NOR flash: erase sets a sector to the erased value, programming
 * only moves bits away from it, and a unit that is not erased is refused. It is held with
 * an exclusive lock (flock) while open.
 */
#ifndef DEVICE_PORT_POSIX_POSIX_H
#define DEVICE_PORT_POSIX_POSIX_H

#include <stdbool.h>
#include <stdint.h>

#include "device/port.h"

struct stamp_posix_config {
    const char *flash_file; /* made, erased, where it is missing; 0600 */
    uint32_t flash_off;     /* where the partition begins in it */

    /* The 32-byte root key, 0600, made at random where it is missing. NULL = no
     * encryption. */
    const char *root_key_file;

    /* What a chip has beside its flash. The number in it, 1..32 bytes; 0 = none. */
    uint8_t chip_id[STAMP_CHIP_ID_MAX];
    size_t chip_id_len;
    const uint8_t *owner_key_hash; /* 32 bytes, borrowed; NULL = none is pinned */
    const char *fuse_file; /* one byte of fuses, which only ever burn: write protection,
                              encryption, debug off; made where it is missing, 0600.
                              NULL = the lock mark is all */

    /* Geometry; zero takes the default. */
    uint32_t birth_size;   /* 8192 */
    uint32_t bank_size;    /* 8192 */
    uint32_t erase_size;   /* 4096 */
    uint16_t program_size; /* 8 */
    bool erased_zero;      /* the erased value is 0x00, not 0xFF */
};

/* Treat as opaque but for `port`. */
struct stamp_posix {
    struct stamp_port port; /* for stamp_device_open() */
    int fd;
    uint32_t flash_off;
    bool locked;
    bool restart; /* was asked for: whoever feeds the agent opens anew */
    uint8_t chip_id[STAMP_CHIP_ID_MAX];
    size_t chip_id_len;
    const char *fuse_file;
    uint8_t root_key[32];
    uint8_t work[4096 + STAMP_WORK_EXTRA];
};

/**
 * Open the files and fill `p->port`. A flash file that is there must hold the whole
 * partition.
 *
 * @param p  must stay where it is while open; wiped and closed by stamp_posix_close()
 * @retval STAMP_OK
 * @retval STAMP_E_RANGE  impossible geometry, or the file is shorter than the partition
 * @retval STAMP_E_BUSY   another process has the file
 * @retval STAMP_E_FLASH  cannot open, make or read a file; errno says why
 * After an error there is nothing to close.
 */
STAMP_MUST_USE enum stamp_err stamp_posix_open(struct stamp_posix *p,
                                               const struct stamp_posix_config *config);

void stamp_posix_close(struct stamp_posix *p);

#endif

/* What `stamp flash` puts a stamp on, and how: shared by its two sources of stamps. */
#ifndef CLI_FLASH_H
#define CLI_FLASH_H

#include "cli/batch_station.h"
#include "cli/cli.h"

/** An emulated board's flash file, or somebody else's tool. */
struct flash_target {
    const char *board; /* NULL = `exec` */
    const char *flash_file;
    const char *exec;
    int64_t offset; /* for `exec`; -1 = `partition`'s, else the profile's */
    bool replace;
    const char *workspace;
    const struct stamp_secret *root_key;             /* NULL = none */
    const struct stamp_profile_partition *partition; /* NULL = not known */
};

/**
 * Put the stamp there.
 *
 * @param unchanged  true where it was there already
 * On failure `err` says what is known of the flash.
 */
STAMP_MUST_USE enum stamp_err flash_put(const struct flash_target *t,
                                        const struct stamp_image *img, bool *unchanged,
                                        struct stamp_error *err);

/** "the device", or the board's name. */
const char *flash_name(const struct flash_target *t);

/** `stamp flash --batch`. */
struct flash_batch {
    struct flash_target target;
    struct batch_station_args station; /* its `file` NULL = not from a batch */
    const char *again; /* a serial that is in doubt; NULL = the next one */
    const char *chip;
    const char *port; /* NULL = no live proof */
    unsigned wait_s;  /* how long the device may take to answer */
};

int flash_from_batch(struct flash_batch *a);

#endif

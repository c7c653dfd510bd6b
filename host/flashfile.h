/*
 * Boards whose flash is a file (emulated ones): put a partition where it belongs, change
 * nothing else, read back.
 */
#ifndef HOST_FLASHFILE_H
#define HOST_FLASHFILE_H

#include "host/image.h"

/** A board that `stamp flash --board` knows. */
struct stamp_board {
    const char *name;
    struct stamp_geometry geometry;
    uint32_t offset;   /* of the partition in flash */
    size_t flash_size; /* bytes of the whole flash file */
};

/** NULL where there is none of that name. */
const struct stamp_board *stamp_board_find(const char *name);

/** Names of all boards, ", " between them. */
void stamp_board_names(char *out, size_t size);

/**
 * Put an image on the board. A flash file that is not there is made, erased, mode 0600.
 *
 * What is on the board already decides: nothing or a torn stamp is overwritten; the very
 * same birth region is left as it is, and so are its banks; another stamp, or banks
 * without one, only with `replace`; a locked stamp or one of a newer format never.
 *
 * @param image      bytes of the partition in the board's geometry
 * @param unchanged  set where the stamp was there already
 * @retval STAMP_E_EXISTS   another stamp is there
 * @retval STAMP_E_LOCKED   it is locked
 * @retval STAMP_E_VERSION  it is of a newer format
 * @retval STAMP_E_BUSY     a running board has the file open
 * @retval STAMP_E_RANGE    the file is not of the board's size
 * @retval STAMP_E_FLASH    what was read back is not what was written
 * Up to STAMP_E_RANGE nothing was changed. Power loss: until the last header is written
 * the birth region counts as torn.
 */
STAMP_MUST_USE enum stamp_err stamp_flashfile_put(const struct stamp_board *board,
                                                  const char *path,
                                                  const struct stamp_buffer *image,
                                                  bool replace, bool *unchanged,
                                                  struct stamp_error *err);

#endif

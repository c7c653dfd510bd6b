/*
 * Whole files, written so that a reader sees the old content or the new, never a part of
 * it.
 *
 * A write goes to a temporary file in the same directory, is forced to the disk, then
 * takes the name. On any failure (a full disk too) the temporary file is removed and what
 * was there before is untouched. Modes are set exactly, whatever the umask; the file
 * never has a wider one, not even for a moment. A power cut or kill -9 can leave a file
 * named ".NAME.XXXXXXXX.tmp", which has the same mode.
 */
#ifndef HOST_FILE_H
#define HOST_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/stamp.h"
#include "host/error.h"
#include "host/secret.h"

/** Modes of stamp_file_write(): for everybody to read, and for files that hold a secret.
 */
#define STAMP_FILE_PUBLIC ((mode_t)0644)
#define STAMP_FILE_SECRET ((mode_t)0600)

/**
 * Write `len` bytes to `path`, durable before return.
 *
 * @param mode       exact permission bits of the file
 * @param overwrite  replace a regular file of that name; false: refuse it
 * @retval STAMP_E_EXISTS  the file is there and `overwrite` is false
 * @retval STAMP_E_IO      not a regular file, or the system refused; native = errno
 * On failure nothing was changed, and the error says so.
 */
STAMP_MUST_USE enum stamp_err stamp_file_write(const char *path, const void *bytes,
                                               size_t len, mode_t mode, bool overwrite,
                                               struct stamp_error *err);

/**
 * Read the whole of `path`.
 *
 * @param max  most bytes taken
 * @param buf  the bytes and a NUL that is not counted; the caller frees them
 * @retval STAMP_E_SPACE  longer than `max`
 * @retval STAMP_E_IO     cannot be opened or read; native = errno
 * On failure `*buf` is NULL and `*len` 0.
 */
STAMP_MUST_USE enum stamp_err stamp_file_read(const char *path, size_t max, uint8_t **buf,
                                              size_t *len, struct stamp_error *err);

/** A file that is not empty, as it lies on the disk; end it with stamp_file_unmap().
 * STAMP_E_IO: it cannot be read, or is empty. */
STAMP_MUST_USE enum stamp_err stamp_file_map(const char *path, struct stamp_slice *out,
                                             struct stamp_error *err);
void stamp_file_unmap(struct stamp_slice *file);

/**
 * Read the whole of `path` into a secret; no copy is left in memory. A file that its
 * group or others may read or write is refused (STAMP_E_IO, native EACCES): what it holds
 * is no secret.
 */
STAMP_MUST_USE enum stamp_err stamp_file_read_secret(const char *path, size_t max,
                                                     struct stamp_secret **out,
                                                     struct stamp_error *err);

#endif

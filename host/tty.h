/*
 * A serial port to a device: a real one, or the pty of an emulator. Raw, 115200 baud,
 * 8N1, no flow control; held alone, so that two commands never mix their frames.
 */
#ifndef HOST_TTY_H
#define HOST_TTY_H

#include <stddef.h>
#include <stdint.h>

#include "host/error.h"

struct stamp_tty;

/**
 * Open and set up.
 *
 * @retval STAMP_E_IO    not there, no permission, or no terminal; native = errno
 * @retval STAMP_E_BUSY  another program of ours has it
 */
STAMP_MUST_USE enum stamp_err stamp_tty_open(struct stamp_tty **out, const char *path,
                                             struct stamp_error *err);

/** The path it was opened with. */
const char *stamp_tty_path(const struct stamp_tty *tty);

/** Write all of it, or STAMP_E_TIMEOUT after `timeout_ms`, or STAMP_E_IO. */
STAMP_MUST_USE enum stamp_err stamp_tty_write(struct stamp_tty *tty, const void *p,
                                              size_t len, int timeout_ms,
                                              struct stamp_error *err);

/**
 * Read what there is, waiting for the first byte at most `timeout_ms`.
 *
 * @param len  bytes read; 0 when the time is over, which is no error
 * @retval STAMP_E_IO  the port has gone
 */
STAMP_MUST_USE enum stamp_err stamp_tty_read(struct stamp_tty *tty, void *buf,
                                             size_t size, int timeout_ms, size_t *len,
                                             struct stamp_error *err);

void stamp_tty_free(struct stamp_tty **p);

#define STAMP_TTY_AUTO __attribute__((cleanup(stamp_tty_free)))

#endif

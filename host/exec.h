/*
 * Somebody else's flashing tool, run on an image: 'esptool.py write_flash {offset}
 * {image}'.
 */
#ifndef HOST_EXEC_H
#define HOST_EXEC_H

#include "host/image.h"

struct stamp_exec {
    const char *command;
    const char *port; /* for {port}; NULL = none */
    uint32_t offset;  /* of the partition in flash; given as 0x... */
    bool among;       /* other threads run: signals are left to who handles them */
};

/**
 * Run a command of /bin/sh with {image}, {offset}, {size} and {port} replaced, each
 * quoted for the shell. The image is a file of mode 0600 in a directory of its own, which
 * is gone afterwards, also where the command fails or an interrupt ends it.
 *
 * @param status  exit status of the command, 128 + signal where one ended it
 * @retval STAMP_E_RANGE  the command has no {image}, or a {port} and there is none
 * @retval STAMP_E_IO     it could not be run
 */
STAMP_MUST_USE enum stamp_err stamp_exec_flash(const struct stamp_exec *how,
                                               const struct stamp_buffer *image,
                                               int *status, struct stamp_error *err);

#endif

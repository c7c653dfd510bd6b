/*
 * From a number to files and books: reserves serials, makes the stamps, writes their
 * files, books them as made. In this order, so that whatever breaks off in between, no
 * serial is given out twice and no stamp is told of that is not on the disk.
 */
#ifndef HOST_MAKE_H
#define HOST_MAKE_H

#include "host/imagefile.h"
#include "host/issue.h"

/** Called for each stamp when its file is durable and booked. */
typedef void (*stamp_made)(void *ctx, const char *serial, const char *file);

struct stamp_make {
    size_t n;           /* how many; 1 with `serial` */
    const char *serial; /* NULL = from the profile's pattern */
    enum stamp_image_format format;
    const char *out; /* a file, or with n > 1 a directory; NULL = the workspace's */
    stamp_made made;
    void *ctx;
};

/**
 * Make stamps.
 *
 * @param done  how many were made; those stay, whatever comes after them
 * On failure, the others' serials are scrapped and no file of them is left; the error
 * says so.
 */
STAMP_MUST_USE enum stamp_err stamp_make_run(struct stamp_workspace *ws,
                                             struct stamp_issuer *issuer,
                                             const struct stamp_make *what, size_t *done,
                                             struct stamp_error *err);

#endif

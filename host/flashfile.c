#include "host/flashfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/file.h"

static const struct stamp_board boards[] = {
    /* `qemu-system-riscv32 -M virt`: two 16-bit chips side by side; device/port */
    {.name = "qemu-riscv32",
     .geometry = {.birth_size = 256u << 10,
                  .bank_size = 256u << 10,
                  .erase_size = 256u << 10,
                  .program_size = 4,
                  .erased = 0xFF},
     .offset = 0,
     .flash_size = (size_t)32 << 20},
};

const struct stamp_board *stamp_board_find(const char *name)
{
    for (size_t i = 0; i < sizeof boards / sizeof *boards; i++) {
        if (strcmp(boards[i].name, name) == 0) {
            return &boards[i];
        }
    }
    return NULL;
}

void stamp_board_names(char *out, size_t size)
{
    size_t n = 0;

    out[0] = '\0';
    for (size_t i = 0; i < sizeof boards / sizeof *boards && n < size; i++) {
        n += (size_t)snprintf(out + n, size - n, "%s%s", i == 0 ? "" : ", ",
                              boards[i].name);
    }
}

static enum stamp_err failed(const char *verb, const char *path, struct stamp_error *err)
{
    int code = errno;

    return stamp_error_set(err, STAMP_E_IO, code, "cannot %s '%s': %s", verb, path,
                           strerror(code));
}

static bool read_at(int fd, uint8_t *p, size_t len, off_t at)
{
    while (len > 0) {
        ssize_t n = pread(fd, p, len, at);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            errno = n == 0 ? EIO : errno;
            return false;
        }
        p += n;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

static bool write_at(int fd, const uint8_t *p, size_t len, off_t at)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, p, len, at);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            errno = n == 0 ? ENOSPC : errno;
            return false;
        }
        p += n;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
    }
    *fd = -1;
}
#define FD_AUTO __attribute__((cleanup(close_fd))) int

static enum stamp_err make_erased(const struct stamp_board *board, const char *path,
                                  struct stamp_error *err)
{
    STAMP_BUFFER_AUTO all = {NULL, 0};
    enum stamp_err rc =
        stamp_buffer_new(&all, board->flash_size, board->geometry.erased, err);

    return rc == STAMP_OK
               ? stamp_file_write(path, all.p, all.len, STAMP_FILE_SECRET, false, err)
               : rc;
}

/* Open it, alone: QEMU holds locks on the flash of a running board. */
static enum stamp_err open_flash(const struct stamp_board *board, const char *path,
                                 int *fd, struct stamp_error *err)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct stat st;
    enum stamp_err rc = STAMP_OK;

    if (access(path, F_OK) != 0 && errno == ENOENT) {
        rc = make_erased(board, path, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    *fd = open(path, O_RDWR | O_CLOEXEC);
    if (*fd < 0 || fstat(*fd, &st) != 0) {
        return failed("open", path, err);
    }
    if (!S_ISREG(st.st_mode) || (size_t)st.st_size != board->flash_size) {
        return stamp_error_set(err, STAMP_E_RANGE, 0,
                               "'%s' is no flash file of '%s': it must have %zu bytes",
                               path, board->name, board->flash_size);
    }
    if (fcntl(*fd, F_OFD_SETLK, &lock) != 0) {
        if (errno != EAGAIN && errno != EACCES) {
            return failed("lock", path, err);
        }
        (void)stamp_error_set(err, STAMP_E_BUSY, errno, "a running board uses '%s'",
                              path);
        stamp_error_hint(err, "stop the board first");
        return STAMP_E_BUSY;
    }
    return STAMP_OK;
}

static struct stamp_flash mapped(const struct stamp_board *board, const uint8_t *bytes)
{
    struct stamp_flash flash = {.map = bytes,
                                .birth_size = board->geometry.birth_size,
                                .bank_size = board->geometry.bank_size,
                                .erase_size = board->geometry.erase_size,
                                .program_size = board->geometry.program_size,
                                .erased = board->geometry.erased};

    return flash;
}

/* The same birth region, but for a lock mark that was set since. */
static bool same_birth(const struct stamp_board *board, const struct stamp_buffer *a,
                       const struct stamp_buffer *b)
{
    return memcmp(a->p, b->p, STAMP_LOCK_OFFSET) == 0 &&
           memcmp(a->p + STAMP_BODY_OFFSET, b->p + STAMP_BODY_OFFSET,
                  board->geometry.birth_size - STAMP_BODY_OFFSET) == 0;
}

/* May what is there be overwritten? */
static enum stamp_err judge(const struct stamp_board *board,
                            const struct stamp_buffer *old,
                            const struct stamp_buffer *image, bool replace,
                            bool *unchanged, struct stamp_error *err)
{
    struct stamp_flash flash = mapped(board, old->p);
    struct stamp_part part;
    enum stamp_err rc = stamp_part_open(&part, &flash);
    bool locked = stamp_part_locked(&part);
    bool banks = part.region[STAMP_BANK_A].state >= STAMP_REGION_WHOLE ||
                 part.region[STAMP_BANK_B].state >= STAMP_REGION_WHOLE;

    if (rc == STAMP_OK && same_birth(board, old, image)) {
        *unchanged = true;
        return STAMP_OK;
    }
    if (rc == STAMP_E_VERSION) {
        return stamp_error_set(err, rc, 0, "the board has a stamp of a newer format");
    }
    if (locked) {
        (void)stamp_error_set(err, STAMP_E_LOCKED, 0, "the board's stamp is locked");
        stamp_error_hint(err, "take another board: a locked stamp is for ever");
        return STAMP_E_LOCKED;
    }
    if ((rc == STAMP_OK || banks) && !replace) {
        (void)stamp_error_set(err, STAMP_E_EXISTS, 0,
                              rc == STAMP_OK ? "the board has another stamp"
                                             : "the board has operational banks of "
                                               "another stamp");
        stamp_error_hint(err, "give --replace, if that stamp may go");
        return STAMP_E_EXISTS;
    }
    return STAMP_OK;
}

/* Bodies first and headers last, so that what is cut off in between is torn, not wrong.
 */
static bool put_partition(const struct stamp_board *board, int fd,
                          const struct stamp_buffer *image)
{
    const struct stamp_geometry *g = &board->geometry;
    uint32_t start[3] = {0, g->birth_size, g->birth_size + g->bank_size};
    uint8_t erased[STAMP_HEADER_SIZE];
    off_t base = (off_t)board->offset;

    memset(erased, g->erased, sizeof erased);
    for (unsigned i = 0; i < 3; i++) {
        if (!write_at(fd, erased, sizeof erased, base + start[i])) {
            return false;
        }
    }
    if (fdatasync(fd) != 0) {
        return false;
    }
    for (unsigned i = 0; i < 3; i++) {
        uint32_t size = i == 0 ? g->birth_size : g->bank_size;

        if (!write_at(fd, image->p + start[i] + sizeof erased, size - sizeof erased,
                      base + (off_t)(start[i] + sizeof erased))) {
            return false;
        }
    }
    if (fdatasync(fd) != 0) {
        return false;
    }
    for (unsigned i = 3; i-- > 0;) { /* birth last: banks mean nothing without it */
        if (!write_at(fd, image->p + start[i], sizeof erased, base + start[i])) {
            return false;
        }
    }
    return fsync(fd) == 0;
}

enum stamp_err stamp_flashfile_put(const struct stamp_board *board, const char *path,
                                   const struct stamp_buffer *image, bool replace,
                                   bool *unchanged, struct stamp_error *err)
{
    STAMP_BUFFER_AUTO old = {NULL, 0};
    FD_AUTO fd = -1;
    enum stamp_err rc = STAMP_OK;

    *unchanged = false;
    if (image->len != stamp_geometry_size(&board->geometry)) {
        rc = stamp_error_set(err, STAMP_E_RANGE, 0, "the image is not for this board");
    }
    if (rc == STAMP_OK) {
        rc = open_flash(board, path, &fd, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_buffer_new(&old, image->len, 0, err);
    }
    if (rc == STAMP_OK && !read_at(fd, old.p, old.len, (off_t)board->offset)) {
        rc = failed("read", path, err);
    }
    if (rc == STAMP_OK) {
        rc = judge(board, &old, image, replace, unchanged, err);
    }
    if (rc != STAMP_OK || *unchanged) {
        if (rc != STAMP_OK) {
            stamp_error_state(err, "the flash was not changed");
        }
        return rc;
    }
    if (!put_partition(board, fd, image)) {
        rc = failed("write", path, err);
    } else if (!read_at(fd, old.p, old.len, (off_t)board->offset)) {
        rc = failed("read back", path, err);
    } else if (memcmp(old.p, image->p, old.len) != 0) {
        rc = stamp_error_set(err, STAMP_E_FLASH, 0, "'%s' does not hold what was written",
                             path);
    }
    if (rc != STAMP_OK) {
        stamp_error_state(err, "the board may have a part of the stamp");
        stamp_error_hint(err, "run the command again");
    }
    return rc;
}

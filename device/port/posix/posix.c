/* The POSIX port. What always holds: a byte of the file changes only as NOR flash would
 * let it, and is on disk before a call returns. */
#include "device/port/posix/posix.h"

#include <errno.h>
#include <fcntl.h>
#include <mbedtls/platform_util.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/part.h"

#define SLICE 256u            /* bytes moved at a time */
#define SIZE_LIMIT (1u << 28) /* of a region, and of what is before the partition */

static int read_all(int fd, void *buf, size_t len, off_t off)
{
    uint8_t *p = buf;

    while (len > 0) {
        ssize_t n = pread(fd, p, len, off);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return -1;
        }
        p += n;
        off += n;
        len -= (size_t)n;
    }
    return 0;
}

static int write_all(int fd, const void *buf, size_t len, off_t off)
{
    const uint8_t *p = buf;

    while (len > 0) {
        ssize_t n = pwrite(fd, p, len, off);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return -1;
        }
        p += n;
        off += n;
        len -= (size_t)n;
    }
    return 0;
}

static uint32_t size_of(const struct stamp_flash *f)
{
    return f->birth_size + 2 * f->bank_size;
}

static bool inside(const struct stamp_flash *f, uint32_t off, size_t len)
{
    return off <= size_of(f) && len <= size_of(f) - off;
}

static bool is_locked(const struct stamp_posix *p, uint32_t off)
{
    return p->locked && off < p->port.flash.birth_size;
}

static int flash_read(void *ctx, uint32_t off, void *buf, size_t len)
{
    const struct stamp_posix *p = ctx;

    return inside(&p->port.flash, off, len)
               ? read_all(p->fd, buf, len, (off_t)p->flash_off + off)
               : -1;
}

/* Units must be erased: ECC flash allows no second programming. */
static bool is_erased(struct stamp_posix *p, uint32_t off, size_t len)
{
    uint8_t now[SLICE];

    if (flash_read(p, off, now, len) != 0) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (now[i] != p->port.flash.erased) {
            return false;
        }
    }
    return true;
}

static int flash_program(void *ctx, uint32_t off, const void *buf, size_t len)
{
    struct stamp_posix *p = ctx;
    const struct stamp_flash *f = &p->port.flash;

    if (!inside(f, off, len) || off % f->program_size != 0 ||
        len % f->program_size != 0 || is_locked(p, off)) {
        return -1;
    }
    for (size_t at = 0; at < len; at += SLICE) {
        if (!is_erased(p, off + (uint32_t)at, len - at < SLICE ? len - at : SLICE)) {
            return -1;
        }
    }
    return write_all(p->fd, buf, len, (off_t)p->flash_off + off) == 0 ? fdatasync(p->fd)
                                                                      : -1;
}

static int fill(int fd, off_t off, uint32_t len, uint8_t value)
{
    uint8_t blank[SLICE];

    memset(blank, value, sizeof blank);
    for (uint32_t at = 0; at < len; at += SLICE) {
        if (write_all(fd, blank, len - at < SLICE ? len - at : SLICE, off + (off_t)at) !=
            0) {
            return -1;
        }
    }
    return fdatasync(fd);
}

static int flash_erase(void *ctx, uint32_t off)
{
    const struct stamp_posix *p = ctx;
    const struct stamp_flash *f = &p->port.flash;

    if (!inside(f, off, f->erase_size) || off % f->erase_size != 0 || is_locked(p, off)) {
        return -1;
    }
    return fill(p->fd, (off_t)p->flash_off + off, f->erase_size, f->erased);
}

static int root_key(void *ctx, uint8_t key[32])
{
    const struct stamp_posix *p = ctx;

    memcpy(key, p->root_key, sizeof p->root_key);
    return 0;
}

/* ---- what a chip has beside its flash ---- */

static uint8_t fuses(const struct stamp_posix *p)
{
    uint8_t v = 0;
    int fd = p->fuse_file == NULL ? -1 : open(p->fuse_file, O_RDONLY | O_CLOEXEC);

    if (fd >= 0) {
        if (read(fd, &v, 1) != 1) {
            v = 0;
        }
        (void)close(fd);
    }
    return v;
}

/* One fuse, durable; those that are burnt stay so. */
static int burn(const struct stamp_posix *p, uint32_t fuse)
{
    uint8_t v = (uint8_t)(fuses(p) | fuse);
    int fd = open(p->fuse_file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    int rc = fd >= 0 && pwrite(fd, &v, 1, 0) == 1 && fsync(fd) == 0 ? 0 : -1;

    if (fd >= 0) {
        (void)close(fd);
    }
    return rc;
}

static int chip_id(void *ctx, uint8_t id[STAMP_CHIP_ID_MAX], size_t *len)
{
    const struct stamp_posix *p = ctx;

    memcpy(id, p->chip_id, p->chip_id_len);
    *len = p->chip_id_len;
    return 0;
}

/* Write protection is in force where flash_program() refuses. */
static uint32_t lock_state(void *ctx, uint32_t *can)
{
    const struct stamp_posix *p = ctx;
    uint32_t burnt = fuses(p);

    *can = STAMP_LOCK_WRITE;
    if (p->fuse_file == NULL) {
        return p->locked ? STAMP_LOCK_WRITE : 0;
    }
    *can |= STAMP_LOCK_DEBUG | (p->port.root_key != NULL ? STAMP_LOCK_ENCRYPT : 0u);
    return p->locked ? burnt : burnt & ~STAMP_LOCK_WRITE;
}

static void restart(void *ctx)
{
    ((struct stamp_posix *)ctx)->restart = true;
}

/* Lasts as long as the port is open; the library asks again at each boot. */
static int lock(void *ctx)
{
    struct stamp_posix *p = ctx;

    p->locked = true;
    if (p->fuse_file == NULL) {
        return 0;
    }
    return burn(p, STAMP_LOCK_WRITE) == 0 &&
                   (p->port.root_key == NULL || burn(p, STAMP_LOCK_ENCRYPT) == 0) &&
                   burn(p, STAMP_LOCK_DEBUG) == 0
               ? 0
               : -1;
    return 0;
}

static uint32_t now_ms(void *ctx)
{
    struct timespec t;

    (void)ctx;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint32_t)((uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u);
}

static enum stamp_err make_root_key(const char *path, uint8_t key[32])
{
    enum stamp_err rc = STAMP_E_FLASH;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0) {
        return rc;
    }
    if (getrandom(key, 32, 0) == 32 && write_all(fd, key, 32, 0) == 0 && fsync(fd) == 0) {
        rc = STAMP_OK;
    } else {
        (void)unlink(path);
    }
    (void)close(fd);
    return rc;
}

static enum stamp_err load_root_key(const char *path, uint8_t key[32])
{
    enum stamp_err rc;
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return errno == ENOENT ? make_root_key(path, key) : STAMP_E_FLASH;
    }
    if (fstat(fd, &st) != 0 || read_all(fd, key, 32, 0) != 0) {
        rc = STAMP_E_FLASH;
    } else {
        rc = st.st_size == 32 && (st.st_mode & 077) == 0 ? STAMP_OK : STAMP_E_RANGE;
    }
    (void)close(fd);
    return rc;
}

/* A new file gets its length first: should power fail before it is erased, its zeroes
 * count as a torn stamp, which may be written, and not as a file that is too short. */
static enum stamp_err make_flash(const struct stamp_posix *p)
{
    off_t size = (off_t)p->flash_off + (off_t)size_of(&p->port.flash);

    if (ftruncate(p->fd, size) != 0 ||
        fill(p->fd, 0, (uint32_t)size, p->port.flash.erased) != 0) {
        int saved = errno;
        int emptied = ftruncate(p->fd, 0); /* no half of one is left on a full disk */

        (void)emptied;
        errno = saved;
        return STAMP_E_FLASH;
    }
    return STAMP_OK;
}

static enum stamp_err open_flash(struct stamp_posix *p, const char *path)
{
    off_t size = (off_t)p->flash_off + (off_t)size_of(&p->port.flash);
    struct stat st;

    p->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (p->fd < 0) {
        return STAMP_E_FLASH;
    }
    if (flock(p->fd, LOCK_EX | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK ? STAMP_E_BUSY : STAMP_E_FLASH;
    }
    if (fstat(p->fd, &st) != 0) {
        return STAMP_E_FLASH;
    }
    if (st.st_size == 0) {
        return make_flash(p);
    }
    return st.st_size < size ? STAMP_E_RANGE : STAMP_OK;
}

static bool geometry_ok(const struct stamp_flash *f)
{
    uint32_t unit = f->program_size;

    return unit <= STAMP_HEADER_SIZE && (unit & (unit - 1)) == 0 &&
           f->erase_size % unit == 0 && f->birth_size % f->erase_size == 0 &&
           f->bank_size % f->erase_size == 0 && f->birth_size >= STAMP_REGION_MIN &&
           f->bank_size >= STAMP_REGION_MIN && f->birth_size <= SIZE_LIMIT &&
           f->bank_size <= SIZE_LIMIT;
}

static void set_geometry(struct stamp_flash *f, const struct stamp_posix_config *c)
{
    f->birth_size = c->birth_size != 0 ? c->birth_size : 8192;
    f->bank_size = c->bank_size != 0 ? c->bank_size : 8192;
    f->erase_size = c->erase_size != 0 ? c->erase_size : 4096;
    f->program_size = c->program_size != 0 ? c->program_size : 8;
    f->erased = c->erased_zero ? 0x00 : 0xFF;
}

enum stamp_err stamp_posix_open(struct stamp_posix *p,
                                const struct stamp_posix_config *config)
{
    struct stamp_flash *f = &p->port.flash;
    enum stamp_err rc = STAMP_OK;

    memset(p, 0, sizeof *p);
    p->fd = -1;
    p->flash_off = config->flash_off;
    set_geometry(f, config);
    f->read = flash_read;
    f->program = flash_program;
    f->erase = flash_erase;
    f->ctx = p;
    p->port.work = p->work;
    p->port.work_size = sizeof p->work;
    p->port.lock = lock;
    p->port.lock_state = lock_state;
    p->port.restart = restart;
    p->port.owner_key_hash = config->owner_key_hash;
    p->fuse_file = config->fuse_file;
    if (config->chip_id_len > 0 && config->chip_id_len <= sizeof p->chip_id) {
        memcpy(p->chip_id, config->chip_id, config->chip_id_len);
        p->chip_id_len = config->chip_id_len;
        p->port.chip_id = chip_id;
    }
    p->port.now_ms = now_ms;
    p->port.ctx = p;
    if (!geometry_ok(f) || p->flash_off > SIZE_LIMIT) {
        rc = STAMP_E_RANGE;
    }
    if (rc == STAMP_OK && config->root_key_file != NULL) {
        p->port.root_key = root_key;
        rc = load_root_key(config->root_key_file, p->root_key);
    }
    if (rc == STAMP_OK) {
        rc = open_flash(p, config->flash_file);
    }
    if (rc != STAMP_OK) {
        int saved = errno;

        stamp_posix_close(p);
        errno = saved;
    }
    return rc;
}

void stamp_posix_close(struct stamp_posix *p)
{
    if (p->fd >= 0) {
        (void)close(p->fd); /* gives the lock back */
    }
    mbedtls_platform_zeroize(p, sizeof *p);
    p->fd = -1;
}

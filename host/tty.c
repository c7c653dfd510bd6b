/* Serial ports. */
#include "host/tty.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <termios.h>
#include <unistd.h>

struct stamp_tty {
    int fd;
    char *path;
};

static enum stamp_err set_up(struct stamp_tty *tty, struct stamp_error *err)
{
    struct termios t;

    if (tcgetattr(tty->fd, &t) != 0) {
        stamp_error_hint(err, "give the serial port of the device, such as /dev/ttyUSB0");
        return stamp_error_set(err, STAMP_E_IO, errno, "'%s' is not a serial port",
                               tty->path);
    }
    if (flock(tty->fd, LOCK_EX | LOCK_NB) != 0) {
        stamp_error_hint(err, "wait until it is done, or end it");
        return stamp_error_set(err, STAMP_E_BUSY, errno,
                               "'%s' is in use by another program", tty->path);
    }
    cfmakeraw(&t);
    t.c_cflag |= CLOCAL | CREAD;
    t.c_cflag &= (tcflag_t) ~(CRTSCTS | CSTOPB | HUPCL); /* HUPCL would reset boards */
    t.c_cc[VMIN] = 1;
    t.c_cc[VTIME] = 0;
    if (cfsetspeed(&t, B115200) != 0 || tcsetattr(tty->fd, TCSANOW, &t) != 0) {
        return stamp_error_set(err, STAMP_E_IO, errno, "cannot set up '%s': %s",
                               tty->path, strerror(errno));
    }
    (void)tcflush(tty->fd, TCIFLUSH); /* what was said to nobody is of no use */
    return STAMP_OK;
}

enum stamp_err stamp_tty_open(struct stamp_tty **out, const char *path,
                              struct stamp_error *err)
{
    struct stamp_tty *tty = calloc(1, sizeof *tty);
    enum stamp_err code;

    *out = NULL;
    if (tty == NULL || (tty->path = strdup(path)) == NULL) {
        free(tty);
        return stamp_error_set(err, STAMP_E_NOMEM, 0, "out of memory");
    }
    tty->fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (tty->fd < 0) {
        int e = errno;

        stamp_error_hint(err, e == EACCES ? "become a member of the group that owns it"
                                          : "see that the device is plugged in, and "
                                            "under which name: ls -l /dev/serial/by-id");
        code = stamp_error_set(err, STAMP_E_IO, e, "cannot open port '%s': %s", path,
                               strerror(e));
    } else {
        code = set_up(tty, err);
    }
    if (code != STAMP_OK) {
        stamp_tty_free(&tty);
        return code;
    }
    *out = tty;
    return STAMP_OK;
}

const char *stamp_tty_path(const struct stamp_tty *tty)
{
    return tty->path;
}

static enum stamp_err gone(const struct stamp_tty *tty, int native,
                           struct stamp_error *err)
{
    stamp_error_hint(err, "see that the device is plugged in and switched on");
    return stamp_error_set(err, STAMP_E_IO, native, "port '%s' has gone: %s", tty->path,
                           native != 0 ? strerror(native) : "the other end closed it");
}

/* 1: ready, 0: time over, -1: failed; a hang-up without data counts as ready. */
static int wait_for(const struct stamp_tty *tty, short events, int timeout_ms)
{
    struct pollfd p = {.fd = tty->fd, .events = events};
    int n;

    do {
        n = poll(&p, 1, timeout_ms);
    } while (n < 0 && errno == EINTR);
    return n;
}

enum stamp_err stamp_tty_write(struct stamp_tty *tty, const void *p, size_t len,
                               int timeout_ms, struct stamp_error *err)
{
    const uint8_t *next = p;

    while (len > 0) {
        ssize_t n = write(tty->fd, next, len);

        if (n > 0) {
            next += n;
            len -= (size_t)n;
            continue;
        }
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            return gone(tty, errno, err);
        }
        n = wait_for(tty, POLLOUT, timeout_ms);
        if (n < 0) {
            return gone(tty, errno, err);
        }
        if (n == 0) {
            return stamp_error_set(err, STAMP_E_TIMEOUT, 0,
                                   "port '%s' takes no more bytes", tty->path);
        }
    }
    return STAMP_OK;
}

enum stamp_err stamp_tty_read(struct stamp_tty *tty, void *buf, size_t size,
                              int timeout_ms, size_t *len, struct stamp_error *err)
{
    *len = 0;
    for (;;) {
        int ready = wait_for(tty, POLLIN, timeout_ms);
        ssize_t n;

        if (ready < 0) {
            return gone(tty, errno, err);
        }
        if (ready == 0) {
            return STAMP_OK;
        }
        n = read(tty->fd, buf, size);
        if (n > 0) {
            *len = (size_t)n;
            return STAMP_OK;
        }
        if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            return gone(tty, n < 0 ? errno : 0, err);
        }
    }
}

void stamp_tty_free(struct stamp_tty **p)
{
    if (*p != NULL) {
        if ((*p)->fd >= 0) {
            (void)close((*p)->fd);
        }
        free((*p)->path);
        free(*p);
        *p = NULL;
    }
}

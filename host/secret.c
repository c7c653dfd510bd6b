#include "host/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <termios.h>
#include <unistd.h>

#define SECRET_MAX ((size_t)1 << 20)
#define PASSPHRASE_MAX 1024

static bool all_locked; /* the whole process: by stamp_secret_harden() */

struct stamp_secret {
    size_t len;
    uint8_t bytes[];
};

static enum stamp_err secret_alloc(struct stamp_secret **out, size_t len,
                                   struct stamp_error *err)
{
    struct stamp_secret *s;

    *out = NULL;
    if (len > SECRET_MAX) {
        (void)stamp_error_set(err, STAMP_E_RANGE, 0, "a secret of %zu bytes is too long",
                              len);
        return STAMP_E_RANGE;
    }
    s = calloc(1, sizeof *s + len + 1);
    if (s == NULL) {
        (void)stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
        return STAMP_E_NOMEM;
    }
    /* Where there is a limit on locked memory, secrets are what it is spent on. */
    if (!all_locked) {
        (void)mlock(s, sizeof *s + len + 1);
    }
    s->len = len;
    *out = s;
    return STAMP_OK;
}

enum stamp_err stamp_secret_new(struct stamp_secret **out, const void *bytes, size_t len,
                                struct stamp_error *err)
{
    enum stamp_err rc = secret_alloc(out, len, err);

    if (rc == STAMP_OK && len > 0) {
        memcpy((*out)->bytes, bytes, len);
    }
    return rc;
}

enum stamp_err stamp_secret_random(struct stamp_secret **out, size_t len,
                                   struct stamp_error *err)
{
    enum stamp_err rc = secret_alloc(out, len, err);

    if (rc == STAMP_OK && RAND_bytes((*out)->bytes, (int)len) != 1) {
        stamp_secret_free(out);
        rc = stamp_error_set(err, STAMP_E_CRYPTO, 0, "the random generator failed");
    }
    return rc;
}

const uint8_t *stamp_secret_use(const struct stamp_secret *s, size_t *len)
{
    if (len != NULL) {
        *len = s->len;
    }
    return s->bytes;
}

bool stamp_secret_equal(const struct stamp_secret *a, const struct stamp_secret *b)
{
    return a->len == b->len && CRYPTO_memcmp(a->bytes, b->bytes, a->len) == 0;
}

void stamp_secret_free(struct stamp_secret **p)
{
    if (p == NULL || *p == NULL) {
        return;
    }
    OPENSSL_cleanse(*p, sizeof **p + (*p)->len);
    free(*p);
    *p = NULL;
}

/* One line from `fd`, byte by byte: what follows the line stays there for the next
 * reader. */
static enum stamp_err read_line(int fd, char *buf, size_t size, size_t *len,
                                struct stamp_error *err)
{
    *len = 0;
    for (;;) {
        char c;
        ssize_t n = read(fd, &c, 1);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return stamp_error_set(err, STAMP_E_IO, errno,
                                   "cannot read the passphrase: %s", strerror(errno));
        }
        if (n == 0 || c == '\n') {
            return STAMP_OK;
        }
        if (*len == size) {
            return stamp_error_set(err, STAMP_E_RANGE, 0,
                                   "the passphrase is longer than %zu bytes", size);
        }
        buf[(*len)++] = c;
    }
}

static enum stamp_err read_terminal(const char *prompt, char *buf, size_t size,
                                    size_t *len, struct stamp_error *err)
{
    struct termios old;
    struct termios quiet;
    enum stamp_err rc;
    int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);

    if (fd < 0 || tcgetattr(fd, &old) != 0) {
        if (fd >= 0) {
            (void)close(fd);
        }
        (void)stamp_error_set(
            err, STAMP_E_IO, errno,
            "a passphrase is needed, and there is no terminal to ask on");
        stamp_error_hint(err, "give it on a file descriptor with --passphrase-fd N");
        return STAMP_E_IO;
    }
    quiet = old;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    (void)tcsetattr(fd, TCSAFLUSH, &quiet);
    (void)dprintf(fd, "%s: ", prompt);
    rc = read_line(fd, buf, size, len, err);
    (void)dprintf(fd, "\n");
    (void)tcsetattr(fd, TCSAFLUSH, &old);
    (void)close(fd);
    return rc;
}

enum stamp_err stamp_secret_ask(struct stamp_secret **out, int fd, const char *prompt,
                                struct stamp_error *err)
{
    char line[PASSPHRASE_MAX];
    size_t len = 0;
    enum stamp_err rc;

    *out = NULL;
    rc = fd >= 0 ? read_line(fd, line, sizeof line, &len, err)
                 : read_terminal(prompt, line, sizeof line, &len, err);
    if (rc == STAMP_OK && len == 0) {
        rc = stamp_error_set(err, STAMP_E_RANGE, 0, "nothing was given: %s", prompt);
    }
    if (rc == STAMP_OK) {
        rc = stamp_secret_new(out, line, len, err);
    }
    OPENSSL_cleanse(line, sizeof line);
    return rc;
}

void stamp_secret_harden(void)
{
    static const struct rlimit none = {0, 0};
    struct rlimit lock;

    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    /* With a limit, locking what is to come would make allocations fail later on. */
    if (getrlimit(RLIMIT_MEMLOCK, &lock) == 0 &&
        (lock.rlim_cur == RLIM_INFINITY || geteuid() == 0)) {
        /* What is used, and not the stacks of threads from end to end. */
        all_locked = mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0;
    }
}

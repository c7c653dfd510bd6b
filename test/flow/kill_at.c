/*
 * For LD_PRELOAD: kill -9 at the Nth call that changes something on a disk, or asks a
 * database server to.
 *
 *     STAMP_KILL_AT=N     before that call
 *     STAMP_KILL_COUNT=F  the number of calls goes to the file F at the end
 */
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

static long calls;

static void count(void)
{
    const char *at = getenv("STAMP_KILL_AT");

    calls++;
    if (at != NULL && strtol(at, NULL, 10) == calls) {
        (void)kill(getpid(), SIGKILL);
    }
}

__attribute__((destructor)) static void tell(void)
{
    const char *name = getenv("STAMP_KILL_COUNT");
    FILE *file = name == NULL ? NULL : fopen(name, "w");

    if (file != NULL) {
        (void)fprintf(file, "%ld\n", calls);
        (void)fclose(file);
    }
}

/* The next library's function of that name; data and function pointers differ in C. */
#define NEXT(type, name)                                                                 \
    union {                                                                              \
        void *object;                                                                    \
        type call;                                                                       \
    } next = {.object = dlsym(RTLD_NEXT, name)};                                         \
    count()

typedef ssize_t (*write_call)(int, const void *, size_t);
typedef ssize_t (*pwrite_call)(int, const void *, size_t, off_t);
typedef ssize_t (*send_call)(int, const void *, size_t, int);
typedef int (*fd_call)(int);
typedef int (*truncate_call)(int, off_t);
typedef int (*path_call)(const char *);
typedef int (*paths_call)(const char *, const char *);
typedef int (*rename_call)(int, const char *, int, const char *, unsigned);
typedef int (*unlink_call)(int, const char *, int);

ssize_t write(int fd, const void *buf, size_t n)
{
    NEXT(write_call, "write");
    return next.call(fd, buf, n);
}

ssize_t pwrite(int fd, const void *buf, size_t n, off_t at)
{
    NEXT(pwrite_call, "pwrite");
    return next.call(fd, buf, n, at);
}

ssize_t pwrite64(int fd, const void *buf, size_t n, off_t at)
{
    NEXT(pwrite_call, "pwrite64");
    return next.call(fd, buf, n, at);
}

ssize_t send(int fd, const void *buf, size_t n, int flags)
{
    NEXT(send_call, "send");
    return next.call(fd, buf, n, flags);
}

int fsync(int fd)
{
    NEXT(fd_call, "fsync");
    return next.call(fd);
}

int fdatasync(int fd)
{
    NEXT(fd_call, "fdatasync");
    return next.call(fd);
}

int syncfs(int fd)
{
    NEXT(fd_call, "syncfs");
    return next.call(fd);
}

int ftruncate64(int fd, off_t len)
{
    NEXT(truncate_call, "ftruncate64");
    return next.call(fd, len);
}

int ftruncate(int fd, off_t len)
{
    NEXT(truncate_call, "ftruncate");
    return next.call(fd, len);
}

int unlink(const char *path)
{
    NEXT(path_call, "unlink");
    return next.call(path);
}

int unlinkat(int dir, const char *path, int flags)
{
    NEXT(unlink_call, "unlinkat");
    return next.call(dir, path, flags);
}

int link(const char *from, const char *to)
{
    NEXT(paths_call, "link");
    return next.call(from, to);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    NEXT(rename_call, "renameat2");
    return next.call(from_dir, from, to_dir, to, flags);
}

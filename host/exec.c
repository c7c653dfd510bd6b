#include "host/exec.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/file.h"

extern char **environ;

/* Signals that would end us before the image is removed go to the command instead. */
static const int passed_on[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
#define N_PASSED (sizeof passed_on / sizeof *passed_on)

static volatile sig_atomic_t child;

static void pass_on(int sig)
{
    int saved = errno;

    if (child > 0) {
        (void)kill((pid_t)child, sig);
    }
    errno = saved;
}

/* One value as a word of the shell: in single quotes, and those of its own escaped. */
static void put_quoted(FILE *out, const char *value)
{
    (void)fputc('\'', out);
    for (; *value != '\0'; value++) {
        if (*value == '\'') {
            (void)fputs("'\\''", out);
        } else {
            (void)fputc(*value, out);
        }
    }
    (void)fputc('\'', out);
}

/* @return the command line, to be freed; NULL where memory is out */
static char *fill_in(const struct stamp_exec *how, const char *image, size_t size)
{
    char numbers[2][24];
    const char *const name[] = {"{image}", "{offset}", "{size}", "{port}"};
    const char *const value[] = {image, numbers[0], numbers[1], how->port};
    const size_t n = sizeof name / sizeof name[0] - (how->port == NULL);
    const char *command = how->command;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    if (out == NULL) {
        return NULL;
    }
    (void)snprintf(numbers[0], sizeof numbers[0], "0x%x", how->offset);
    (void)snprintf(numbers[1], sizeof numbers[1], "0x%zx", size);
    while (*command != '\0') {
        size_t i = 0;

        while (i < n && strncmp(command, name[i], strlen(name[i])) != 0) {
            i++;
        }
        if (i < n) {
            put_quoted(out, value[i]);
            command += strlen(name[i]);
        } else {
            (void)fputc(*command, out);
            command++;
        }
    }
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static enum stamp_err run(char *line, bool among, int *status, struct stamp_error *err)
{
    char shell[] = "sh";
    char flag[] = "-c";
    char *argv[] = {shell, flag, line, NULL};
    struct sigaction act = {.sa_handler = pass_on};
    struct sigaction old[N_PASSED];
    posix_spawnattr_t attr;
    sigset_t defaults;
    pid_t pid = 0;
    int wait_status = 0;
    int code;

    (void)sigemptyset(&defaults);
    (void)sigaddset(&defaults, SIGPIPE);
    (void)sigaddset(&defaults, SIGXFSZ);
    for (size_t i = 0; i < N_PASSED; i++) {
        (void)sigaddset(&defaults, passed_on[i]);
        if (!among) {
            (void)sigaction(passed_on[i], &act, &old[i]);
        }
    }
    code = posix_spawnattr_init(&attr);
    if (code == 0) {
        (void)posix_spawnattr_setsigdefault(&attr, &defaults);
        (void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF);
        code = posix_spawn(&pid, "/bin/sh", NULL, &attr, argv, environ);
        (void)posix_spawnattr_destroy(&attr);
    }
    if (code == 0) {
        child = among ? 0 : (sig_atomic_t)pid;
        while (waitpid(pid, &wait_status, 0) < 0 && errno == EINTR) {
        }
        child = 0;
    }
    for (size_t i = 0; i < N_PASSED && !among; i++) {
        (void)sigaction(passed_on[i], &old[i], NULL);
    }
    if (code != 0) {
        return stamp_error_set(err, STAMP_E_IO, code, "cannot run a command: %s",
                               strerror(code));
    }
    *status =
        WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
    return STAMP_OK;
}

/* A directory of our own, in memory where the system has such a place for us. */
static enum stamp_err make_dir(char dir[PATH_MAX], struct stamp_error *err)
{
    const char *base = getenv("XDG_RUNTIME_DIR");
    int n;

    if (base == NULL || access(base, W_OK | X_OK) != 0) {
        base = getenv("TMPDIR");
    }
    if (base == NULL || base[0] == '\0') {
        base = "/tmp";
    }
    n = snprintf(dir, PATH_MAX, "%s/stamp-XXXXXX", base);
    if (n < 0 || n > PATH_MAX - 16 || mkdtemp(dir) == NULL) {
        return stamp_error_set(err, STAMP_E_IO, errno,
                               "cannot make a directory in '%s': %s", base,
                               strerror(errno));
    }
    return STAMP_OK;
}

enum stamp_err stamp_exec_flash(const struct stamp_exec *how,
                                const struct stamp_buffer *image, int *status,
                                struct stamp_error *err)
{
    char dir[PATH_MAX];
    char path[PATH_MAX + 16];
    char *line = NULL;
    enum stamp_err rc;

    *status = -1;
    if (strstr(how->command, "{image}") == NULL) {
        return stamp_error_set(err, STAMP_E_RANGE, 0, "the command has no {image}");
    }
    if (how->port == NULL && strstr(how->command, "{port}") != NULL) {
        return stamp_error_set(err, STAMP_E_RANGE, 0, "the command wants a {port}");
    }
    rc = make_dir(dir, err);
    if (rc != STAMP_OK) {
        return rc;
    }
    (void)snprintf(path, sizeof path, "%s/stamp.bin", dir);
    rc = stamp_file_write(path, image->p, image->len, STAMP_FILE_SECRET, false, err);
    if (rc == STAMP_OK) {
        line = fill_in(how, path, image->len);
        rc = line == NULL ? stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory")
                          : run(line, how->among, status, err);
    }
    free(line);
    (void)unlink(path);
    (void)rmdir(dir);
    return rc;
}

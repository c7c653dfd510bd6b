#include "cli/cli.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "host/file.h"
#include "host/rest.h"
#include "host/verify.h"

#define SECRET_MAX 1024u

int cli_fail(const struct stamp_error *err)
{
    (void)fflush(stdout);
    stamp_error_print(err, "stamp");
    if (stamp_verify_refused(err->code)) {
        return CLI_NOT_AUTHENTIC;
    }
    return err->code == STAMP_E_BUSY ? CLI_RETRY : CLI_FAILED;
}

int cli_usage(const char *verb, const char *fmt, ...)
{
    va_list ap;

    (void)fprintf(stderr, "stamp %s: ", verb);
    va_start(ap, fmt);
    (void)vfprintf(stderr, fmt, ap);
    va_end(ap);
    (void)fputc('\n', stderr);
    return cli_bad_option(verb);
}

int cli_bad_option(const char *verb)
{
    (void)fprintf(stderr, "  try: stamp %s --help\n", verb);
    return CLI_USAGE;
}

int cli_flush(int status)
{
    if (fflush(stdout) != 0 || ferror(stdout) != 0) {
        (void)fprintf(stderr, "stamp: cannot write the output: %s\n", strerror(errno));
        return status == CLI_DONE ? CLI_FAILED : status;
    }
    return status;
}

void cli_print_text(const void *text, size_t len)
{
    const unsigned char *p = text;

    for (size_t i = 0; i < len; i++) {
        /* U+0080 to U+009F are C2 80 to C2 9F in UTF-8 */
        bool c1 = p[i] == 0xC2 && i + 1 < len && p[i + 1] >= 0x80 && p[i + 1] <= 0x9F;

        if (c1) {
            (void)printf("\\x%02X", p[++i]);
        } else if (p[i] < 0x20 || p[i] == 0x7F) {
            (void)printf("\\x%02X", p[i]);
        } else {
            (void)putchar(p[i]);
        }
    }
}

int cli_help(const char *text)
{
    (void)fputs(text, stdout);
    return cli_flush(CLI_DONE);
}

bool cli_number(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    char *end;
    unsigned shift;

    errno = 0;
    if (!isdigit((unsigned char)text[0])) {
        return false;
    }
    *out = strtoull(text, &end, text[0] == '0' && (text[1] | 0x20) == 'x' ? 16 : 10);
    shift = *end == 'K' ? 10 : *end == 'M' ? 20 : 0;
    if (shift != 0) {
        end++;
        if (*out > UINT64_MAX >> shift) {
            return false;
        }
        *out <<= shift;
    }
    return errno == 0 && *end == '\0' && *out >= min && *out <= max;
}

bool cli_date(const char *text, bool end_of_day, time_t *out)
{
    struct tm tm = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);

    if (end == NULL || *end != '\0') {
        memset(&tm, 0, sizeof tm);
        end = strptime(text, "%Y-%m-%d", &tm);
        if (end == NULL || *end != '\0') {
            return false;
        }
        *out = timegm(&tm) + (end_of_day ? 86399 : 0);
    } else {
        *out = timegm(&tm);
    }
    return *out > 0 && *out <= (time_t)UINT32_MAX;
}

static enum stamp_err find_file(const struct cli_source *src, char path[PATH_MAX],
                                struct stamp_error *err)
{
    STAMP_WORKSPACE_AUTO *ws = NULL;
    struct stamp_error why = STAMP_ERROR_INIT;

    if (access(src->what, F_OK) == 0 || strchr(src->what, '/') != NULL) {
        if (strlen(src->what) >= PATH_MAX) {
            return stamp_error_set(err, STAMP_E_RANGE, 0, "the path is too long");
        }
        memcpy(path, src->what, strlen(src->what) + 1);
        return STAMP_OK;
    }
    if (stamp_workspace_locate(src->workspace, path, &why) != STAMP_OK) {
        (void)stamp_error_set(err, STAMP_E_MISSING, ENOENT,
                              "there is no file '%s', and no workspace to look up a "
                              "serial",
                              src->what);
        stamp_error_hint(err, "name the workspace with -C DIR");
        return STAMP_E_MISSING;
    }
    enum stamp_err rc = stamp_workspace_open(src->workspace, &ws, err);

    return rc == STAMP_OK ? stamp_workspace_file(ws, src->what, path, err) : rc;
}

enum stamp_err cli_open_stamp(const struct cli_source *src, struct stamp_image **out,
                              struct stamp_error *err)
{
    STAMP_SECRET_AUTO struct stamp_secret *root_key = NULL;
    char path[PATH_MAX];
    enum stamp_err rc = STAMP_OK;

    *out = NULL;
    if (src->root_key != NULL) {
        rc = stamp_rest_load(src->root_key, &root_key, err);
    }
    if (rc == STAMP_OK) {
        rc = find_file(src, path, err);
    }
    if (rc == STAMP_OK) {
        struct stamp_error why = STAMP_ERROR_INIT;

        rc = stamp_imagefile_load(path, src->offset, root_key, out, &why);
        if (rc == STAMP_E_IO || rc == STAMP_E_SPACE) {
            (void)stamp_error_set(err, rc, why.native, "%s", why.what);
        } else if (rc != STAMP_OK) {
            (void)stamp_error_set(err, rc, why.native, "'%s': %s", path, why.what);
        }
        if (rc != STAMP_OK && why.hint[0] != '\0') {
            stamp_error_hint(err, "%s", why.hint);
        }
    }
    return rc;
}

enum stamp_err cli_trust(const char *pem, const char *workspace, struct stamp_trust **out,
                         struct stamp_error *err)
{
    STAMP_WORKSPACE_AUTO *ws = NULL;
    char dir[PATH_MAX];
    enum stamp_err rc;

    *out = NULL;
    if (pem != NULL) {
        rc = stamp_trust_new(out, err);
        if (rc == STAMP_OK) {
            rc = stamp_trust_load(*out, pem, err);
        }
        if (rc != STAMP_OK) {
            stamp_trust_free(out);
        }
        return rc;
    }
    if (stamp_workspace_locate(workspace, dir, err) != STAMP_OK) {
        return STAMP_E_MISSING;
    }
    rc = stamp_workspace_open(workspace, &ws, err);
    if (rc == STAMP_OK) {
        rc = stamp_workspace_trust(ws, out, err);
    }
    /* A broken workspace is not the same as none. */
    return rc == STAMP_E_MISSING ? STAMP_E_CONFIG : rc;
}

enum stamp_err cli_root_file(const char *workspace, char out[PATH_MAX],
                             struct stamp_error *err)
{
    char dir[PATH_MAX];
    enum stamp_err rc = stamp_workspace_locate(workspace, dir, err);

    if (rc == STAMP_OK && snprintf(out, PATH_MAX, "%s/root.pem", dir) >= PATH_MAX) {
        rc = stamp_error_set(err, STAMP_E_RANGE, 0, "the path is too long");
    }
    return rc;
}

enum stamp_err cli_books_place(const char *workspace, char where[PATH_MAX],
                               struct stamp_error *err)
{
    const char *given = getenv(STAMP_WORKSPACE_REGISTRY);
    char dir[PATH_MAX] = ".";
    enum stamp_err rc = STAMP_OK;

    if (given == NULL || given[0] == '\0') { /* else no workspace is needed */
        rc = stamp_workspace_locate(workspace, dir, err);
    }
    return rc == STAMP_OK ? stamp_workspace_books(dir, where, err) : rc;
}

enum stamp_err cli_books(const char *workspace, struct stamp_registry **out,
                         struct stamp_error *err)
{
    char where[PATH_MAX];
    enum stamp_err rc = cli_books_place(workspace, where, err);

    return rc == STAMP_OK ? stamp_registry_open(where, out, err) : rc;
}

enum stamp_err cli_passphrase(const struct stamp_workspace *ws, int fd,
                              struct stamp_secret **out, struct stamp_error *err)
{
    *out = NULL;
    if (ws->purpose != STAMP_PRODUCTION) {
        return STAMP_OK;
    }
    return stamp_secret_ask(out, fd, "Passphrase of the workspace", err);
}

enum stamp_err cli_secret_line(const char *path, struct stamp_secret **out,
                               struct stamp_error *err)
{
    STAMP_SECRET_AUTO struct stamp_secret *all = NULL;
    const uint8_t *p;
    const uint8_t *end;
    size_t len;
    enum stamp_err rc = stamp_file_read_secret(path, SECRET_MAX, &all, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    p = stamp_secret_use(all, &len);
    end = memchr(p, '\n', len);
    return stamp_secret_new(out, p, end == NULL ? len : (size_t)(end - p), err);
}

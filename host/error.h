/*
 * What went wrong, for a person: filled by the deepest function that knows, shown by the
 * command.
 *
 * Rules: untouched on success; the first (deepest) error wins, so a caller may call
 * stamp_error_set() again without hiding the cause. Texts begin in lower case, have no
 * full stop, put the subject in 'quotes', and never hold a secret.
 */
#ifndef HOST_ERROR_H
#define HOST_ERROR_H

#include "core/err.h"

struct stamp_error {
    enum stamp_err code;
    long native;    /* errno, SQLite, OpenSSL or device code; 0 = none */
    char what[200]; /* "cannot read 'x.bin': no such file" */
    char state[96]; /* what changed: "nothing was changed" */
    char hint[200]; /* what to do next; "" = none */
};

#define STAMP_ERROR_INIT                                                                 \
    {                                                                                    \
        STAMP_OK, 0, "", "", ""                                                          \
    }

/** Fill `err` unless it already holds an error or is NULL: stamp_error_set(err, code,
 * native, format, ...). @return `code`, so that callers can `return
 * stamp_error_set(...)`; a macro, so that whoever checks the code sees that. `code` is
 * evaluated twice. */
#define stamp_error_set(err, code, native, ...)                                          \
    stampi_error_is((code), stampi_error_put((err), (code), (native), __VA_ARGS__))

int stampi_error_put(struct stamp_error *err, enum stamp_err code, long native,
                     const char *fmt, ...) __attribute__((format(printf, 4, 5)));

static inline enum stamp_err stampi_error_is(enum stamp_err code, int put)
{
    (void)put;
    return code;
}

/** Say what changed; only the first statement is kept. */
void stamp_error_state(struct stamp_error *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/** Say what to do next; only the first hint is kept. */
void stamp_error_hint(struct stamp_error *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/** Forget the error, to try something else. */
void stamp_error_clear(struct stamp_error *err);

/** Print as three lines on stderr: "stamp: WHAT", "  STATE", "  try: HINT". */
void stamp_error_print(const struct stamp_error *err, const char *program);

/** A bug of ours, never the user's: print where and abort. */
#define STAMP_BUG(text) stampi_bug(__FILE__, __LINE__, text)
void stampi_bug(const char *file, int line, const char *text) __attribute__((noreturn));

#endif

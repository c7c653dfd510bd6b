#include "host/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int stampi_error_put(struct stamp_error *err, enum stamp_err code, long native,
                     const char *fmt, ...)
{
    va_list ap;

    if (err == NULL || err->code != STAMP_OK) {
        return 0;
    }
    err->code = code;
    err->native = native;
    va_start(ap, fmt);
    (void)vsnprintf(err->what, sizeof err->what, fmt, ap);
    va_end(ap);
    return 1;
}

void stamp_error_state(struct stamp_error *err, const char *fmt, ...)
{
    va_list ap;

    if (err == NULL || err->state[0] != '\0') {
        return;
    }
    va_start(ap, fmt);
    (void)vsnprintf(err->state, sizeof err->state, fmt, ap);
    va_end(ap);
}

void stamp_error_hint(struct stamp_error *err, const char *fmt, ...)
{
    va_list ap;

    if (err == NULL || err->hint[0] != '\0') {
        return;
    }
    va_start(ap, fmt);
    (void)vsnprintf(err->hint, sizeof err->hint, fmt, ap);
    va_end(ap);
}

void stamp_error_clear(struct stamp_error *err)
{
    memset(err, 0, sizeof *err);
}

void stamp_error_print(const struct stamp_error *err, const char *program)
{
    (void)fprintf(stderr, "%s: %s\n", program, err->what);
    if (err->state[0] != '\0') {
        (void)fprintf(stderr, "  %s\n", err->state);
    }
    if (err->hint[0] != '\0') {
        (void)fprintf(stderr, "  try: %s\n", err->hint);
    }
}

void stampi_bug(const char *file, int line, const char *text)
{
    (void)fprintf(stderr, "bug in devstamp at %s:%d: %s\n", file, line, text);
    abort();
}

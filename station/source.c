#include "station/source.h"

#include <stdarg.h>
#include <stdio.h>

enum { TEXT_MAX = 400 };

void stamp_source_say(const struct stamp_source *source, const char *port,
                      const char *fmt, ...)
{
    char text[TEXT_MAX];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    source->say(source->ctx, port, text);
}

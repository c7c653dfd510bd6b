#include "service/log.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_SIZE = 4096, DIED = 1 };

static const char *who = "service";

void service_log_as(const char *process)
{
    who = process;
    json_object_seed(0); /* reads a file, which a sandbox would not let it */
}

static json_t *text(const char *value)
{
    json_t *t = json_string(value);
    char hex[2 * 100 + 1];
    size_t n = strlen(value) < 100 ? strlen(value) : 100;

    if (t != NULL) {
        return t;
    }
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(hex + 2 * i, 3, "%02x", (unsigned char)value[i]);
    }
    return json_string(hex);
}

static struct {
    bool on;
    size_t len;
    char text[LINE_SIZE];
} held;

static void flush(void)
{
    ssize_t n = 0;

    while (held.len > 0 && (n = write(STDERR_FILENO, held.text, held.len)) < 0 &&
           errno == EINTR) {
    }
    held.len = 0;
}

/* Whole lines in one write of no more than a pipe takes at once, so that lines of several
 * processes do not mix. */
static void put_line(json_t *line)
{
    char buf[LINE_SIZE];
    size_t len = json_dumpb(line, buf, sizeof buf - 1, JSON_COMPACT);

    if (len > 0 && len < sizeof buf) {
        buf[len++] = '\n';
        if (len > sizeof held.text - held.len) {
            flush();
        }
        memcpy(held.text + held.len, buf, len);
        held.len += len;
        if (!held.on) {
            flush();
        }
    }
    json_decref(line);
}

void service_log_hold(bool hold)
{
    held.on = hold;
    if (!hold) {
        flush();
    }
}

static json_t *begin(const char *event)
{
    struct timespec now;
    struct tm tm;
    char at[32];
    char stamp[48];

    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &tm);
    (void)strftime(at, sizeof at, "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(stamp, sizeof stamp, "%s.%03ldZ", at, now.tv_nsec / 1000000);
    return json_pack("{s:s, s:s, s:s}", "time", stamp, "process", who, "event", event);
}

void service_log(const char *event, ...)
{
    json_t *line = begin(event);
    const char *name;
    va_list args;

    va_start(args, event);
    while ((name = va_arg(args, const char *)) != NULL) {
        const char *value = va_arg(args, const char *);

        if (value != NULL && value[0] != '\0') {
            (void)json_object_set_new(line, name, text(value));
        }
    }
    va_end(args);
    put_line(line);
}

void service_log_error(const char *event, const struct stamp_error *err)
{
    service_log(event, "what", err->what, "state", err->state, "try", err->hint, NULL);
}

void service_die(const char *why)
{
    service_log_hold(false);
    service_log("died", "why", why, NULL);
    _exit(DIED);
}

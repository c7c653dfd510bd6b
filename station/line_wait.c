/*
 * What a line needs and that may be away for a while: its token, the service. Where it
 * fails, is pulled or gets locked, the line stands: whoever has the lock asks again until
 * what it wants is done, or the line is stopped. Nothing is lost meanwhile; PAUSE and
 * RESUME are in the journal.
 */
#include <string.h>
#include <time.h>

#include "station/line_own.h"

enum { AGAIN_MS = 250, AGAIN_MAX_MS = 4000 };

/* False: the line was stopped. */
static bool wait_ms(const struct stamp_line *line, int ms)
{
    for (; ms > 0 && !line->stop; ms -= AGAIN_MS) {
        struct timespec t = {0, AGAIN_MS * 1000000L};

        (void)nanosleep(&t, NULL);
    }
    return !line->stop;
}

static enum stamp_err pause_line(struct stamp_line *line, const struct stamp_error *why,
                                 struct stamp_error *err)
{
    char text[STAMP_JOURNAL_TEXT_MAX];
    size_t len = strnlen(why->what, sizeof text - 1);

    memcpy(text, why->what, len);
    while (len > 0 && !stamp_text_ok((const uint8_t *)text, len, false)) {
        len--; /* not cut within a character */
    }
    text[len] = '\0';
    stamp_line_say(line, NULL, "the line stands: %s%s%s", why->what,
                   why->hint[0] ? "; " : "", why->hint);
    return stampi_line_append_kind(line, STAMP_JOURNAL_PAUSE, text, err);
}

/* Until it may be tried again. */
static bool come_back(struct stamp_line *line, const struct stampi_line_need *need,
                      int *ms)
{
    while (wait_ms(line, *ms)) {
        *ms = 2 * *ms < AGAIN_MAX_MS ? 2 * *ms : AGAIN_MAX_MS;
        if (need->is_back == NULL || need->is_back(line)) {
            return true;
        }
    }
    return false;
}

enum stamp_err stampi_line_persist(struct stamp_line *line,
                                   const struct stampi_line_need *need, void *arg,
                                   struct stamp_error *err)
{
    struct stamp_error why = STAMP_ERROR_INIT;
    int ms = AGAIN_MS;
    bool paused = false;
    enum stamp_err rc;

    while (need->is_loss(rc = need->op(line, arg, &why))) {
        if (!paused) {
            enum stamp_err noted = pause_line(line, &why, err);

            if (noted != STAMP_OK) {
                return noted;
            }
            paused = true;
        }
        if (!come_back(line, need, &ms)) {
            return stamp_error_set(err, STAMP_E_DEVICE, why.native, "%s", why.what);
        }
        stamp_error_clear(&why);
    }
    if (rc != STAMP_OK) {
        stamp_error_hint(err, "%s", why.hint);
        return stamp_error_set(err, rc, why.native, "%s", why.what);
    }
    if (paused) {
        stamp_line_say(line, NULL, "%s is back: the line goes on", need->name);
        rc = stampi_line_append_kind(line, STAMP_JOURNAL_RESUME, NULL, err);
    }
    return rc;
}

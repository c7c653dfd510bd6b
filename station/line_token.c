/*
 * The token of a line. Where it fails, is pulled or gets locked, the line stands: whoever
 * has the lock asks again until what it wants of the token is done, or the line is
 * stopped. Nothing is lost meanwhile; PAUSE and RESUME are in the journal.
 */
#include <string.h>
#include <time.h>

#include "station/line_own.h"

enum { AGAIN_MS = 250, AGAIN_MAX_MS = 4000 };

typedef enum stamp_err (*token_op)(struct stamp_line *line, void *arg,
                                   struct stamp_error *err);

/* False: the line was stopped. */
static bool wait_ms(const struct stamp_line *line, int ms)
{
    for (; ms > 0 && !line->stop; ms -= AGAIN_MS) {
        struct timespec t = {0, AGAIN_MS * 1000000L};

        (void)nanosleep(&t, NULL);
    }
    return !line->stop;
}

static bool is_loss(enum stamp_err rc)
{
    return rc == STAMP_E_DEVICE || rc == STAMP_E_AUTH;
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

/* Until the token lets us in again, and not as long as it does not: no PIN is tried that
 * it refused once. */
static bool come_back(struct stamp_line *line, int *ms)
{
    while (wait_ms(line, *ms)) {
        *ms = 2 * *ms < AGAIN_MAX_MS ? 2 * *ms : AGAIN_MAX_MS;
        if (stamp_session_again(line->session, NULL) == STAMP_OK) {
            return true;
        }
    }
    return false;
}

static enum stamp_err with_token(struct stamp_line *line, token_op op, void *arg,
                                 struct stamp_error *err)
{
    struct stamp_error why = STAMP_ERROR_INIT;
    int ms = AGAIN_MS;
    bool paused = false;
    enum stamp_err rc;

    while (is_loss(rc = op(line, arg, &why))) {
        if (!paused) {
            enum stamp_err noted = pause_line(line, &why, err);

            if (noted != STAMP_OK) {
                return noted;
            }
            paused = true;
        }
        if (!come_back(line, &ms)) {
            return stamp_error_set(err, STAMP_E_DEVICE, why.native, "%s", why.what);
        }
        stamp_error_clear(&why);
    }
    if (rc != STAMP_OK) {
        stamp_error_hint(err, "%s", why.hint);
        return stamp_error_set(err, rc, why.native, "%s", why.what);
    }
    if (paused) {
        stamp_line_say(line, NULL, "the token is back: the line goes on");
        rc = stampi_line_append_kind(line, STAMP_JOURNAL_RESUME, NULL, err);
    }
    return rc;
}

struct to_sign {
    const char *label;
    const uint8_t *digest;
    uint8_t *sig;
};

static enum stamp_err sign(struct stamp_line *line, void *arg, struct stamp_error *err)
{
    const struct to_sign *s = arg;

    return stamp_session_sign(line->session, s->label, s->digest, s->sig, err);
}

static enum stamp_err count(struct stamp_line *line, void *arg, struct stamp_error *err)
{
    const uint32_t *n = arg;

    return stamp_session_count_to(line->session, line->order.id, *n, err);
}

enum stamp_err stampi_line_token_sign(struct stamp_line *line, const uint8_t digest[32],
                                      uint8_t sig[64], struct stamp_error *err)
{
    struct to_sign s = {line->site->label[STAMP_STATION_CA], digest, sig};

    return with_token(line, sign, &s, err);
}

enum stamp_err stampi_line_token_count(struct stamp_line *line, uint32_t n,
                                       struct stamp_error *err)
{
    return with_token(line, count, &n, err);
}

/* Not waited for: what is said of a pause would come between the head that is signed and
 * its signature. */
enum stamp_err stampi_line_sign_journal(void *ctx, const uint8_t digest[32],
                                        uint8_t sig[64], struct stamp_error *err)
{
    struct stamp_line *line = ctx;

    return stamp_session_sign(line->session, line->site->label[STAMP_STATION_JOURNAL],
                              digest, sig, err);
}

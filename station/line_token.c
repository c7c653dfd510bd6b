/* The token of a line: where it fails, the line stands until it is back. */
#include <time.h>

#include "station/line_own.h"

enum { AGAIN_MS = 500 };

static void wait_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};

    (void)nanosleep(&t, NULL);
}

/* The token failed: the line stands until it is back, and nothing is lost. */
static enum stamp_err token_lost(struct stamp_line *line, struct stamp_error *why,
                                 struct stamp_error *err)
{
    struct stamp_error again;
    char text[STAMP_JOURNAL_TEXT_MAX];
    enum stamp_err rc;

    (void)snprintf(text, sizeof text, "%.180s", why->what);
    stamp_line_say(line, NULL, "the line stands: %s (%s)", why->what, why->hint);
    rc = stampi_line_append_kind(line, STAMP_JOURNAL_PAUSE, text, err);
    while (rc == STAMP_OK) {
        wait_ms(AGAIN_MS);
        if (line->stop) {
            return stamp_error_set(err, STAMP_E_DEVICE, why->native, "%s", why->what);
        }
        stamp_error_clear(&again);
        if (stamp_session_again(line->session, &again) == STAMP_OK) {
            stamp_line_say(line, NULL, "the token is back: the line goes on");
            return stampi_line_append_kind(line, STAMP_JOURNAL_RESUME, NULL, err);
        }
    }
    return rc;
}

static bool is_loss(enum stamp_err rc)
{
    return rc == STAMP_E_DEVICE || rc == STAMP_E_AUTH;
}

enum stamp_err stampi_line_token_sign(struct stamp_line *line,
                                      enum stamp_station_key which,
                                      const uint8_t digest[32], uint8_t sig[64],
                                      struct stamp_error *err)
{
    struct stamp_error why;
    enum stamp_err rc;

    do {
        stamp_error_clear(&why);
        rc = stamp_session_sign(line->session, line->site->label[which], digest, sig,
                                &why);
        if (!is_loss(rc)) {
            break;
        }
        rc = token_lost(line, &why, err);
    } while (rc == STAMP_OK && !line->stop);
    return rc == STAMP_OK || is_loss(rc)
               ? rc
               : stamp_error_set(err, rc, why.native, "%s", why.what);
}

enum stamp_err stampi_line_token_count(struct stamp_line *line, uint32_t n,
                                       struct stamp_error *err)
{
    struct stamp_error why;
    enum stamp_err rc;

    do {
        stamp_error_clear(&why);
        rc = stamp_session_count_to(line->session, line->order.id, n, &why);
        if (!is_loss(rc)) {
            break;
        }
        rc = token_lost(line, &why, err);
    } while (rc == STAMP_OK && !line->stop);
    return rc;
}

enum stamp_err stampi_line_sign_journal(void *ctx, const uint8_t digest[32],
                                        uint8_t sig[64], struct stamp_error *err)
{
    return stampi_line_token_sign(ctx, STAMP_STATION_JOURNAL, digest, sig, err);
}

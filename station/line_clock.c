/*
 * The clock of a line. Nobody at an offline station vouches for it, so it is held against
 * all that is known: the journal's last entry, the order, the station CA's certificate,
 * and while the line runs the time that really passed. In doubt the line stops, with a
 * message; what was begun goes on when the clock is right. SPEC 15-12.
 */
#include <time.h>

#include "station/line_own.h"

enum {
    SLACK = 2,  /* seconds that a clock may go back */
    JUMP = 120, /* seconds that it may be set while the line runs */
};

/* Seconds since the machine started, standing by included: nobody sets these. */
static int64_t passed(void)
{
    struct timespec t;

    return clock_gettime(CLOCK_BOOTTIME, &t) == 0 ? (int64_t)t.tv_sec : 0;
}

enum stamp_err stampi_line_clock_start(struct stamp_line *line, struct stamp_error *err)
{
    time_t from;

    line->wall_at = (int64_t)time(NULL);
    line->passed_at = passed();
    if (!stamp_pki_time(X509_get0_notBefore(line->issuer), &from)) {
        return stamp_openssl_failed(err, "cannot read when the authority begins");
    }
    line->ca_from = (int64_t)from;
    return STAMP_OK;
}

/* Once: all ports meet the same clock. */
static enum stamp_err stop(struct stamp_line *line, const char *hint,
                           struct stamp_error *err, struct stamp_error *why)
{
    stamp_error_hint(why, "%s", hint);
    if (line->up && !line->halted) {
        line->halted = true;
        stamp_line_say(line, NULL, "the line stops: %s; %s", why->what, why->hint);
    }
    stamp_line_stop(line);
    if (err != NULL) {
        *err = *why;
    }
    return why->code;
}

static enum stamp_err in_doubt(struct stamp_line *line, int64_t by, const char *what,
                               struct stamp_error *err)
{
    struct stamp_error why = STAMP_ERROR_INIT;

    (void)stamp_error_set(&why, STAMP_E_STATE, 0,
                          "the clock is in doubt: it is %lld s %s", (long long)by, what);
    return stop(line,
                "set the clock right, then start the line again: what was begun "
                "goes on",
                err, &why);
}

enum stamp_err stampi_line_clock(struct stamp_line *line, uint64_t *now,
                                 struct stamp_error *err)
{
    int64_t is = (int64_t)time(NULL);
    int64_t last = (int64_t)stamp_journal_head(line->journal)->at;
    int64_t jump = is - line->wall_at - (passed() - line->passed_at);

    *now = 0;
    if (is + SLACK < last) {
        return in_doubt(line, last - is, "before the last entry of the journal", err);
    }
    if (is + SLACK < (int64_t)line->order.not_before) {
        return in_doubt(line, (int64_t)line->order.not_before - is,
                        "before the order's first day", err);
    }
    if (is + SLACK < line->ca_from) {
        return in_doubt(line, line->ca_from - is, "before the station's own certificate",
                        err);
    }
    if (jump > JUMP || jump < -JUMP) {
        return in_doubt(line, jump > 0 ? jump : -jump,
                        jump > 0 ? "ahead of the time that passed since the line was "
                                   "started"
                                 : "behind the time that passed since the line was "
                                   "started",
                        err);
    }
    *now = (uint64_t)(is < last ? last : is);
    return STAMP_OK;
}

enum stamp_err stampi_line_holds(struct stamp_line *line, uint64_t now,
                                 struct stamp_error *err)
{
    struct stamp_error why = STAMP_ERROR_INIT;

    if (now <= line->order.not_after) {
        return STAMP_OK;
    }
    (void)stamp_error_set(&why, STAMP_E_STATE, 0,
                          "the order holds no longer, or the clock is wrong");
    return stop(line,
                "ask headquarters for another order; units that have their "
                "certificates were finished",
                err, &why);
}

/* A station's journal to a service: what it does not have yet. The journal is the queue.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/bundle_online.h"
#include "cli/station.h"
#include "cli/station_export.h"
#include "host/pki.h"

enum { PIECE = 1048576, HURRIED_S = 1 };

struct sending {
    struct station_export *e;
    const struct stamp_site *site;
    struct stamp_reconciled sums;
    uint32_t sent;
    enum stamp_err why; /* it is not sent now; OK = it is */
};

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

/* Orders are headquarters' to tell of. */
static void tell(void *ctx, const struct stamp_reconcile_told *told)
{
    (void)ctx;
    if (told->what != STAMP_RECONCILE_ORDER && told->what != STAMP_RECONCILE_DEVICE) {
        (void)fprintf(stderr, "headquarters: %s\n", told->text);
    }
}

/* Where it begins. More there than here: this is not the journal that was sent. */
static enum stamp_err begin(struct sending *s, struct station_piece *piece,
                            struct stamp_error *err)
{
    struct stamp_journal_have have;
    enum stamp_err rc = STAMP_OK;

    piece->next = s->e->from;
    if (s->e->from == 0) {
        rc = bundle_online_have(&s->e->online, s->site->cert.id, &have, err);
        piece->next = have.missing != 0 ? have.missing : have.last + 1;
    }
    return rc;
}

static enum stamp_err gather(struct sending *s, struct station_piece *piece,
                             struct stamp_error *err)
{
    struct stamp_export *x = NULL;
    enum stamp_err rc = stamp_export_open(s->site, &s->e->pin, &x, err);

    piece->len = 0;
    if (rc == STAMP_OK) {
        rc = station_gather(x, PIECE, piece, err);
    }
    if (rc == STAMP_E_RANGE && s->e->from == 0) {
        stamp_error_clear(err);
        stamp_error_hint(err,
                         "write all of it with -o, and ask headquarters to reconcile "
                         "it: they may have the line rebuilt");
        rc = stamp_error_set(err, STAMP_E_CORRUPT, 0,
                             "headquarters has entry %u of this station, and its journal "
                             "ends before: it was put back, or is a copy",
                             piece->next - 1);
    }
    stamp_export_close(&x); /* the line may be started while it is on its way */
    return rc;
}

static enum stamp_err pass(struct sending *s, struct stamp_error *err)
{
    struct station_piece piece = {.next = 0};
    enum stamp_err rc = begin(s, &piece, err);

    s->sent = 0;
    while (rc == STAMP_OK && station_more(&piece) && stop == 0) {
        uint32_t from = piece.next;

        rc = gather(s, &piece, err);
        if (rc == STAMP_OK && piece.len > 0) {
            rc = bundle_online_bytes(&s->e->online, s->e->dir,
                                     (struct stamp_slice){piece.p, piece.len}, tell, NULL,
                                     &s->sums, err);
        }
        if (rc == STAMP_OK) {
            s->sent += piece.next - from;
        }
    }
    free(piece.p);
    return rc;
}

/* ---- again and again ---- */

/* It comes back: the network, the token, the line; or there is no journal yet. */
static bool may_pass(enum stamp_err rc)
{
    return rc == STAMP_E_IO || rc == STAMP_E_BUSY || rc == STAMP_E_DEVICE ||
           rc == STAMP_E_MISSING;
}

static void say(struct sending *s, enum stamp_err rc, const struct stamp_error *err)
{
    if (rc != STAMP_OK) {
        if (s->why != rc) { /* what it says may have a time in it */
            (void)fprintf(stderr, "stamp: %s\n  what is new waits in the journal\n",
                          err->what);
        }
        s->why = rc;
        return;
    }
    s->why = STAMP_OK;
    if (s->sent > 0 || s->e->every_s == 0) {
        (void)printf("%s: %u entries\n", s->e->online.url, s->sent);
        (void)fflush(stdout);
    }
}

static int send_all(struct sending *s)
{
    const struct timespec pause = {.tv_sec = (time_t)s->e->every_s};
    struct stamp_error err = STAMP_ERROR_INIT;

    for (;;) {
        enum stamp_err rc = pass(s, &err);

        if (rc != STAMP_OK && (s->e->every_s == 0 || !may_pass(rc))) {
            return station_fail(&err, "what was sent before stays there");
        }
        say(s, rc, &err);
        if (s->e->every_s == 0 || stop != 0) {
            return cli_flush(s->sums.problems > 0 ? CLI_NOT_AUTHENTIC : CLI_DONE);
        }
        (void)nanosleep(&pause, NULL);
        stamp_error_clear(&err);
        if (stop != 0) {
            return cli_flush(CLI_DONE);
        }
    }
}

int station_send(struct station_export *e, const struct stamp_site *site)
{
    struct sending s = {.e = e, .site = site};
    struct stamp_error err = STAMP_ERROR_INIT;
    struct sigaction action;
    char *pem = NULL;
    int status;
    enum stamp_err rc = stamp_pki_text(site->cert.root, &pem, &err);

    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    e->online.trust_pem = pem;
    e->online.patience_s = e->every_s == 0 ? 0 : HURRIED_S;
    if (rc == STAMP_OK) {
        rc = cli_online_open(&e->online, NULL, &err);
    }
    status = rc == STAMP_OK ? send_all(&s) : station_fail(&err, "nothing was sent");
    cli_online_close(&e->online);
    free(pem);
    return status;
}

/* What the line's files share. */
#ifndef STATION_LINE_OWN_H
#define STATION_LINE_OWN_H

#include <pthread.h>
#include <signal.h>

#include "host/birth.h"
#include "host/https.h"
#include "station/line.h"

/* The most units that the journal may know of before the token counted them: SPEC 15-7.
 */
#define STAMPI_LINE_AHEAD 64u

struct stampi_work;

struct stamp_line {
    const struct stamp_site *site;
    struct stamp_line_setup setup;
    struct stamp_session *session;
    struct stamp_buffer plain; /* of the order */
    struct stamp_order order;
    struct stamp_profile *profile;
    X509 *issuer;                /* the station CA, or of the service: */
    struct stamp_https *service; /* NULL = the token signs */
    char *root_pem;              /* whom it is believed to be */
    struct stamp_birth_maker *births;
    struct stamp_journal *journal;
    pthread_mutex_t lock;  /* journal and token */
    pthread_mutex_t queue; /* what waits for them */
    pthread_mutex_t say;
    bool locks;                /* they are made */
    struct stampi_work *first; /* with `queue` held */
    struct stampi_work **last;
    uint32_t counted;                   /* units, by the token */
    struct stamp_journal_status status; /* as it was last; with `say` held */
    unsigned since;                     /* units done since the last checkpoint */
    int64_t wall_at;                    /* the clock when the line was started, seconds */
    int64_t passed_at;                  /* and the machine's, which nobody sets */
    int64_t ca_from;                    /* when the issuer's certificate begins */
    bool up;                            /* opened */
    bool halted;                        /* by itself, which was said */
    volatile sig_atomic_t stop;
};

/* ---- with the lock held ---- */

/** Begin to watch the clock. */
enum stamp_err stampi_line_clock_start(struct stamp_line *line, struct stamp_error *err);

/** Now, as far as it can be: not before the journal's last entry, the order or the
 * station CA, and not set while the line runs. STAMP_E_STATE: it is in doubt; the line
 * stops, which is said once. */
enum stamp_err stampi_line_clock(struct stamp_line *line, uint64_t *now,
                                 struct stamp_error *err);

/** May a unit be begun, or signed for? STAMP_E_STATE: the order is over; the line stops.
 */
enum stamp_err stampi_line_holds(struct stamp_line *line, uint64_t now,
                                 struct stamp_error *err);

/** Append entries at one time: all or none, on the disk when it returns. */
enum stamp_err stampi_line_append(struct stamp_line *line,
                                  struct stamp_journal_entry *entries, size_t n,
                                  struct stamp_error *err);
enum stamp_err stampi_line_append_kind(struct stamp_line *line,
                                       enum stamp_journal_kind kind, const char *why,
                                       struct stamp_error *err);

/** Something that a line needs and that may be away for a while. */
typedef enum stamp_err (*stampi_line_op)(struct stamp_line *line, void *arg,
                                         struct stamp_error *err);
struct stampi_line_need {
    stampi_line_op op;
    bool (*is_loss)(enum stamp_err rc);
    /* It is there again; NULL = only the operation itself can tell. */
    bool (*is_back)(struct stamp_line *line);
    const char *name; /* "the token" */
};

/** Do it; while what it needs is away the line stands, which is in the journal, and ends
 * when the line is stopped. */
enum stamp_err stampi_line_persist(struct stamp_line *line,
                                   const struct stampi_line_need *need, void *arg,
                                   struct stamp_error *err);

/** Sign a certificate, count: both wait while the token is away, and end when the line is
 * stopped. */
enum stamp_err stampi_line_token_sign(struct stamp_line *line, const uint8_t digest[32],
                                      uint8_t sig[64], struct stamp_error *err);
enum stamp_err stampi_line_token_count(struct stamp_line *line, uint32_t n,
                                       struct stamp_error *err);

/** Sign something else than the journal with its key; waits. */
enum stamp_err stampi_line_token_vouch(struct stamp_line *line, const uint8_t digest[32],
                                       uint8_t sig[64], struct stamp_error *err);

/** Connect to the service, and get to know who signs there. SPEC 17. */
enum stamp_err stampi_line_service_open(struct stamp_line *line, struct stamp_error *err);
void stampi_line_service_close(struct stamp_line *line);

/** Have the service sign what was intended for a unit; waits while it is away.
 *
 * @param out  STAMP_MAX_CERTIFICATE bytes
 * @retval STAMP_E_AUTH  it refuses, or signs something else */
enum stamp_err stampi_line_service_sign(struct stamp_line *line, uint32_t index,
                                        const struct stamp_request *r,
                                        struct stamp_slice tbs, uint8_t *out, size_t *len,
                                        struct stamp_error *err);

/** Sign the journal's head; fails at once where the token is away. */
enum stamp_err stampi_line_sign_journal(void *line, const uint8_t digest[32],
                                        uint8_t sig[64], struct stamp_error *err);

enum stamp_err stampi_line_serial(struct stamp_line *line, uint32_t index,
                                  char serial[STAMP_SERIAL_SIZE],
                                  struct stamp_error *err);

/** A unit that was begun, from the journal. */
enum stamp_err stampi_line_recall(struct stamp_line *line,
                                  const struct stamp_journal_unit *is,
                                  struct stamp_line_unit *u, struct stamp_error *err);

/** The entry that begins a unit: its index, serial and offer are in `u` then. */
enum stamp_err stampi_line_begin(struct stamp_line *line, uint32_t index,
                                 struct stamp_slice chip, uint64_t now,
                                 struct stamp_line_unit *u, struct stamp_journal_entry *e,
                                 struct stamp_error *err);

/** What will be signed of a unit's certificate: what was intended before, or a new one.
 *
 * @param fresh  it is to be written down before it is signed
 * @param tbs    STAMP_MAX_CERTIFICATE bytes */
enum stamp_err stampi_line_intent(struct stamp_line *line,
                                  const struct stamp_line_unit *u,
                                  const struct stamp_request *r, uint64_t now,
                                  bool *fresh, uint8_t *tbs, size_t *len,
                                  struct stamp_error *err);

void stampi_line_entry(struct stamp_line *line, const struct stamp_line_unit *u,
                       enum stamp_journal_kind kind, struct stamp_journal_entry *e);

/* ---- with no lock held ---- */

enum stampi_work_kind { STAMPI_BEGIN, STAMPI_SIGN, STAMPI_NOTE };

/**
 * What a port wants of journal and token. Whoever gets the lock does what waits of all
 * ports, so that they share one write to the disk and one count in the token.
 */
struct stampi_work {
    enum stampi_work_kind kind;
    struct stamp_line_unit *unit;
    struct stamp_slice chip;         /* of BEGIN */
    const struct stamp_request *r;   /* of SIGN */
    struct stamp_journal_entry note; /* of NOTE */
    struct stamp_error *err;
    enum stamp_err rc;
    bool done;

    /* of the round that it is in */
    bool again; /* it waits for the next round */
    uint8_t tbs[STAMP_MAX_CERTIFICATE];
    size_t tbs_len;
    struct stampi_work *next;
};

enum stamp_err stampi_line_work(struct stamp_line *line, struct stampi_work *w);

#endif

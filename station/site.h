/*
 * A station's directory: where its keys are, what headquarters gave it, its journal.
 *
 *     station.json   the token, the names of the three keys in it, whether it is a PIV
 *     station.csr    requests for headquarters
 *     station.pem    what headquarters answered (host/station_cert.h)
 *     journal.db     station/journal.h
 */
#ifndef STATION_SITE_H
#define STATION_SITE_H

#include <limits.h>

#include "host/station_cert.h"
#include "host/token_session.h"

#define STAMP_SITE_CSR "station.csr"
#define STAMP_SITE_PEM "station.pem"
#define STAMP_SITE_JOURNAL "journal.db"

struct stamp_site {
    char dir[PATH_MAX];
    char token[512];                    /* pkcs11: URI */
    char label[STAMP_STATION_KEYS][48]; /* as stamp_session_key() takes them */
    bool piv; /* keys are made by its own tool, and it keeps no count */
    bool enrolled;
    struct stamp_station_cert cert; /* where it is enrolled */
};

struct stamp_site_setup {
    const char *dir;
    const char *token;
    const char *suffix; /* of the keys' names; NULL = none */
    bool piv;           /* keys are in the slots 9c (CA), 9d (box) and 9a (journal) */
    uint32_t limit;     /* signatures of the station CA's key, where the token has that */
    struct stamp_pin pin;
};

/**
 * Make the directory, find or make the keys, write the requests. Called again it does
 * what was not done.
 *
 * @param made  which keys are new
 * @retval STAMP_E_EXISTS   the directory is that of another token
 * @retval STAMP_E_MISSING  a slot of a PIV has no key
 */
STAMP_MUST_USE enum stamp_err stamp_site_init(const struct stamp_site_setup *setup,
                                              bool made[STAMP_STATION_KEYS],
                                              struct stamp_error *err);

/** Open. STAMP_E_MISSING: it is no station. */
STAMP_MUST_USE enum stamp_err stamp_site_open(const char *dir, struct stamp_site *s,
                                              struct stamp_error *err);
void stamp_site_close(struct stamp_site *s);
#define STAMP_SITE_AUTO __attribute__((cleanup(stamp_site_close))) struct stamp_site

/** Take in what headquarters answered: it must be for this station's keys, and once it is
 * there, of the same owner. */
STAMP_MUST_USE enum stamp_err stamp_site_enrol(struct stamp_site *s, const char *pem,
                                               struct stamp_error *err);

/** Path of something in it. */
STAMP_MUST_USE enum stamp_err stamp_site_path(const struct stamp_site *s,
                                              const char *name, char out[PATH_MAX],
                                              struct stamp_error *err);

/** What one of its keys must do in its token. */
enum stamp_token_use stamp_site_use(const struct stamp_site *s,
                                    enum stamp_station_key which);

/** URI of one of its keys. */
STAMP_MUST_USE enum stamp_err stamp_site_uri(const struct stamp_site *s,
                                             enum stamp_station_key which, char out[640],
                                             struct stamp_error *err);

#endif

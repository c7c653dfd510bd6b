/*
 * Does an entry of results contradict what is on the books? SPEC 12-10, and what follows
 * from it where several books were kept of one batch file: a stamp that two of them
 * handed out may be on two units.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "host/import_own.h"

#define WHAT_SIZE 512u

/* What the history says of a device. */
struct past {
    const struct stamp_books_line *entry;
    bool struck;
    bool scrapped;
    bool returned;    /* unused */
    bool quarantined; /* revoked by an import */
    bool same_strike; /* it was struck as the entry says it was, */
    bool same_scrap;  /* or scrapped */
    time_t struck_at;
    time_t scrapped_at;
};

void stampi_import_conflict(struct stampi_importer *m, const char *serial,
                            const char *fmt, ...)
{
    char what[WHAT_SIZE];
    size_t len;
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    len = strlen(what);
    (void)snprintf(what + len, sizeof what - len, "; %s", m->blame);
    m->out->conflicts++;
    if (m->job->conflict != NULL) {
        m->job->conflict(m->job->ctx, serial, what);
    }
}

static const char *when(time_t t, char out[32])
{
    struct tm tm;

    if (gmtime_r(&t, &tm) == NULL || strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) {
        memcpy(out, "?", 2);
    }
    return out;
}

static bool remember(void *ctx, const struct stamp_registry_entry *e)
{
    struct past *past = ctx;
    const struct stamp_books_line *entry = past->entry;
    bool same = e->at == entry->reported_at && strcmp(e->who, entry->who) == 0 &&
                strcmp(e->where, entry->where) == 0;

    switch (e->state) {
    case STAMP_REGISTRY_STRUCK:
        past->struck = true;
        past->struck_at = e->at;
        past->same_strike = same;
        break;
    case STAMP_REGISTRY_SCRAPPED:
        past->scrapped = true;
        past->scrapped_at = e->at;
        past->same_scrap = same && strcmp(e->why, entry->reason) == 0;
        break;
    case STAMP_REGISTRY_RETURNED:
        past->returned = past->returned || !past->struck;
        break;
    case STAMP_REGISTRY_REVOKED:
        past->quarantined =
            strncmp(e->why, STAMPI_IMPORT_WHY, strlen(STAMPI_IMPORT_WHY)) == 0;
        break;
    case STAMP_REGISTRY_RESERVED:
    case STAMP_REGISTRY_ISSUED:
    case STAMP_REGISTRY_LABELLED:
    case STAMP_REGISTRY_SHIPPED:
    case STAMP_REGISTRY_ACTIVE:
    case STAMP_REGISTRY_RE_STRUCK:
        break;
    }
    return true;
}

/* "struck on C1 at T": what an entry says, or the books. */
static const char *said(enum stamp_books_result result, const char *chip, time_t at,
                        char out[160])
{
    char time[32];

    if (result == STAMP_BOOKS_UNUSED || result == STAMP_BOOKS_IN_DOUBT) {
        return result == STAMP_BOOKS_UNUSED ? "returned" : "in doubt";
    }
    (void)snprintf(out, 160, "%s chip %s at %s",
                   result == STAMP_BOOKS_STRUCK ? "struck on" : "scrapped with",
                   chip[0] == '\0' ? "(unknown)" : chip, when(at, time));
    return out;
}

static const char *says(const struct stamp_books_line *entry, char out[160])
{
    return said(entry->result, entry->chip, entry->reported_at, out);
}

static const char *was(const struct stamp_registry_row *row, const struct past *past,
                       char out[160])
{
    return past->scrapped ? said(STAMP_BOOKS_SCRAPPED, row->chip, past->scrapped_at, out)
                          : said(STAMP_BOOKS_STRUCK, row->chip, past->struck_at, out);
}

static enum stampi_import_verdict against(struct stampi_importer *m,
                                          const struct stamp_books_line *entry,
                                          const char *before)
{
    char now[160];

    stampi_import_conflict(m, entry->serial, "%s, but was %s before", says(entry, now),
                           before);
    return STAMPI_IMPORT_CONFLICT;
}

/* Returned, or in doubt. Once results of a volume are there, what is still issued was in
 * doubt in them. */
static enum stampi_import_verdict judge_unused(struct stampi_importer *m,
                                               const struct stamp_books_line *entry,
                                               const struct stamp_registry_row *row,
                                               const struct past *past)
{
    bool doubt = entry->result == STAMP_BOOKS_IN_DOUBT;
    char before[160];

    if (past->struck || past->scrapped) {
        /* Earlier results may not have known yet. */
        return doubt && m->known && m->out->superseded
                   ? STAMPI_IMPORT_NOTHING
                   : against(m, entry, was(row, past, before));
    }
    if (past->returned) {
        return doubt ? against(m, entry, "returned unused") : STAMPI_IMPORT_NOTHING;
    }
    if (row->state != STAMP_REGISTRY_ISSUED) {
        return STAMPI_IMPORT_NOTHING; /* revoked by headquarters */
    }
    if (doubt) {
        return m->others && !m->known ? against(m, entry, "in doubt in other books")
                                      : STAMPI_IMPORT_NOTHING;
    }
    return m->others || m->known ? against(m, entry, "in doubt") : STAMPI_IMPORT_NEWS;
}

static uint32_t hash(const char *text)
{
    uint32_t h = UINT32_C(2166136261);

    for (; *text != '\0'; text++) {
        h = (h ^ (uint8_t)*text) * UINT32_C(16777619);
    }
    return h;
}

/* Has a line that is not on the books yet this chip? Else it is put down. */
static const char *pending_chip(struct stampi_importer *m,
                                const struct stamp_books_line *entry)
{
    uint32_t at = hash(entry->chip) % STAMPI_IMPORT_CHIPS;

    for (; m->chips[at] != 0; at = (at + 1) % STAMPI_IMPORT_CHIPS) {
        const struct stamp_books_line *other = &m->lines[m->chips[at] - 1].entry;

        if (strcmp(other->chip, entry->chip) == 0) {
            return other->serial;
        }
    }
    m->chips[at] = (uint16_t)(m->n_lines + 1);
    return NULL;
}

/* One chip, two serials? */
static enum stamp_err judge_chip(struct stampi_importer *m,
                                 struct stampi_import_line *line,
                                 enum stampi_import_verdict *verdict,
                                 struct stamp_error *err)
{
    struct stamp_registry_row other = {.id = 0};
    struct stamp_error why = STAMP_ERROR_INIT;
    const char *pending;
    char now[160];
    char at[32];
    enum stamp_err rc;

    if (line->entry.chip[0] == '\0') {
        return STAMP_OK;
    }
    rc = stamp_registry_find_chip(m->ws->registry, line->entry.chip, &other, &why);
    if (rc == STAMP_OK && strcmp(other.serial, line->entry.serial) != 0) {
        memcpy(line->other, other.serial, sizeof line->other);
        stampi_import_conflict(
            m, line->entry.serial, "%s, which has '%s' (%s since %s) already",
            says(&line->entry, now), other.serial, stamp_registry_state_name(other.state),
            when(other.at, at));
        *verdict = STAMPI_IMPORT_CONFLICT;
    }
    stamp_registry_row_fini(&other);
    if (rc != STAMP_OK && rc != STAMP_E_MISSING) {
        *err = why;
        return rc;
    }
    pending = *verdict == STAMPI_IMPORT_NEWS ? pending_chip(m, &line->entry) : NULL;
    if (pending != NULL) {
        (void)snprintf(line->other, sizeof line->other, "%s", pending);
        stampi_import_conflict(m, line->entry.serial,
                               "%s, which '%s' in the same results is on, too",
                               says(&line->entry, now), pending);
        *verdict = STAMPI_IMPORT_CONFLICT;
    }
    return STAMP_OK;
}

/* Struck or scrapped, and nothing was known of it but perhaps that it was in doubt. */
static enum stampi_import_verdict judge_first(struct stampi_importer *m,
                                              const struct stamp_books_line *entry,
                                              const struct stamp_registry_row *row)
{
    if (row->state != STAMP_REGISTRY_ISSUED) {
        return against(m, entry, stamp_registry_state_name(row->state));
    }
    if (m->others && !m->known) {
        return against(m, entry, "in doubt in other books");
    }
    if (m->forked || m->out->superseded) {
        return against(m, entry, "in doubt");
    }
    return STAMPI_IMPORT_NEWS;
}

static bool one_chip(const char *a, const char *b)
{
    return a[0] != '\0' && strcmp(a, b) == 0;
}

static bool two_chips(const char *a, const char *b)
{
    return a[0] != '\0' && b[0] != '\0' && strcmp(a, b) != 0;
}

static enum stampi_import_verdict judge_struck(struct stampi_importer *m,
                                               const struct stamp_books_line *entry,
                                               const struct stamp_registry_row *row,
                                               const struct past *past)
{
    bool equal = strcmp(row->chip, entry->chip) == 0;
    bool same = past->same_strike && equal && (m->known || entry->chip[0] != '\0');
    char before[160];

    if (past->scrapped) {
        /* Earlier results may not have known yet. */
        return m->known && m->out->superseded && equal && (same || !past->struck)
                   ? STAMPI_IMPORT_NOTHING
                   : against(m, entry, was(row, past, before));
    }
    if (same || (!m->known && one_chip(row->chip, entry->chip))) {
        return STAMPI_IMPORT_NOTHING;
    }
    return against(m, entry, was(row, past, before));
}

static enum stampi_import_verdict judge_scrapped(struct stampi_importer *m,
                                                 const struct stamp_books_line *entry,
                                                 const struct stamp_registry_row *row,
                                                 const struct past *past)
{
    char before[160];

    if (two_chips(row->chip, entry->chip) ||
        (m->known && past->struck && strcmp(row->chip, entry->chip) != 0)) {
        return against(m, entry, was(row, past, before));
    }
    if (past->scrapped) {
        /* Two books that scrapped it have no unit to show. */
        return past->same_scrap || !m->known ? STAMPI_IMPORT_NOTHING
                                             : against(m, entry, was(row, past, before));
    }
    if (!m->known || m->out->superseded) {
        return against(m, entry, was(row, past, before));
    }
    return stamp_registry_may(row->state, STAMP_REGISTRY_SCRAPPED)
               ? STAMPI_IMPORT_NEWS
               : STAMPI_IMPORT_NOTHING; /* revoked: that is more */
}

static enum stampi_import_verdict judge_used(struct stampi_importer *m,
                                             const struct stamp_books_line *entry,
                                             const struct stamp_registry_row *row,
                                             const struct past *past)
{
    if (past->returned) {
        return against(m, entry, "returned unused");
    }
    if (!past->struck && !past->scrapped) {
        return judge_first(m, entry, row);
    }
    return entry->result == STAMP_BOOKS_STRUCK ? judge_struck(m, entry, row, past)
                                               : judge_scrapped(m, entry, row, past);
}

enum stamp_err stampi_import_judge(struct stampi_importer *m,
                                   struct stampi_import_line *line,
                                   const struct stamp_registry_row *row,
                                   enum stampi_import_verdict *verdict,
                                   struct stamp_error *err)
{
    const struct stamp_books_line *entry = &line->entry;
    struct past past = {.entry = entry};
    enum stamp_err rc = STAMP_OK;

    *verdict = STAMPI_IMPORT_NOTHING;
    if (row->own) {
        rc = stamp_registry_history(m->ws->registry, entry->serial, remember, &past, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    if (past.quarantined) {
        *verdict = STAMPI_IMPORT_QUARANTINED;
        return STAMP_OK;
    }
    if (entry->result == STAMP_BOOKS_UNUSED || entry->result == STAMP_BOOKS_IN_DOUBT) {
        *verdict = judge_unused(m, entry, row, &past);
        return STAMP_OK;
    }
    *verdict = judge_used(m, entry, row, &past);
    return *verdict == STAMPI_IMPORT_NEWS ? judge_chip(m, line, verdict, err) : STAMP_OK;
}

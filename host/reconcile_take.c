/* Exports of stations, taken in. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "host/file.h"
#include "host/hex.h"
#include "host/reconcile_own.h"
#include "host/registry_log.h"

static enum stamp_err whose(void *ctx, const uint8_t station[32], X509 **journal,
                            struct stamp_error *err)
{
    struct stamp_station_cert cert;
    enum stamp_err rc = stampi_reconcile_station(ctx, station, &cert, err);

    *journal = NULL;
    if (rc == STAMP_OK) {
        *journal = cert.cert[STAMP_STATION_JOURNAL];
        X509_up_ref(*journal);
        stamp_station_cert_fini(&cert);
    }
    return rc;
}

/* How far the station's journal was, so that nobody can say later that it was not. */
static enum stamp_err anchor(const struct stamp_workspace *ws,
                             const struct stamp_journal_part *part,
                             struct stamp_error *err)
{
    char station[2 * 32 + 1];
    char name[128];

    stamp_hex(part->station, sizeof part->station, station);
    (void)snprintf(name, sizeof name, "journal of station %.16s, entry %u", station,
                   part->head);
    return stamp_registry_log_anchor(ws->registry, name, part->head_hash, time(NULL),
                                     err);
}

static enum stamp_err take_parts(const struct stamp_workspace *ws, EVP_PKEY *home,
                                 const char *path, struct stamp_slice in,
                                 struct stampi_teller *t, struct stamp_error *err)
{
    static struct stamp_journal_part part;
    enum stamp_err rc = STAMP_OK;

    for (unsigned n = 1; in.len > 0 && rc == STAMP_OK; n++) {
        struct stamp_error why = STAMP_ERROR_INIT;
        struct stamp_buffer plain;
        size_t used;
        enum stamp_err opened = stamp_journal_part_open(
            in, home, whose, (void *)(uintptr_t)ws, &used, &plain, &part, &why);

        if (opened != STAMP_OK) {
            t->r->damaged++;
            stampi_say(t, STAMP_RECONCILE_DAMAGED, NULL, "%s, part %u: %s%s", path, n,
                       why.what, used == 0 ? "; the file ends there" : "");
            if (used == 0) {
                break;
            }
        } else {
            uint32_t before = t->r->stored.added;

            rc = stamp_registry_journal_put(ws->registry, &part, &t->r->stored, err);
            if (rc == STAMP_OK && t->r->stored.added > before) {
                rc = anchor(ws, &part, err);
            }
            t->r->parts++;
            stamp_buffer_free(&plain);
        }
        in.p += used;
        in.len -= used;
    }
    return rc;
}

enum stamp_err stamp_reconcile_take_bytes(const struct stamp_workspace *ws,
                                          EVP_PKEY *home, const char *name,
                                          struct stamp_slice bytes,
                                          stamp_reconcile_tell tell, void *ctx,
                                          struct stamp_reconciled *r,
                                          struct stamp_error *err)
{
    struct stampi_teller t = {tell, ctx, r};

    return take_parts(ws, home, name, bytes, &t, err);
}

enum stamp_err stamp_reconcile_take(const struct stamp_workspace *ws, EVP_PKEY *home,
                                    const char *path, stamp_reconcile_tell tell,
                                    void *ctx, struct stamp_reconciled *r,
                                    struct stamp_error *err)
{
    struct stamp_slice file;
    enum stamp_err rc = stamp_file_map(path, &file, err);

    if (rc == STAMP_OK) {
        rc = stamp_reconcile_take_bytes(ws, home, path, file, tell, ctx, r, err);
        stamp_file_unmap(&file);
    }
    return rc;
}

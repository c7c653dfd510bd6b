#include "host/returned.h"

#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host/hex.h"
#include "host/key.h"
#include "host/pki.h"
#include "host/prove.h"
#include "host/reconcile_own.h"
#include "host/unit.h"

enum { PAGE = 64, WHY_MAX = 320 };

enum stamp_err stamp_returned_order(struct stamp_registry *books,
                                    struct stamp_slice certificate,
                                    struct stamp_registry_order *order, uint32_t *index,
                                    struct stamp_error *err)
{
    static struct stamp_registry_order page[PAGE];
    STAMP_X509_AUTO *cert = NULL;
    const ASN1_INTEGER *number;
    const uint8_t *p;
    size_t n = PAGE;
    enum stamp_err rc = stamp_pki_decode(certificate, &cert, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    number = X509_get0_serialNumber(cert);
    p = ASN1_STRING_get0_data(number);
    for (uint32_t after = 0; n == PAGE && rc == STAMP_OK;
         after = page[PAGE - 1].batch.id) {
        rc = stamp_registry_order_list(books, after, page, PAGE, &n, err);
        for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
            if (ASN1_STRING_length(number) == STAMP_CERTIFICATE_SERIAL_SIZE &&
                memcmp(p, page[i].batch.prefix, sizeof page[i].batch.prefix) == 0) {
                *order = page[i];
                *index = (uint32_t)p[12] << 24 | (uint32_t)p[13] << 16 |
                         (uint32_t)p[14] << 8 | p[15];
                return STAMP_OK;
            }
        }
    }
    return rc != STAMP_OK
               ? rc
               : stamp_error_set(err, STAMP_E_MISSING, 0,
                                 "its certificate has a number of no order on the books");
}

struct returned {
    const struct stamp_shown *shown;
    char serial[STAMP_SERIAL_SIZE];
    uint8_t fingerprint[32];
    char chip[2 * STAMP_JOURNAL_CHIP_MAX + 1];
    bool has_order;
    struct stamp_registry_order order;
    uint32_t index;
    char station[STAMPI_RECONCILE_NAME_SIZE];
};

/* ---- from the device ---- */

static enum stamp_err read_leaf(struct stamp_smp_client *c,
                                struct stamp_journal_device *d, struct stamp_error *err)
{
    uint8_t *chain = NULL;
    size_t len;
    struct stamp_slice leaf;
    enum stamp_err rc = stamp_smp_item(c, STAMP_CERTIFICATES, STAMP_BIRTH, STAMP_MAX_LEN,
                                       &chain, &len, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    leaf = stamp_pki_leaf((struct stamp_slice){chain, len});
    if (leaf.p != NULL && leaf.len <= sizeof d->certificate) {
        memcpy(d->certificate, leaf.p, leaf.len);
        d->certificate_len = leaf.len;
    } else {
        rc = stamp_error_set(err, STAMP_E_FORMAT, 0, "the device has no certificate");
    }
    free(chain);
    return rc;
}

enum stamp_err stamp_returned_ask(struct stamp_smp_client *c,
                                  const struct stamp_trust *trust,
                                  struct stamp_shown *out, struct stamp_error *err)
{
    struct stamp_error why = STAMP_ERROR_INIT;
    struct stamp_proof proof;
    struct stamp_unit unit = {.chip_len = 0};
    enum stamp_err rc = stamp_prove_device(c, trust, STAMP_BIRTH, &proof, err);

    memset(out, 0, sizeof *out);
    if (rc == STAMP_OK) {
        rc = read_leaf(c, &out->device, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    rc = stamp_unit_ask(c, &unit, &why);
    if (rc == STAMP_E_TIMEOUT) {
        return stamp_error_set(err, rc, why.native, "%s", why.what);
    }
    out->strikes = rc == STAMP_OK;
    memcpy(out->device.chip, unit.chip, unit.chip_len);
    out->device.chip_len = unit.chip_len;
    out->device.lock = (uint8_t)unit.lock;
    out->can = (uint8_t)unit.can;
    out->device.at = (uint64_t)time(NULL);
    return STAMP_OK;
}

bool stamp_returned_strange(const struct stamp_error *why, stamp_reconcile_tell tell,
                            void *ctx, struct stamp_reconciled *r)
{
    struct stampi_teller t = {tell, ctx, r};

    if (why->code != STAMP_E_AUTH && why->code != STAMP_E_PURPOSE &&
        why->code != STAMP_E_ROLLBACK && why->code != STAMP_E_BLANK &&
        why->code != STAMP_E_CORRUPT) {
        return false;
    }
    stampi_say(&t, STAMP_RECONCILE_STRANGE, NULL, "%s", why->what);
    return true;
}

/* What its certificate says, and where it belongs. */
static enum stamp_err place(const struct stamp_workspace *ws, struct returned *d,
                            struct stamp_error *err)
{
    const struct stamp_journal_device *device = &d->shown->device;
    const struct stamp_slice leaf = {device->certificate, device->certificate_len};
    STAMP_X509_AUTO *cert = NULL;
    struct stamp_error why = STAMP_ERROR_INIT;
    uint8_t point[STAMP_POINT_SIZE];
    enum stamp_err rc = stamp_pki_decode(leaf, &cert, err);

    if (rc == STAMP_OK) {
        rc = stamp_pki_serial(cert, d->serial, sizeof d->serial, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_key_point(X509_get0_pubkey(cert), point, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_key_hash(point, d->fingerprint, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    stamp_hex(device->chip, device->chip_len, d->chip);
    rc = stamp_returned_order(ws->registry, leaf, &d->order, &d->index, &why);
    d->has_order = rc == STAMP_OK;
    if (d->has_order) {
        stamp_hex(d->order.station, 8, d->station);
    }
    return rc == STAMP_OK || rc == STAMP_E_MISSING
               ? STAMP_OK
               : stamp_error_set(err, rc, why.native, "%s", why.what);
}

/* ---- beside the books ---- */

/* A device that the books do not know by its key. */
static enum stamp_err why_unknown(const struct stamp_workspace *ws,
                                  const struct returned *d, char why[WHY_MAX],
                                  struct stamp_error *err)
{
    struct stamp_error unknown = STAMP_ERROR_INIT;
    struct stamp_registry_row row;
    enum stamp_err rc = stamp_registry_find(ws->registry, d->serial, &row, &unknown);

    if (rc == STAMP_OK) {
        (void)snprintf(why, WHY_MAX,
                       "the books have another key for its serial (%s): one of both is "
                       "not ours",
                       stamp_registry_state_name(row.state));
        stamp_registry_row_fini(&row);
    } else if (rc == STAMP_E_MISSING && d->has_order) {
        (void)snprintf(why, WHY_MAX,
                       "it is on no books: by its certificate it is unit %u of order %s, "
                       "and no journal that came home tells of it, or it was refused",
                       d->index, d->order.batch.name);
    } else if (rc == STAMP_E_MISSING) {
        (void)snprintf(why, WHY_MAX,
                       "it is on no books, and its certificate of no order");
    } else {
        return stamp_error_set(err, rc, unknown.native, "%s", unknown.what);
    }
    return STAMP_OK;
}

/* "" = it agrees. */
static void compare(const struct returned *d, const struct stamp_registry_row *row,
                    char why[WHY_MAX])
{
    const char *state = stamp_registry_state_name(row->state);
    const struct stamp_journal_device *device = &d->shown->device;

    why[0] = '\0';
    if (row->certificate != NULL &&
        (row->certificate_len != device->certificate_len ||
         memcmp(row->certificate, device->certificate, row->certificate_len) != 0)) {
        (void)snprintf(why, WHY_MAX, "the books have another certificate of its key");
    } else if (row->state == STAMP_REGISTRY_SCRAPPED ||
               row->state == STAMP_REGISTRY_REVOKED) {
        (void)snprintf(why, WHY_MAX, "it is in use, and the books have it as %s", state);
    } else if (row->state <= STAMP_REGISTRY_ISSUED) {
        (void)snprintf(why, WHY_MAX,
                       "it is in use, and the books have it as %s: its strike did not "
                       "come home",
                       state);
    } else if (row->chip[0] != '\0' && d->chip[0] != '\0' &&
               strcmp(row->chip, d->chip) != 0) {
        (void)snprintf(why, WHY_MAX, "it runs on chip %.24s, and the books have %.24s",
                       d->chip, row->chip);
    } else if (d->shown->strikes && d->has_order && !d->order.lock_later &&
               ((device->lock & STAMP_UNIT_LOCK_WRITE) == 0 ||
                (d->shown->can & ~device->lock) != 0)) {
        (void)snprintf(why, WHY_MAX, "its order locks at once, and it is not locked");
    }
}

static enum stamp_err judge(const struct stamp_workspace *ws, const struct returned *d,
                            const char *port, struct stampi_teller *t,
                            struct stamp_error *err)
{
    const char *serial = d->serial;
    const char *station = d->has_order ? d->station : NULL;
    struct stamp_error unknown = STAMP_ERROR_INIT;
    struct stamp_registry_row row;
    char why[WHY_MAX] = "";
    enum stamp_err rc =
        stamp_registry_find_key(ws->registry, d->fingerprint, &row, &unknown);

    if (rc == STAMP_E_MISSING) {
        rc = why_unknown(ws, d, why, err);
    } else if (rc == STAMP_OK) {
        compare(d, &row, why);
        if (why[0] == '\0') {
            stampi_say(t, STAMP_RECONCILE_DEVICE, station,
                       "device %s on %s agrees with the books: %s%s%s%s", serial, port,
                       stamp_registry_state_name(row.state), d->chip[0] ? ", chip " : "",
                       d->chip,
                       d->shown->strikes && d->shown->device.lock != 0 ? ", locked" : "");
        }
        stamp_registry_row_fini(&row);
    } else {
        rc = stamp_error_set(err, rc, unknown.native, "%s", unknown.what);
    }
    if (rc == STAMP_OK && why[0] != '\0') {
        stampi_say(t, STAMP_RECONCILE_STRANGE, station, "device %s on %s: %s", serial,
                   port, why);
    }
    return rc;
}

enum stamp_err stamp_returned(const struct stamp_workspace *ws,
                              const struct stamp_shown *shown, const char *port,
                              stamp_reconcile_tell tell, void *ctx,
                              struct stamp_reconciled *r, struct stamp_error *err)
{
    struct stampi_teller t = {tell, ctx, r};
    struct returned d = {.shown = shown};
    enum stamp_err rc = place(ws, &d, err);

    if (rc == STAMP_OK) {
        rc = stamp_registry_journal_device(ws->registry, &shown->device, err);
    }
    return rc == STAMP_OK ? judge(ws, &d, port, &t, err) : rc;
}

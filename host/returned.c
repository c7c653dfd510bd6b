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

/* What it showed, and where it belongs. */
struct returned {
    struct stamp_proof proof;
    struct stamp_unit unit;
    bool strikes; /* it can be asked for chip and lock */
    char chip[2 * STAMP_JOURNAL_CHIP_MAX + 1];
    struct stamp_journal_device device;
    bool has_order;
    struct stamp_registry_order order;
    uint32_t index;
    char station[STAMPI_RECONCILE_NAME_SIZE];
};

static enum stamp_err read_leaf(struct stamp_smp_client *c, struct returned *d,
                                struct stamp_error *err)
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
    if (leaf.p != NULL && leaf.len <= sizeof d->device.certificate) {
        memcpy(d->device.certificate, leaf.p, leaf.len);
        d->device.certificate_len = leaf.len;
    } else {
        rc = stamp_error_set(err, STAMP_E_FORMAT, 0, "the device has no certificate");
    }
    free(chain);
    return rc;
}

static enum stamp_err ask(const struct stamp_workspace *ws, struct stamp_smp_client *c,
                          const struct stamp_trust *trust, struct returned *d,
                          struct stamp_error *err)
{
    struct stamp_error why = STAMP_ERROR_INIT;
    struct stamp_slice leaf;
    enum stamp_err rc = stamp_prove_device(c, trust, STAMP_BIRTH, &d->proof, err);

    if (rc == STAMP_OK) {
        rc = read_leaf(c, d, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    rc = stamp_unit_ask(c, &d->unit, &why);
    d->strikes = rc == STAMP_OK;
    if (rc == STAMP_E_TIMEOUT) {
        return stamp_error_set(err, rc, why.native, "%s", why.what);
    }
    stamp_error_clear(&why);
    memcpy(d->device.chip, d->unit.chip, d->unit.chip_len);
    d->device.chip_len = d->unit.chip_len;
    stamp_hex(d->unit.chip, d->unit.chip_len, d->chip);
    d->device.lock = (uint8_t)d->unit.lock;
    d->device.at = (uint64_t)time(NULL);
    leaf = (struct stamp_slice){d->device.certificate, d->device.certificate_len};
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
    enum stamp_err rc =
        stamp_registry_find(ws->registry, d->proof.identity.serial, &row, &unknown);

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

    why[0] = '\0';
    if (row->certificate != NULL &&
        (row->certificate_len != d->device.certificate_len ||
         memcmp(row->certificate, d->device.certificate, row->certificate_len) != 0)) {
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
    } else if (d->strikes && d->has_order && !d->order.lock_later &&
               ((d->unit.lock & STAMP_UNIT_LOCK_WRITE) == 0 ||
                (d->unit.can & ~d->unit.lock) != 0)) {
        (void)snprintf(why, WHY_MAX, "its order locks at once, and it is not locked");
    }
}

static enum stamp_err judge(const struct stamp_workspace *ws, const struct returned *d,
                            const char *port, struct stampi_teller *t,
                            struct stamp_error *err)
{
    const char *serial = d->proof.identity.serial;
    const char *station = d->has_order ? d->station : NULL;
    struct stamp_error unknown = STAMP_ERROR_INIT;
    struct stamp_registry_row row;
    uint8_t fingerprint[32];
    char why[WHY_MAX] = "";
    enum stamp_err rc = stamp_key_hash(d->proof.identity.point, fingerprint, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    rc = stamp_registry_find_key(ws->registry, fingerprint, &row, &unknown);
    if (rc == STAMP_E_MISSING) {
        rc = why_unknown(ws, d, why, err);
    } else if (rc == STAMP_OK) {
        compare(d, &row, why);
        if (why[0] == '\0') {
            stampi_say(t, STAMP_RECONCILE_DEVICE, station,
                       "device %s on %s agrees with the books: %s%s%s%s", serial, port,
                       stamp_registry_state_name(row.state), d->chip[0] ? ", chip " : "",
                       d->chip, d->strikes && d->unit.lock != 0 ? ", locked" : "");
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
                              struct stamp_smp_client *client,
                              const struct stamp_trust *trust, stamp_reconcile_tell tell,
                              void *ctx, struct stamp_reconciled *r,
                              struct stamp_error *err)
{
    struct stampi_teller t = {tell, ctx, r};
    struct stamp_error why = STAMP_ERROR_INIT;
    struct returned d = {0};
    enum stamp_err rc = ask(ws, client, trust, &d, &why);

    if (rc == STAMP_E_AUTH || rc == STAMP_E_PURPOSE || rc == STAMP_E_ROLLBACK ||
        rc == STAMP_E_BLANK || rc == STAMP_E_CORRUPT) {
        stampi_say(&t, STAMP_RECONCILE_STRANGE, NULL, "%s", why.what);
        return STAMP_OK;
    }
    if (rc != STAMP_OK) {
        if (err != NULL) {
            *err = why;
        }
        return rc;
    }
    rc = stamp_registry_journal_device(ws->registry, &d.device, err);
    return rc == STAMP_OK ? judge(ws, &d, client->line.name, &t, err) : rc;
}

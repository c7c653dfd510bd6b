#include "cli/order_make.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/order_online.h"
#include "host/cms.h"
#include "host/file.h"
#include "host/key.h"
#include "host/pki.h"

/* ---- serials ---- */

static int compare(const char *a, const char *b)
{
    size_t x = strlen(a);
    size_t y = strlen(b);

    return x != y ? (x < y ? -1 : 1) : strcmp(a, b);
}

/* The counter of a serial: they ascend with it. 0 = it is not of the pattern. */
static uint64_t counter_of(const struct stamp_serial_pattern *pattern, const char *serial,
                           time_t now)
{
    uint64_t low = 1;
    uint64_t high = UINT32_MAX;
    char text[STAMP_SERIAL_SIZE];

    while (low < high) {
        uint64_t mid = low + (high - low) / 2;

        if (stamp_serial_format(pattern, mid, now, text, sizeof text, NULL) != STAMP_OK ||
            compare(text, serial) >= 0) {
            high = mid;
        } else {
            low = mid + 1;
        }
    }
    return stamp_serial_format(pattern, low, now, text, sizeof text, NULL) == STAMP_OK &&
                   strcmp(text, serial) == 0
               ? low
               : 0;
}

static enum stamp_err first_counter(const struct order_making *m, time_t now,
                                    uint64_t *first, struct stamp_error *err)
{
    const struct stamp_serial_pattern *pattern = &m->ws->profile->serial;
    const char *range = m->serials;
    char from[STAMP_SERIAL_SIZE];
    const char *to;
    uint64_t last;

    *first = 0;
    if (range == NULL || strcmp(range, "auto") == 0) {
        return STAMP_OK;
    }
    to = strstr(range, "..");
    if (to == NULL || (size_t)(to - range) >= sizeof from) {
        return stamp_error_set(err, STAMP_E_CONFIG, 0, "'%s' is no range FROM..TO",
                               range);
    }
    (void)snprintf(from, sizeof from, "%.*s", (int)(to - range), range);
    *first = counter_of(pattern, from, now);
    last = counter_of(pattern, to + 2, now);
    if (*first == 0 || last == 0) {
        return stamp_error_set(err, STAMP_E_CONFIG, 0,
                               "'%s' is no serial of the profile's pattern '%s' today",
                               *first == 0 ? from : to + 2, m->ws->profile->serial_text);
    }
    if (last < *first || last - *first + 1 != m->count) {
        return stamp_error_set(err, STAMP_E_CONFIG, 0,
                               "'%s' is not a range of %u serials", range, m->count);
    }
    return STAMP_OK;
}

static enum stamp_err load_stations(struct order_making *m, struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    for (unsigned i = 0; i < m->n_shares && rc == STAMP_OK; i++) {
        struct order_share *s = &m->share[i];

        rc = stamp_station_cert_load(s->station_file, &s->station, err);
        if (rc == STAMP_OK &&
            (memcmp(s->station.owner_hash, m->ws->owner_key_hash, 32) != 0 ||
             s->station.purpose != m->ws->purpose)) {
            rc = stamp_error_set(err, STAMP_E_AUTH, 0,
                                 "'%s' is of another workspace's station",
                                 s->station_file);
        }
        if (rc == STAMP_OK && s->station.uncounted && !m->uncounted) {
            stamp_error_hint(err, "where that will do (SECURITY.md): --uncounted");
            rc = stamp_error_set(err, STAMP_E_CONFIG, 0,
                                 "'%s' is of a station whose token keeps no count of the "
                                 "units it began",
                                 s->station_file);
        }
    }
    if (rc == STAMP_OK && m->n_shares > 1 &&
        memcmp(m->share[0].station.id, m->share[1].station.id,
               sizeof m->share[0].station.id) == 0) {
        rc = stamp_error_set(err, STAMP_E_CONFIG, 0,
                             "'%s' is the same station: a spare has a token of its own",
                             m->share[1].station_file);
    }
    return rc;
}

static enum stamp_err check(const struct order_making *m, struct stamp_error *err)
{
    const struct stamp_profile *p = m->ws->profile;

    if (strcmp(m->product, p->product) != 0) {
        return stamp_error_set(err, STAMP_E_CONFIG, 0,
                               "this workspace makes '%s', not '%s'", p->product,
                               m->product);
    }
    if (m->not_after <= m->now || (m->not_before > 0 && m->not_before >= m->not_after)) {
        return stamp_error_set(err, STAMP_E_CONFIG, 0,
                               "the order would hold at no time: see --not-after");
    }
    if (m->pop != STAMP_ORDER_POP_NONE && p->pop.length == 0) {
        return stamp_error_set(err, STAMP_E_CONFIG, 0,
                               "the profile has no proof of possession: --pop none");
    }
    if (p->provisioning == STAMP_PROFILE_KEY_PEER) {
        return stamp_error_set(err, STAMP_E_UNSUPPORTED, 0,
                               "the profile has a peer's provisioning key, and a device "
                               "that makes its keys itself makes that one too");
    }
    return stamp_profile_check_purpose(p, m->ws->purpose == STAMP_PRODUCTION, err);
}

/* ---- parts ---- */

static enum stamp_err open_recipient(struct order_making *m, struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    if (m->pop != STAMP_ORDER_POP_SEALED) {
        return STAMP_OK;
    }
    if (m->recipient != NULL) {
        rc = stamp_pki_load(m->recipient, &m->recipient_cert, err);
    } else {
        m->recipient_cert = m->share[0].station.home;
        X509_up_ref(m->recipient_cert);
    }
    if (rc == STAMP_OK) {
        rc = stamp_cms_check_recipient(m->recipient_cert, err);
    }
    return rc == STAMP_OK ? stamp_pki_encode(m->recipient_cert, &m->recipient_der,
                                             &m->recipient_len, err)
                          : rc;
}

/* The workspace's bundle again, with the recipient in it: devices seal to nobody else. */
static enum stamp_err make_bundle(struct order_making *m, struct stamp_error *err)
{
    struct stamp_bundle b;
    uint8_t point[STAMP_POINT_SIZE];
    enum stamp_err rc = stamp_bundle_decode(&b, m->ws->bundle, m->ws->bundle_len);

    b.recipient = (struct stamp_slice){NULL, 0};
    if (rc == STAMP_OK && m->recipient_cert != NULL) {
        rc = stamp_key_point(X509_get0_pubkey(m->recipient_cert), point, err);
        b.recipient = (struct stamp_slice){point, sizeof point};
    }
    return rc == STAMP_OK
               ? stamp_bundle_sign(&b, m->owner, m->bundle, &m->bundle_len, err)
               : rc;
}

static enum stamp_err seal(struct order_making *m, struct order_share *s,
                           struct stamp_error *err)
{
    const struct stamp_registry_batch *batch = &s->order.batch;
    char path[PATH_MAX];
    uint8_t *profile = NULL;
    uint8_t *ca = NULL;
    size_t profile_len = 0;
    size_t ca_len = 0;
    uint8_t digest[32];
    struct stamp_order o = {.purpose = m->ws->purpose, .count = s->count};
    enum stamp_err rc = stamp_workspace_path(m->ws, STAMP_PROFILE_FILE, path, err);

    if (rc == STAMP_OK) {
        rc = stamp_file_read(path, STAMP_ORDER_PROFILE_MAX, &profile, &profile_len, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_station_cert_der(&s->station, STAMP_STATION_CA, &ca, &ca_len, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_serial_format(&m->ws->profile->serial, batch->first_counter, batch->at,
                                 s->first_serial, sizeof s->first_serial, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_serial_format(&m->ws->profile->serial,
                                 batch->first_counter + s->count - 1, batch->at,
                                 s->last_serial, sizeof s->last_serial, err);
    }
    memcpy(o.id, s->order.id, sizeof o.id);
    o.product = (struct stamp_slice){(const uint8_t *)m->product, strlen(m->product)};
    o.profile = (struct stamp_slice){profile, profile_len};
    o.first_counter = (uint32_t)batch->first_counter;
    o.at = (uint32_t)batch->at;
    o.first =
        (struct stamp_slice){(const uint8_t *)s->first_serial, strlen(s->first_serial)};
    o.last =
        (struct stamp_slice){(const uint8_t *)s->last_serial, strlen(s->last_serial)};
    memcpy(o.prefix, batch->prefix, sizeof o.prefix);
    o.station = (struct stamp_slice){ca, ca_len};
    o.not_before = (uint32_t)(m->not_before > 0 ? m->not_before : m->now);
    o.not_after = (uint32_t)m->not_after;
    o.bundle = (struct stamp_slice){m->bundle, m->bundle_len};
    o.lock = m->lock_later ? STAMP_ORDER_LOCK_LATER : STAMP_ORDER_LOCK_STRIKE;
    o.pop = m->pop;
    o.recipient = (struct stamp_slice){m->recipient_der, m->recipient_len};
    o.backdate_s = m->backdate;
    o.uncounted = m->uncounted;
    if (m->note != NULL) {
        o.note = (struct stamp_slice){(const uint8_t *)m->note, strlen(m->note)};
    }
    if (rc == STAMP_OK) {
        rc = stamp_order_make(&o, m->owner, s->station.cert[STAMP_STATION_BOX], &s->file,
                              err);
    }
    if (rc == STAMP_OK &&
        EVP_Digest(s->file.p, s->file.len, digest, NULL, stamp_sha256(), NULL) != 1) {
        rc = stamp_openssl_failed(err, "cannot hash an order");
    }
    if (rc == STAMP_OK) {
        rc = m->online == NULL
                 ? stamp_registry_order_file(m->ws->registry, s->order.id, digest, err)
                 : order_file_online(m->online, s->order.id, digest, err);
    }
    OPENSSL_free(ca);
    free(profile);
    return rc;
}

/* ---- the books ---- */

static enum stamp_err reserve_share(struct order_making *m, struct order_share *s,
                                    uint64_t first, struct stamp_error *err)
{
    struct stamp_registry_order_setup setup = {.product = m->product,
                                               .pattern = &m->ws->profile->serial,
                                               .count = s->count,
                                               .first = first,
                                               .station = s->station.id,
                                               .lock_later = m->lock_later,
                                               .pop = (uint8_t)m->pop,
                                               .not_after = m->not_after,
                                               .note = m->note,
                                               .now = m->now};

    return m->online == NULL
               ? stamp_registry_order_add(m->ws->registry, &setup, &s->order, err)
               : order_add_online(m->online, &setup, &s->order, err);
}

static enum stamp_err close_share(struct order_making *m, const struct order_share *s)
{
    return m->online == NULL
               ? stamp_registry_order_close(m->ws->registry, s->order.id, m->now, NULL)
               : order_close_online(m->online, s->order.id, NULL);
}

/* Where the spare's block is taken, the first one's order is not to be used either: its
 * serials are spent, and nothing is admitted from it. */
static enum stamp_err reserve(struct order_making *m, struct stamp_error *err)
{
    uint64_t first;
    enum stamp_err rc = first_counter(m, m->now, &first, err);

    for (unsigned i = 0; i < m->n_shares && rc == STAMP_OK; i++) {
        rc = reserve_share(m, &m->share[i], first, err);
        first += first > 0 ? m->share[i].count : 0;
    }
    if (rc != STAMP_OK && m->share[0].order.batch.id != 0) {
        enum stamp_err closed = close_share(m, &m->share[0]);

        stamp_error_hint(err, "order %s, which was reserved first, is %s",
                         m->share[0].order.batch.name,
                         closed == STAMP_OK ? "closed" : "not used: close it");
    }
    return rc;
}

enum stamp_err order_make_begin(struct order_making *m, struct stamp_workspace *ws,
                                struct stamp_error *err)
{
    enum stamp_err rc;

    m->ws = ws;
    m->now = time(NULL);
    rc = load_stations(m, err);
    return rc == STAMP_OK ? check(m, err) : rc;
}

enum stamp_err order_make(struct order_making *m, const struct stamp_secret *passphrase,
                          struct stamp_error *err)
{
    enum stamp_err rc =
        stamp_workspace_key(m->ws, STAMP_WORKSPACE_OWNER, passphrase, &m->owner, err);

    if (rc == STAMP_OK) {
        rc = open_recipient(m, err);
    }
    if (rc == STAMP_OK) {
        rc = make_bundle(m, err);
    }
    if (rc == STAMP_OK) {
        rc = reserve(m, err);
    }
    for (unsigned i = 0; i < m->n_shares && rc == STAMP_OK; i++) {
        rc = seal(m, &m->share[i], err);
    }
    return rc;
}

void order_make_end(struct order_making *m)
{
    for (unsigned i = 0; i < m->n_shares; i++) {
        stamp_station_cert_fini(&m->share[i].station);
        stamp_buffer_free(&m->share[i].file);
    }
    X509_free(m->recipient_cert);
    OPENSSL_free(m->recipient_der);
    EVP_PKEY_free(m->owner);
}

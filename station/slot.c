#include "station/slot.h"

#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host/claims.h"
#include "host/key.h"
#include "host/pki.h"
#include "host/prove.h"

struct strike {
    struct stamp_line *line;
    struct stamp_slot *slot;
    struct stamp_unit is;
    struct stamp_line_unit unit;
    uint8_t point[STAMP_POINT_SIZE]; /* of its key, once `evident` */
    struct stamp_evidence evidence;
    bool evident; /* it asked for its certificate in this run */
};

static struct stamp_slice slice(const void *p, size_t len)
{
    return (struct stamp_slice){p, len};
}

/* What journal and token take is not the unit's time. */
static void not_its_time(struct strike *s, int64_t since)
{
    s->slot->end_ms += stamp_slot_now_ms() - since;
}

static enum stamp_err note(struct strike *s, enum stamp_journal_kind kind,
                           struct stamp_slice data, struct stamp_error *err)
{
    int64_t now = stamp_slot_now_ms();
    enum stamp_err rc = stamp_line_note(s->line, &s->unit, kind, data, NULL, err);

    not_its_time(s, now);
    return rc;
}

static enum stamp_err sign(struct strike *s, const struct stamp_request *r,
                           struct stamp_error *err)
{
    int64_t now = stamp_slot_now_ms();
    enum stamp_err rc = stamp_line_sign(s->line, &s->unit, r, err);

    not_its_time(s, now);
    return rc;
}

/* ---- keys and certificate ---- */

static enum stamp_err ask_request(struct strike *s, struct stamp_request *r,
                                  struct stamp_error *err)
{
    struct stamp_smp_client *c = s->slot->client;
    struct stamp_slice offer = slice(s->unit.offer.p, s->unit.offer.len);
    uint8_t challenge[32];
    uint8_t claims[STAMP_CLAIMS_MAX];
    size_t claims_len;
    struct stamp_buffer request = {0};
    struct stamp_request_asked asked = {
        .challenge = challenge,
        .chip = slice(s->unit.chip, s->unit.chip_len),
        .offer = offer,
        .serial = s->unit.serial,
        .purpose = stamp_line_order(s->line)->purpose,
    };
    enum stamp_err rc;

    if (RAND_bytes(challenge, sizeof challenge) != 1) {
        return stamp_openssl_failed(err, "cannot draw a challenge");
    }
    rc = stamp_unit_put(c, STAMP_PUT_OFFER, offer, err);
    if (rc == STAMP_OK) {
        rc = stamp_unit_make(c, challenge, &request, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_request_read(slice(request.p, request.len), r, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_request_check(r, &asked, claims, &claims_len, err);
    }
    stamp_buffer_free(&request);
    return rc;
}

/* The unit's certificate, then its issuer's. */
static enum stamp_err put_certificates(struct strike *s, struct stamp_error *err)
{
    uint8_t chain[2 * STAMP_MAX_CERTIFICATE + 16];
    struct stamp_cbor_out o;
    uint8_t *der = NULL;
    size_t len;
    enum stamp_err rc = stamp_pki_encode(stamp_line_issuer(s->line), &der, &len, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    stamp_cbor_out_init(&o, chain, sizeof chain);
    stamp_cbor_put_head(&o, STAMP_CBOR_ARRAY, 2);
    stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, s->unit.certificate,
                          s->unit.certificate_len);
    stamp_cbor_put_string(&o, STAMP_CBOR_BYTES, der, len);
    OPENSSL_free(der);
    return stamp_unit_put(s->slot->client, STAMP_PUT_CERTIFICATES, slice(chain, o.len),
                          err);
}

static enum stamp_err write_stamp(struct strike *s, struct stamp_error *err)
{
    struct stamp_smp_client *c = s->slot->client;
    struct stamp_request r;
    uint8_t digest[32];
    enum stamp_err rc = ask_request(s, &r, err);

    if (rc == STAMP_OK) {
        memcpy(s->point, r.point, sizeof s->point);
        s->evidence = r.evidence;
        s->evident = true;
        rc = sign(s, &r, err);
    }
    if (rc == STAMP_OK) {
        rc = put_certificates(s, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_unit_strike(c, digest, err);
    }
    if (rc == STAMP_OK && memcmp(digest, r.digest, sizeof digest) != 0) {
        rc = stamp_error_set(err, STAMP_E_AUTH, 0,
                             "unit %s read other claims back than it was to write",
                             s->unit.serial);
    }
    if (rc == STAMP_OK) {
        s->is.phase = STAMP_PHASE_STRUCK;
        rc = note(s, STAMP_JOURNAL_STRUCK, slice(NULL, 0), err);
    }
    return rc;
}

/* A unit that was written before: is what it holds what was signed for it? */
static enum stamp_err check_written(struct strike *s, struct stamp_error *err)
{
    uint8_t *chain = NULL;
    size_t len;
    struct stamp_slice leaf;
    enum stamp_err rc = stamp_smp_item(s->slot->client, STAMP_CERTIFICATES, STAMP_BIRTH,
                                       STAMP_MAX_LEN, &chain, &len, err);

    if (rc != STAMP_OK) {
        return rc;
    }
    leaf = stamp_pki_leaf(slice(chain, len));
    if (leaf.p == NULL || s->unit.certificate_len == 0 ||
        leaf.len != s->unit.certificate_len ||
        memcmp(leaf.p, s->unit.certificate, leaf.len) != 0) {
        stamp_error_hint(err, "keep it apart: its certificate was not signed here");
        rc = stamp_error_set(err, STAMP_E_AUTH, 0,
                             "the unit has a stamp that the journal does not know");
    }
    free(chain);
    if (rc == STAMP_OK && s->unit.last < STAMP_JOURNAL_STRUCK) {
        rc = note(s, STAMP_JOURNAL_STRUCK, slice(NULL, 0), err);
    }
    return rc;
}

/* ---- the proof of possession ---- */

static bool find_point(struct stamp_slice claims, struct stamp_evidence *known)
{
    struct stamp_slice point;
    struct stamp_cbor c;

    stamp_cbor_init(&c, claims.p, claims.len);
    for (uint32_t n = stamp_cbor_expect(&c, STAMP_CBOR_MAP); n > 0 && c.err == STAMP_OK;
         n--) {
        if (stamp_cbor_uint(&c, UINT32_MAX) != STAMP_PROVISIONING_KEY) {
            (void)stamp_cbor_skip(&c);
            continue;
        }
        stamp_cbor_want(&c, STAMP_CBOR_ARRAY, 3);
        (void)stamp_cbor_uint(&c, UINT32_MAX);
        (void)stamp_cbor_uint(&c, UINT32_MAX);
        point = stamp_cbor_string(&c, STAMP_CBOR_BYTES, sizeof known->point,
                                  sizeof known->point);
        known->has_point = c.err == STAMP_OK;
        if (known->has_point) {
            memcpy(known->point, point.p, point.len);
        }
    }
    return c.err == STAMP_OK;
}

/* A label that is printed after a restart says what the first try's would have said: the
 * unit tells its claims, and its certificate which ones they were. */
static enum stamp_err recall_evidence(struct strike *s, struct stamp_error *err)
{
    struct stamp_slice der = slice(s->unit.certificate, s->unit.certificate_len);
    STAMP_X509_AUTO *cert = NULL;
    struct stamp_binding binding;
    uint8_t digest[32];
    uint8_t *claims = NULL;
    size_t len = 0;
    enum stamp_err rc = stamp_pki_decode(der, &cert, err);

    if (rc == STAMP_OK) {
        rc = stamp_binding_read(cert, &binding, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_smp_item(s->slot->client, 0, STAMP_BIRTH, STAMP_CLAIMS_MAX, &claims,
                            &len, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_claims_hash(claims, len, digest, err);
    }
    if (rc == STAMP_OK &&
        (!binding.has_digest || memcmp(digest, binding.digest, sizeof digest) != 0 ||
         !find_point(slice(claims, len), &s->evidence))) {
        rc = stamp_error_set(err, STAMP_E_AUTH, 0,
                             "unit %s tells other claims than its certificate was "
                             "signed for",
                             s->unit.serial);
    }
    free(claims);
    return rc;
}

static enum stamp_err print_label(struct strike *s, struct stamp_slice pop,
                                  struct stamp_error *err)
{
    struct stamp_slot_label label = {.serial = s->unit.serial,
                                     .pop = pop,
                                     .offer = slice(s->unit.offer.p, s->unit.offer.len)};
    enum stamp_err rc = STAMP_OK;

    if (s->slot->label == NULL) {
        stamp_error_hint(err, "run with --label PROGRAM");
        return stamp_error_set(err, STAMP_E_CONFIG, 0,
                               "the order has proofs of possession printed here, and "
                               "nothing prints them");
    }
    if (!s->evident) {
        rc = recall_evidence(s, err);
    }
    label.known = s->evidence;
    return rc == STAMP_OK ? s->slot->label(s->slot->label_ctx, &label, err) : rc;
}

static enum stamp_err take_pop(struct strike *s, struct stamp_error *err)
{
    enum stamp_order_pop want = stamp_line_order(s->line)->pop;
    struct stamp_buffer pop = {0};
    bool shown = false;
    enum stamp_err rc;

    if (want == STAMP_ORDER_POP_NONE || s->is.phase != STAMP_PHASE_STRUCK) {
        return STAMP_OK;
    }
    rc = stamp_unit_pop(s->slot->client, &shown, &pop, err);
    if (rc == STAMP_OK && shown != (want == STAMP_ORDER_POP_SHOWN)) {
        rc = stamp_error_set(err, STAMP_E_AUTH, 0,
                             "unit %s gives its proof of possession otherwise than the "
                             "order says",
                             s->unit.serial);
    }
    if (rc == STAMP_OK && shown) {
        rc = print_label(s, slice(pop.p, pop.len), err);
    }
    if (rc == STAMP_OK && s->unit.last < STAMP_JOURNAL_POP) {
        rc = note(s, STAMP_JOURNAL_POP, shown ? slice(NULL, 0) : slice(pop.p, pop.len),
                  err);
    }
    stamp_buffer_free(&pop);
    return rc;
}

/* ---- the end ---- */

static enum stamp_err point_of(const struct stamp_line_unit *u,
                               uint8_t point[STAMP_POINT_SIZE], struct stamp_error *err)
{
    const uint8_t *p = u->certificate;
    STAMP_X509_AUTO *cert = d2i_X509(NULL, &p, (long)u->certificate_len);

    return cert == NULL ? stamp_openssl_failed(err, "cannot read a certificate")
                        : stamp_key_point(X509_get0_pubkey(cert), point, err);
}

static enum stamp_err finish(struct strike *s, struct stamp_error *err)
{
    bool lock = stamp_line_order(s->line)->lock == STAMP_ORDER_LOCK_STRIKE;
    uint32_t can = 0;
    uint32_t in_force = 0;
    uint8_t state;
    enum stamp_err rc = stamp_unit_finish(s->slot->client, lock, &can, &in_force, err);

    if (rc == STAMP_OK && lock) {
        rc = stamp_slot_check_lock(can, in_force, s->unit.serial, err);
    }
    state = (uint8_t)in_force;
    if (rc == STAMP_OK && lock && s->unit.last < STAMP_JOURNAL_LOCKED) {
        rc = note(s, STAMP_JOURNAL_LOCKED, slice(&state, 1), err);
    }
    if (rc == STAMP_OK && !s->evident) {
        rc = point_of(&s->unit, s->point, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_slot_prove(s->slot->client, s->point, lock, s->unit.serial, err);
    }
    if (rc == STAMP_OK && s->unit.last != STAMP_JOURNAL_DONE) {
        rc = note(s, STAMP_JOURNAL_DONE, slice(&state, 1), err);
    }
    return rc;
}

/* ---- one unit ---- */

static enum stamp_err find_unit(struct strike *s, struct stamp_error *err)
{
    struct stamp_slice chip = slice(s->is.chip, s->is.chip_len);
    bool blank = s->is.phase < STAMP_PHASE_STRUCK;
    enum stamp_err rc = stamp_line_unit(s->line, chip, false, &s->unit, err);

    if (rc == STAMP_OK && s->unit.last == STAMP_JOURNAL_SCRAPPED) {
        rc = stamp_error_set(err, STAMP_E_STATE, 0, "unit %s was scrapped",
                             s->unit.serial);
    }
    if (rc != STAMP_E_MISSING) {
        return rc;
    }
    if (!blank) {
        stamp_error_hint(err,
                         "it is of another order or station, or came back: to strike "
                         "it again, see `stamp station rework`");
        return stamp_error_set(err, STAMP_E_STATE, 0,
                               "the unit has a stamp already that this order did not "
                               "give it");
    }
    if (s->is.pending) { /* keys of a strike that was given up elsewhere */
        rc = stamp_unit_abandon(s->slot->client, err);
    } else {
        rc = STAMP_OK;
    }
    return rc == STAMP_OK ? stamp_line_unit(s->line, chip, true, &s->unit, err) : rc;
}

static enum stamp_err strike(struct strike *s, struct stamp_error *err)
{
    enum stamp_err rc =
        s->is.phase < STAMP_PHASE_STRUCK ? write_stamp(s, err) : check_written(s, err);

    if (rc == STAMP_OK) {
        rc = take_pop(s, err);
    }
    return rc == STAMP_OK ? finish(s, err) : rc;
}

enum stamp_err stamp_slot_strike(struct stamp_line *line, struct stamp_slot *slot,
                                 char serial[STAMP_SERIAL_SIZE], bool *fresh,
                                 struct stamp_error *err)
{
    struct strike s = {.line = line, .slot = slot};
    enum stamp_err rc = stamp_unit_ask(slot->client, &s.is, err);

    serial[0] = '\0';
    *fresh = false;
    if (rc != STAMP_OK) {
        return rc;
    }
    if (slot->done_len > 0 && slot->done_len == s.is.chip_len &&
        memcmp(slot->done, s.is.chip, slot->done_len) == 0) {
        return STAMP_OK; /* it is still there */
    }
    rc = find_unit(&s, err);
    if (rc == STAMP_OK) {
        memcpy(serial, s.unit.serial, sizeof s.unit.serial);
        *fresh = s.unit.last != STAMP_JOURNAL_DONE;
    }
    if (rc == STAMP_OK && *fresh) {
        rc = strike(&s, err);
        if (rc != STAMP_OK && err != NULL) {
            enum stamp_err noted = stamp_line_note(line, &s.unit, STAMP_JOURNAL_FAILED,
                                                   slice(NULL, 0), err->what, NULL);

            rc = noted == STAMP_OK ? rc : noted;
        }
    }
    if (rc == STAMP_OK) {
        memcpy(slot->done, s.is.chip, s.is.chip_len);
        slot->done_len = s.is.chip_len;
    }
    stamp_line_unit_fini(&s.unit);
    return rc;
}

enum stamp_err stamp_slot_lock(struct stamp_smp_client *client,
                               const struct stamp_trust *trust,
                               char serial[STAMP_SERIAL_SIZE], struct stamp_error *err)
{
    struct stamp_proof proof;
    uint32_t can;
    uint32_t in_force;
    enum stamp_err rc = stamp_prove_device(client, trust, STAMP_BIRTH, &proof, err);

    serial[0] = '\0';
    if (rc == STAMP_OK) {
        (void)snprintf(serial, STAMP_SERIAL_SIZE, "%s", proof.identity.serial);
        rc = stamp_unit_finish(client, true, &can, &in_force, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_slot_check_lock(can, in_force, serial, err);
    }
    return rc == STAMP_OK
               ? stamp_slot_prove(client, proof.identity.point, true, serial, err)
               : rc;
}

/* ---- as a source ---- */

static enum stamp_err source_strike(void *ctx, struct stamp_slot *slot,
                                    char serial[STAMP_SERIAL_SIZE], bool *fresh,
                                    struct stamp_error *err)
{
    return stamp_slot_strike(ctx, slot, serial, fresh, err);
}

static void source_say(void *ctx, const char *port, const char *text)
{
    stamp_line_say(ctx, port, "%s", text);
}

static void source_stop(void *ctx)
{
    stamp_line_stop(ctx);
}

static bool source_stopping(void *ctx)
{
    return stamp_line_stopping(ctx);
}

struct stamp_source stamp_slot_source(struct stamp_line *line)
{
    return (struct stamp_source){line, source_strike, source_say, source_stop,
                                 source_stopping};
}

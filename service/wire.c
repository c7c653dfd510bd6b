#include "service/wire.h"

#include <string.h>

#include "host/journal_entry.h"

enum kind { END = 0, NUMBER8, NUMBER64, FIXED, SLICE };

struct field {
    enum kind kind;
    size_t at;  /* in struct service_message */
    size_t max; /* bytes: of a slice at most, of the others exactly */
};

#define AT(member) offsetof(struct service_message, u.member)
#define U8(member)                                                                       \
    {                                                                                    \
        NUMBER8, AT(member), 1                                                           \
    }
#define U64(member)                                                                      \
    {                                                                                    \
        NUMBER64, AT(member), 8                                                          \
    }
#define EXACT(member, len)                                                               \
    {                                                                                    \
        FIXED, AT(member), (len)                                                         \
    }
#define UP_TO(member, len)                                                               \
    {                                                                                    \
        SLICE, AT(member), (len)                                                         \
    }

#define FIELDS_MAX 24u /* one is behind the last */

/* What each message holds, in this order. */
static const struct field fields[SERVICE_TYPES][FIELDS_MAX] = {
    [SERVICE_LOST] = {U8(lost)},
    [SERVICE_SECRET] = {UP_TO(secret, SERVICE_SECRET_MAX)},
    [SERVICE_ENROL] = {U8(enrol.credential), U8(enrol.judged), U8(enrol.chain),
                       UP_TO(enrol.peer, STAMP_MAX_CERTIFICATE),
                       EXACT(enrol.fingerprint, 32),
                       UP_TO(enrol.peer_serial, STAMP_SERIAL_SIZE - 1),
                       EXACT(enrol.token, STAMP_TOKEN_DIGEST_SIZE),
                       UP_TO(enrol.token_serial, STAMP_SERIAL_SIZE - 1),
                       EXACT(enrol.point, STAMP_POINT_SIZE),
                       UP_TO(enrol.serial, STAMP_SERIAL_SIZE - 1),
                       UP_TO(enrol.evidence, STAMP_EVIDENCE_MAX),
                       UP_TO(enrol.label, STAMP_MAX_TEXT),
                       UP_TO(enrol.from, SERVICE_FROM_MAX)},
    [SERVICE_SERVER] = {EXACT(server.point, STAMP_POINT_SIZE)},
    [SERVICE_ANSWER] = {U8(answer.outcome), U8(answer.refusal),
                        UP_TO(answer.certificate, STAMP_MAX_CERTIFICATE)},
    [SERVICE_SIGN] = {EXACT(sign.serial_number, STAMP_CERTIFICATE_SERIAL_SIZE),
                      EXACT(sign.point, STAMP_POINT_SIZE), U64(sign.not_before),
                      U64(sign.not_after), UP_TO(sign.birth, STAMP_MAX_CERTIFICATE)},
    [SERVICE_SIGN_SERVER] = {EXACT(sign.serial_number, STAMP_CERTIFICATE_SERIAL_SIZE),
                             EXACT(sign.point, STAMP_POINT_SIZE), U64(sign.not_before),
                             U64(sign.not_after)},
    [SERVICE_SIGNED] = {U8(signed_.refused),
                        UP_TO(signed_.certificate, STAMP_MAX_CERTIFICATE),
                        UP_TO(signed_.why, 200)},
    [SERVICE_SIGN_OCSP] = {EXACT(sign.serial_number, STAMP_CERTIFICATE_SERIAL_SIZE),
                           EXACT(sign.point, STAMP_POINT_SIZE), U64(sign.not_before),
                           U64(sign.not_after)},
    [SERVICE_CRL_BEGIN] = {U64(crl_begin.number), U64(crl_begin.this_update),
                           U64(crl_begin.next_update), U64(crl_begin.entries_len)},
    [SERVICE_CRL_PART] = {UP_TO(crl_part, SERVICE_PART_MAX)},
    [SERVICE_CRL_SIGNED] = {UP_TO(crl_signed.head, STAMP_CRL_HEAD_MAX),
                            UP_TO(crl_signed.tail, STAMP_CRL_TAIL_MAX),
                            UP_TO(crl_signed.why, 200)},
    [SERVICE_CRL] = {U64(crl.len), U64(crl.this_update), U64(crl.next_update)},
    [SERVICE_OCSP] = {U8(ocsp.hash), UP_TO(ocsp.serial_number, SERVICE_NUMBER_MAX)},
    [SERVICE_OCSP_ANSWER] = {UP_TO(ocsp_answer.response, SERVICE_OCSP_MAX),
                             U64(ocsp_answer.this_update), U64(ocsp_answer.next_update)},
    [SERVICE_UNIT] = {EXACT(unit.station, 32), EXACT(unit.order, STAMP_ORDER_ID_SIZE),
                      U64(unit.index), EXACT(unit.point, STAMP_POINT_SIZE),
                      EXACT(unit.digest, 32), U64(unit.not_before),
                      UP_TO(unit.provisioning, STAMP_POINT_SIZE),
                      EXACT(unit.sig, STAMP_SIG_SIZE),
                      UP_TO(unit.from, SERVICE_FROM_MAX)},
    [SERVICE_SIGN_UNIT] = {EXACT(sign_unit.serial_number, STAMP_CERTIFICATE_SERIAL_SIZE),
                           UP_TO(sign_unit.serial, STAMP_SERIAL_SIZE - 1),
                           EXACT(sign_unit.point, STAMP_POINT_SIZE),
                           EXACT(sign_unit.digest, 32),
                           UP_TO(sign_unit.provisioning, STAMP_POINT_SIZE),
                           U64(sign_unit.not_before)},
    [SERVICE_SIGN_MAKER] = {EXACT(sign.serial_number, STAMP_CERTIFICATE_SERIAL_SIZE),
                            EXACT(sign.point, STAMP_POINT_SIZE), U64(sign.not_before),
                            U64(sign.not_after)},
    [SERVICE_MAKE] = {UP_TO(make.recipient, STAMP_MAX_CERTIFICATE)},
    [SERVICE_MADE] = {EXACT(made.point, STAMP_POINT_SIZE),
                      UP_TO(made.key, STAMP_KEYPACKAGE_MAX)},
    [SERVICE_BATCH] = {U8(batch.verb), EXACT(batch.key, STAMP_TOKEN_DIGEST_SIZE),
                       U64(batch.batch), UP_TO(batch.name, SERVICE_NAME_MAX),
                       UP_TO(batch.product, STAMP_MAX_TEXT),
                       UP_TO(batch.note, STAMP_BATCH_NOTE_MAX),
                       UP_TO(batch.stations, SERVICE_STATIONS_MAX),
                       UP_TO(batch.from, SERVICE_FROM_MAX)},
    [SERVICE_BATCH_ANSWER] = {U8(batch_answer.outcome), U64(batch_answer.batch),
                              U64(batch_answer.count), U64(batch_answer.made),
                              U64(batch_answer.size),
                              UP_TO(batch_answer.product, STAMP_MAX_TEXT),
                              UP_TO(batch_answer.why, 200)},
    [SERVICE_QUERY] = {U8(query.verb), EXACT(query.key, STAMP_TOKEN_DIGEST_SIZE),
                       U8(query.by_certificate), U8(query.state), U64(query.batch),
                       U64(query.since), U64(query.from), U64(query.to), U64(query.limit),
                       UP_TO(query.text, SERVICE_ID_MAX),
                       UP_TO(query.product, STAMP_MAX_TEXT),
                       UP_TO(query.address, SERVICE_FROM_MAX)},
    [SERVICE_QUERY_ANSWER] = {U64(query_answer.code), U8(query_answer.kind),
                              U8(query_answer.more),
                              UP_TO(query_answer.part, SERVICE_PART_MAX)},
    [SERVICE_CHANGE] = {U8(change.verb), EXACT(change.key, STAMP_TOKEN_DIGEST_SIZE),
                        U8(change.state), U8(change.reason),
                        UP_TO(change.serial, STAMP_SERIAL_SIZE - 1),
                        UP_TO(change.why, STAMP_REGISTRY_TEXT_MAX),
                        UP_TO(change.chip, STAMP_REGISTRY_CHIP_SIZE - 1),
                        UP_TO(change.from, SERVICE_FROM_MAX)},
    [SERVICE_CHANGE_ANSWER] = {U8(change_answer.outcome), U64(change_answer.n),
                               UP_TO(change_answer.why, 200)},
    [SERVICE_FACTORY_ASK] = {U8(factory.verb),
                             EXACT(factory.key, STAMP_TOKEN_DIGEST_SIZE),
                             UP_TO(factory.name, SERVICE_NAME_MAX),
                             UP_TO(factory.id, SERVICE_ID_MAX),
                             UP_TO(factory.digest, 32),
                             UP_TO(factory.station, 32),
                             UP_TO(factory.product, STAMP_MAX_TEXT),
                             UP_TO(factory.pattern, STAMP_SERIAL_TEXT_SIZE - 1),
                             UP_TO(factory.note, STAMP_REGISTRY_TEXT_MAX),
                             U64(factory.count),
                             U64(factory.first),
                             U64(factory.not_after),
                             U8(factory.lock_later),
                             U8(factory.pop),
                             U8(factory.quarantine),
                             UP_TO(factory.certificate, STAMP_MAX_CERTIFICATE),
                             UP_TO(factory.chip, STAMP_JOURNAL_CHIP_MAX),
                             UP_TO(factory.port, STAMP_REGISTRY_TEXT_MAX),
                             U8(factory.lock),
                             U8(factory.can),
                             U8(factory.strikes),
                             UP_TO(factory.from, SERVICE_FROM_MAX)},
};

static void put64(uint8_t *p, uint64_t v)
{
    for (unsigned i = 0; i < 8; i++) {
        p[i] = (uint8_t)(v >> (8 * i));
    }
}

static uint64_t get64(const uint8_t *p)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < 8; i++) {
        v |= (uint64_t)p[i] << (8 * i);
    }
    return v;
}

static bool is_type(uint8_t type)
{
    return type >= SERVICE_READY && type < SERVICE_TYPES;
}

static size_t put_slice(struct stamp_slice s, size_t max, uint8_t *out, size_t left)
{
    if (s.len > max || s.len + 2 > left) {
        return 0;
    }
    out[0] = (uint8_t)s.len;
    out[1] = (uint8_t)(s.len >> 8);
    if (s.len > 0) {
        memcpy(out + 2, s.p, s.len);
    }
    return s.len + 2;
}

/* Bytes that a field took; 0: it does not fit. */
static size_t put_field(const struct field *f, const void *from, uint8_t *out,
                        size_t left)
{
    struct stamp_slice s;
    uint64_t v;

    if (f->kind == SLICE) {
        memcpy(&s, from, sizeof s);
        return put_slice(s, f->max, out, left);
    }
    if (left < f->max) {
        return 0;
    }
    if (f->kind == NUMBER64) {
        memcpy(&v, from, sizeof v);
        put64(out, v);
    } else {
        memcpy(out, from, f->max);
    }
    return f->max;
}

void service_text(struct stamp_slice s, char *out, size_t size)
{
    size_t len = s.len < size ? s.len : size - 1;

    if (len > 0) {
        memcpy(out, s.p, len);
    }
    out[len] = '\0';
}

size_t service_wire_encode(const struct service_message *m, uint8_t *out)
{
    size_t len = 9;

    if (!is_type(m->type)) {
        return 0;
    }
    out[0] = m->type;
    put64(out + 1, m->id);
    for (const struct field *f = fields[m->type]; f->kind != END; f++) {
        size_t n = put_field(f, (const uint8_t *)m + f->at, out + len,
                             SERVICE_MESSAGE_MAX - len);

        if (n == 0) {
            return 0;
        }
        len += n;
    }
    return len;
}

static size_t get_field(const struct field *f, const uint8_t *p, size_t left, void *to)
{
    struct stamp_slice s;
    uint64_t v;

    if (f->kind == SLICE) {
        if (left < 2) {
            return 0;
        }
        s.p = p + 2;
        s.len = (size_t)p[0] | (size_t)p[1] << 8;
        if (s.len > f->max || s.len > left - 2) {
            return 0;
        }
        memcpy(to, &s, sizeof s);
        return s.len + 2;
    }
    if (left < f->max) {
        return 0;
    }
    if (f->kind == NUMBER64) {
        v = get64(p);
        memcpy(to, &v, sizeof v);
    } else {
        memcpy(to, p, f->max);
    }
    return f->max;
}

bool service_wire_decode(const uint8_t *p, size_t len, struct service_message *m)
{
    size_t at = 9;

    memset(m, 0, sizeof *m);
    if (len < at || !is_type(p[0])) {
        return false;
    }
    m->type = p[0];
    m->id = get64(p + 1);
    for (const struct field *f = fields[m->type]; f->kind != END; f++) {
        size_t n = get_field(f, p + at, len - at, (uint8_t *)m + f->at);

        if (n == 0) {
            memset(m, 0, sizeof *m);
            return false;
        }
        at += n;
    }
    if (at != len) {
        memset(m, 0, sizeof *m);
        return false;
    }
    return true;
}

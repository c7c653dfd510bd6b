#include "host/registry_station.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/registry_own.h"

void stamp_registry_station_fini(struct stamp_registry_station *s)
{
    free(s->own);
    memset(s, 0, sizeof *s);
}

/* id, ca_key, name, ca, box, journal, at, who, place */
static void read_row(const struct stampi_value *v, struct stamp_registry_station *s)
{
    memset(s, 0, sizeof *s);
    stampi_get_blob(&v[0], s->id, sizeof s->id);
    stampi_get_blob(&v[1], s->key, sizeof s->key);
    stampi_get_text(&v[2], s->name, sizeof s->name);
    s->ca = (struct stamp_slice){v[3].p, v[3].len};
    s->box = (struct stamp_slice){v[4].p, v[4].len};
    s->journal = (struct stamp_slice){v[5].p, v[5].len};
    s->at = (time_t)v[6].number;
    stampi_get_text(&v[7], s->who, sizeof s->who);
    stampi_get_text(&v[8], s->where, sizeof s->where);
}

static void move(struct stamp_slice *s, uint8_t **to)
{
    if (s->len > 0) {
        memcpy(*to, s->p, s->len);
    }
    s->p = *to;
    *to += s->len;
}

static enum stamp_err take_station(void *ctx, const struct stampi_value *v,
                                   struct stamp_error *err)
{
    struct stamp_registry_station *s = ctx;
    uint8_t *to = malloc(v[3].len + v[4].len + v[5].len + 1);

    if (to == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    read_row(v, s);
    s->own = to;
    move(&s->ca, &to);
    move(&s->box, &to);
    move(&s->journal, &to);
    return STAMP_OK;
}

static enum stamp_err find(struct stamp_registry *r, enum stampi_sql which,
                           const uint8_t what[32], struct stamp_registry_station *out,
                           struct stamp_error *err)
{
    enum stamp_err rc;

    memset(out, 0, sizeof *out);
    rc = STAMPI_RUN(r, which, take_station, out, NULL, err, stampi_blob(what, 32));
    if (rc == STAMP_OK && out->own == NULL) {
        stamp_error_hint(err, "enrol it: stamp station enrol");
        rc =
            stamp_error_set(err, STAMP_E_MISSING, 0, "the station is not on these books");
    }
    return rc;
}

enum stamp_err stamp_registry_station_find(struct stamp_registry *r, const uint8_t id[32],
                                           struct stamp_registry_station *out,
                                           struct stamp_error *err)
{
    return find(r, STAMPI_STATION_FIND, id, out, err);
}

enum stamp_err stamp_registry_station_find_key(struct stamp_registry *r,
                                               const uint8_t key[32],
                                               struct stamp_registry_station *out,
                                               struct stamp_error *err)
{
    return find(r, STAMPI_STATION_FIND_KEY, key, out, err);
}

static enum stamp_err add(struct stamp_registry *r,
                          const struct stamp_registry_station *s, struct stamp_error *err)
{
    int64_t changed = 0;
    enum stamp_err rc = STAMPI_RUN(
        r, STAMPI_STATION_ADD, NULL, NULL, &changed, err, stampi_blob(s->id, 32),
        stampi_blob(s->key, 32), stampi_text(s->name), stampi_blob(s->ca.p, s->ca.len),
        stampi_blob(s->box.p, s->box.len), stampi_blob(s->journal.p, s->journal.len),
        stampi_int((int64_t)s->at), stampi_text(r->who), stampi_text(r->where));

    return rc == STAMP_OK && changed == 0
               ? stamp_error_set(err, STAMP_E_DUPLICATE, 0,
                                 "the station '%s' is on the books already", s->name)
               : rc;
}

enum stamp_err stamp_registry_station_add(struct stamp_registry *r,
                                          const struct stamp_registry_station *s,
                                          struct stamp_error *err)
{
    enum stamp_err rc =
        s->name[0] == '\0'
            ? stamp_error_set(err, STAMP_E_RANGE, 0, "the station has no name")
            : stampi_check_text(s->name, STAMP_REGISTRY_NAME_SIZE - 1u, "station's name",
                                err);

    if (rc == STAMP_OK) {
        rc = stampi_begin(r, err);
    }
    return rc == STAMP_OK ? stampi_finish(r, add(r, s, err), err) : rc;
}

struct telling {
    stamp_registry_station_told told;
    void *ctx;
    bool ended;
};

static enum stamp_err tell(void *ctx, const struct stampi_value *v,
                           struct stamp_error *err)
{
    struct telling *t = ctx;
    struct stamp_registry_station s;

    (void)err;
    read_row(v, &s);
    t->ended = t->ended || !t->told(t->ctx, &s);
    return STAMP_OK;
}

enum stamp_err stamp_registry_station_list(struct stamp_registry *r,
                                           stamp_registry_station_told told, void *ctx,
                                           struct stamp_error *err)
{
    struct telling t = {told, ctx, false};
    const struct stampi_value none = stampi_int(0);

    return r->db->ops->run(r->db, STAMPI_STATION_LIST, &none, 0, tell, &t, NULL, err);
}

#include "station/export.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/hex.h"
#include "station/control.h"

struct stamp_export {
    const struct stamp_site *site;
    const struct stamp_pin *pin;
    struct stamp_session *session; /* NULL: not needed yet */
    struct stamp_journal *journal; /* NULL: not opened yet, or a line has it */
};

enum stamp_err stamp_export_open(const struct stamp_site *site,
                                 const struct stamp_pin *pin, struct stamp_export **out,
                                 struct stamp_error *err)
{
    struct stamp_export *x = calloc(1, sizeof *x);

    *out = x;
    if (x == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    x->site = site;
    x->pin = pin;
    return STAMP_OK;
}

void stamp_export_close(struct stamp_export **p)
{
    struct stamp_export *x = *p;

    if (x != NULL) {
        stamp_journal_close(&x->journal);
        stamp_session_close(&x->session);
        free(x);
        *p = NULL;
    }
}

/* ---- from the file ---- */

static enum stamp_err sign(void *ctx, const uint8_t digest[32], uint8_t sig[64],
                           struct stamp_error *err)
{
    struct stamp_export *x = ctx;
    enum stamp_err rc =
        x->session != NULL ? STAMP_OK
                           : stamp_session_open(x->site->token, x->pin, &x->session, err);

    return rc == STAMP_OK
               ? stamp_session_sign(x->session, x->site->label[STAMP_STATION_JOURNAL],
                                    digest, sig, err)
               : rc;
}

static enum stamp_err open_journal(struct stamp_export *x, struct stamp_error *err)
{
    static const uint8_t no_order[16];
    char path[PATH_MAX];
    enum stamp_err rc = stamp_site_path(x->site, STAMP_SITE_JOURNAL, path, err);

    return rc == STAMP_OK ? stamp_journal_open(path, false, no_order, 0, &x->journal, err)
                          : rc;
}

/* ---- by the line ---- */

static enum stamp_err take_bytes(const json_t *answer, struct stamp_buffer *out,
                                 struct stamp_error *err)
{
    const json_t *text = json_object_get(answer, "part");
    size_t len = json_string_length(text) / 2;

    *out = (struct stamp_buffer){malloc(len + 1), len};
    if (out->p == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    return json_is_string(text) && json_string_length(text) == 2 * len &&
                   stamp_unhex(json_string_value(text), len, out->p)
               ? STAMP_OK
               : stamp_error_set(err, STAMP_E_FORMAT, 0,
                                 "the line gave no sensible answer");
}

/* `asked` false: no line runs. */
static enum stamp_err ask_line(const struct stamp_export *x, uint32_t from, bool *asked,
                               struct stamp_sealed_part *out, struct stamp_error *err)
{
    json_t *request = json_pack("{s:s, s:I}", "do", "export", "from", (json_int_t)from);
    json_t *answer = NULL;
    enum stamp_err rc = stamp_control_ask(x->site, request, &answer, err);

    *asked = answer != NULL || rc != STAMP_OK;
    if (answer != NULL) {
        out->next = (uint32_t)json_integer_value(json_object_get(answer, "next"));
        out->head = (uint32_t)json_integer_value(json_object_get(answer, "head"));
        rc = out->next > from ? take_bytes(answer, &out->bytes, err) : STAMP_OK;
    }
    json_decref(request);
    json_decref(answer);
    return rc;
}

enum stamp_err stamp_export_part(struct stamp_export *x, uint32_t from,
                                 struct stamp_sealed_part *out, struct stamp_error *err)
{
    bool asked = false;
    enum stamp_err rc = STAMP_OK;

    *out = (struct stamp_sealed_part){.next = from};
    if (x->journal == NULL) {
        rc = ask_line(x, from, &asked, out, err);
        if (rc == STAMP_OK && !asked) {
            rc = open_journal(x, err);
        }
    }
    return rc == STAMP_OK && !asked
               ? stamp_sealed_part_make(x->site, x->journal, sign, x, from, out, err)
               : rc;
}

#include "cli/bundle_online.h"

#include <limits.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "cli/print_json.h"
#include "host/file.h"
#include "host/hex.h"
#include "host/reconcile_json.h"

#define JOURNALS "/api/v1/journals"
#define BUNDLES "/api/v1/bundles"
#define RETURNED "/api/v1/returned"

enum { PIECE = 524288 };

/* ---- what is there ---- */

static uint32_t number(const json_t *j, const char *key)
{
    long long n = cli_json_number(j, key);

    return n < 0 || n > UINT32_MAX ? 0 : (uint32_t)n;
}

enum stamp_err bundle_online_have(struct cli_online *o, const uint8_t id[32],
                                  struct stamp_journal_have *have,
                                  struct stamp_error *err)
{
    char name[65];
    json_t *all = NULL;
    const json_t *one;
    size_t i;
    enum stamp_err rc = cli_online_get(o, JOURNALS, NULL, "", &all, err);

    memset(have, 0, sizeof *have);
    memcpy(have->station, id, sizeof have->station);
    stamp_hex(id, 32, name);
    json_array_foreach(json_object_get(all, "journals"), i, one)
    {
        if (strcmp(cli_json_text(one, "station"), name) == 0) {
            have->entries = number(one, "entries");
            have->last = number(one, "last");
            have->head = number(one, "head");
            have->missing = number(one, "missing");
            have->forks = number(one, "forks");
        }
    }
    json_decref(all);
    return rc;
}

/* ---- sending ---- */

enum stamp_err bundle_online_told(const struct cli_online *o, const json_t *answer,
                                  stamp_reconcile_tell tell, void *ctx,
                                  struct stamp_reconciled *r, struct stamp_error *err)
{
    const json_t *all = json_object_get(answer, "told");
    const json_t *one;
    size_t i;

    if (!json_is_array(all)) {
        return stamp_error_set(err, STAMP_E_FORMAT, 0, "'%s' answers with no report",
                               o->url);
    }
    stamp_reconciled_add(r, answer);
    json_array_foreach(all, i, one)
    {
        struct stamp_reconcile_told told;
        struct stamp_reconcile_order order;

        if (stamp_reconcile_told_read(one, &told, &order)) {
            tell(ctx, &told);
        }
    }
    return STAMP_OK;
}

/* The service does not know what the file is called, and which piece of it is this. */
struct naming {
    stamp_reconcile_tell tell;
    void *ctx;
    const char *name;
    size_t at; /* bytes of it that were sent before */
};

static void tell_named(void *ctx, const struct stamp_reconcile_told *told)
{
    static const char sent[] = STAMP_RECONCILE_SENT;
    const struct naming *n = ctx;
    struct stamp_reconcile_told named = *told;
    char text[512 + PATH_MAX];

    if (strncmp(told->text, sent, sizeof sent - 1) == 0) {
        const char *rest = told->text + sizeof sent - 1;

        if (n->at == 0) {
            (void)snprintf(text, sizeof text, "%s%s", n->name, rest);
        } else {
            (void)snprintf(text, sizeof text, "%s, from byte %zu%s", n->name, n->at,
                           rest);
        }
        named.text = text;
    }
    n->tell(n->ctx, &named);
}

/* The service takes long bodies from who asked it for something before, over the same
 * connection: that is done before each, since the connection may be another. */
enum stamp_err bundle_online_post(struct cli_online *o,
                                  const struct stamp_service_request *request,
                                  json_t **answer, struct stamp_error *err)
{
    json_t *journals = NULL;
    enum stamp_err rc = cli_online_get(o, JOURNALS, NULL, "", &journals, err);

    json_decref(journals);
    return rc == STAMP_OK ? cli_online_ask(o, request, o->patience_s, answer, err) : rc;
}

static enum stamp_err send_all(struct cli_online *o, struct stamp_slice in,
                               struct naming *naming, struct stamp_reconciled *r,
                               struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    while (in.len > 0 && rc == STAMP_OK) {
        size_t len = stamp_journal_parts(in, PIECE);
        struct stamp_service_request request = {
            .path = BUNDLES, .type = "application/octet-stream", .body = {in.p, len}};
        json_t *answer = NULL;

        if (len == 0) { /* the service says what is wrong with it */
            request.body.len = in.len < PIECE ? in.len : PIECE;
            len = in.len;
        }
        rc = bundle_online_post(o, &request, &answer, err);
        if (rc == STAMP_OK) {
            rc = bundle_online_told(o, answer, tell_named, naming, r, err);
        }
        json_decref(answer);
        naming->at += len;
        in.p += len;
        in.len -= len;
    }
    return rc;
}

enum stamp_err bundle_online_bytes(struct cli_online *o, const char *name,
                                   struct stamp_slice bytes, stamp_reconcile_tell tell,
                                   void *ctx, struct stamp_reconciled *r,
                                   struct stamp_error *err)
{
    struct naming naming = {.tell = tell, .ctx = ctx, .name = name};

    return send_all(o, bytes, &naming, r, err);
}

enum stamp_err bundle_online_send(struct cli_online *o, const char *path,
                                  stamp_reconcile_tell tell, void *ctx,
                                  struct stamp_reconciled *r, struct stamp_error *err)
{
    struct stamp_slice file;
    enum stamp_err rc = stamp_file_map(path, &file, err);

    if (rc == STAMP_OK) {
        rc = bundle_online_bytes(o, path, file, tell, ctx, r, err);
        stamp_file_unmap(&file);
    }
    return rc;
}

/* ---- devices that came back ---- */

enum stamp_err bundle_online_returned(struct cli_online *o,
                                      const struct stamp_shown *shown, const char *port,
                                      stamp_reconcile_tell tell, void *ctx,
                                      struct stamp_reconciled *r, struct stamp_error *err)
{
    const struct stamp_journal_device *d = &shown->device;
    char certificate[4 * (STAMP_MAX_CERTIFICATE + 2) / 3 + 1];
    char chip[2 * STAMP_JOURNAL_CHIP_MAX + 1];
    json_t *answer = NULL;
    enum stamp_err rc;

    (void)EVP_EncodeBlock((unsigned char *)certificate, d->certificate,
                          (int)d->certificate_len);
    stamp_hex(d->chip, d->chip_len, chip);
    rc = cli_online_post(o, RETURNED, NULL, "",
                         json_pack("{s:s, s:s, s:s, s:i, s:i, s:b}", "port", port,
                                   "certificate", certificate, "chip", chip, "lock",
                                   (int)d->lock, "can", (int)shown->can, "strikes",
                                   (int)shown->strikes),
                         &answer, err);
    if (rc == STAMP_OK) {
        rc = bundle_online_told(o, answer, tell, ctx, r, err);
    }
    json_decref(answer);
    return rc;
}

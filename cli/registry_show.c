#include "cli/registry_show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/print_json.h"
#include "cli/registry_operational.h"
#include "host/hex.h"
#include "host/json.h"
#include "host/registry_json.h"

#define KEYS_SHOWN 4096u

static enum stamp_err find(struct stamp_registry *r, const char *what,
                           struct stamp_registry_row *row, struct stamp_error *err)
{
    uint8_t fingerprint[32];

    if (strlen(what) == 2 * sizeof fingerprint &&
        stamp_unhex(what, sizeof fingerprint, fingerprint)) {
        enum stamp_err rc = stamp_registry_find_key(r, fingerprint, row, NULL);

        if (rc != STAMP_E_MISSING) {
            return rc == STAMP_OK ? rc
                                  : stamp_registry_find_key(r, fingerprint, row, err);
        }
    }
    return stamp_registry_find(r, what, row, err);
}

static bool tell(void *ctx, const struct stamp_registry_entry *e)
{
    char at[21];

    (void)ctx;
    stamp_json_time((uint32_t)e->at, at);
    (void)printf("history              %s %-9s", at, stamp_registry_state_name(e->state));
    if (e->who[0] != '\0' || e->where[0] != '\0') {
        (void)printf(" by %s at %s", e->who[0] == '\0' ? "?" : e->who,
                     e->where[0] == '\0' ? "?" : e->where);
    }
    (void)printf("%s%s\n", e->why[0] == '\0' ? "" : ": ", e->why);
    return true;
}

static void line(const char *name, const char *value)
{
    if (value != NULL && value[0] != '\0') {
        (void)printf("%-20s %s\n", name, value);
    }
}

static enum stamp_err show_json(struct stamp_registry *r,
                                const struct stamp_registry_row *row,
                                struct stamp_error *err)
{
    json_t *j = NULL;
    enum stamp_err rc = stamp_registry_json_whole(r, row, KEYS_SHOWN, &j, err);

    return rc == STAMP_OK ? cli_json_put(j, err) : rc;
}

static enum stamp_err show_plain(struct stamp_registry *r,
                                 const struct stamp_registry_row *row,
                                 const struct stamp_registry_text *t,
                                 struct stamp_error *err)
{
    struct stamp_registry_batch batch;
    bool named = stamp_registry_batch_get(r, stamp_registry_batch_of(row), &batch,
                                          NULL) == STAMP_OK;
    enum stamp_err rc;

    line("serial", row->serial);
    line("product", row->product);
    line("state", stamp_registry_state_name(row->state));
    line("  since", t->at);
    line("batch", named ? batch.name : "(made one by one)");
    line("chip", row->chip);
    line("key fingerprint", t->fingerprint);
    line("certificate serial", t->certificate_serial);
    line("file", row->file);
    rc = stamp_registry_history(r, row->serial, tell, NULL, err);
    return rc == STAMP_OK ? cli_print_operational(r, row->id, err) : rc;
}

enum stamp_err registry_show(struct stamp_registry *r, const char *what,
                             enum registry_format format, struct stamp_error *err)
{
    struct stamp_registry_row row = {0};
    struct stamp_registry_text t = {.certificate = NULL};
    enum stamp_err rc = find(r, what, &row, err);

    if (rc == STAMP_OK) {
        rc = stamp_registry_text_of(&row, &t, err);
    }
    if (rc == STAMP_OK && format == REGISTRY_PLAIN) {
        rc = show_plain(r, &row, &t, err);
    } else if (rc == STAMP_OK && format == REGISTRY_JSON) {
        rc = show_json(r, &row, err);
    } else if (rc == STAMP_OK) {
        registry_put_head(REGISTRY_CSV);
        rc = registry_put_row(&row, REGISTRY_CSV, true, err);
    }
    stamp_registry_text_fini(&t);
    stamp_registry_row_fini(&row);
    return rc;
}

/* `stamp log VERB`: the transparency log. One file a verb: cli/log_VERB.c. */
#include "cli/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "host/file.h"
#include "host/hex.h"
#include "host/json.h"
#include "host/registry_batch.h"
#include "host/registry_json.h"
#include "host/workspace_signer.h"

int cmd_log(int argc, char **argv)
{
    static const struct station_verb table[] = {
        {"head", log_head, "sign how the log stands now, for auditors to keep"},
        {"list", log_list, "what is in the log"},
        {"prove", log_prove, "a receipt: that what happened to a device is in the log"},
        {"verify", log_verify, "the whole log, heads that were kept, or a receipt"},
        {NULL, NULL, NULL},
    };

    return station_verbs(
        "log",
        "The transparency log: what was issued and revoked, in a tree "
        "that can only grow.\nWho keeps one head of it finds whatever is "
        "changed or taken away later.",
        table, argc, argv);
}

enum stamp_err log_write(const struct stamp_workspace *ws,
                         const struct stamp_log_receipt *receipt,
                         const struct stamp_log_head *head, const char *path,
                         struct stamp_error *err)
{
    static const struct stamp_log_receipt none = {.bytes = NULL};
    STAMP_X509_AUTO *cert = NULL;
    uint8_t *bytes = NULL;
    size_t len = 0;
    enum stamp_err rc =
        stamp_workspace_signer_certificate(ws, STAMP_ARC_LOG_SIGNER, &cert, err);

    if (rc == STAMP_OK) {
        rc = stamp_log_receipt_write(receipt == NULL ? &none : receipt, head, cert,
                                     &bytes, &len, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_file_write(path, bytes, len, STAMP_FILE_PUBLIC, false, err);
    }
    free(bytes);
    return rc;
}

void log_print_head(const struct stamp_log_head *head)
{
    char root[2 * STAMP_MERKLE_SIZE + 1];
    char at[21];

    stamp_hex(head->root, sizeof head->root, root);
    stamp_json_time((uint32_t)head->at, at);
    (void)printf("%" PRIu64 " %s, of %s, root %s\n", head->size,
                 head->size == 1 ? "leaf" : "leaves", at, root);
}

/* ---- entries ---- */

static void put(const char *name, struct stamp_slice s)
{
    if (s.len > 0) {
        (void)printf(" %s ", name);
        cli_print_text(s.p, s.len);
    }
}

static void put_hash(const char *name, const uint8_t *hash, size_t len)
{
    char text[2 * 32 + 1];

    if (hash != NULL) {
        stamp_hex(hash, len, text);
        (void)printf(" %s %s", name, text);
    }
}

static const char *state_of(const struct stamp_log_entry *e)
{
    if (e->kind == STAMP_LOG_DEVICE) {
        return stamp_registry_state_name((enum stamp_registry_state)e->state);
    }
    if (e->kind == STAMP_LOG_OPERATIONAL) {
        return stamp_ldevid_state_name(e->state);
    }
    return e->kind == STAMP_LOG_BATCH_STATE
               ? stamp_registry_batch_state_name(
                     (enum stamp_registry_batch_state)e->state)
               : "?";
}

void log_print_entry(uint64_t index, const struct stamp_log_entry *e)
{
    char at[21];

    stamp_json_time((uint32_t)e->at, at);
    (void)printf("%" PRIu64 " %s %s", index, at, stamp_log_kind_name(e->kind));
    if (e->has_device) {
        (void)printf(" %" PRIu32 "/%" PRIu32, e->batch, e->index);
    }
    put("serial", e->serial);
    if (e->has_state) {
        (void)printf(" %s", state_of(e));
    }
    if (e->n > 0) {
        (void)printf(e->kind == STAMP_LOG_OPERATIONAL ? " key %" PRIu32 : " of %" PRIu32,
                     e->n);
    }
    if (e->has_reason) {
        (void)printf(" reason %" PRIu32, e->reason);
    }
    put("chip", e->chip);
    put("name", e->name);
    put_hash("key", e->key, 32);
    put_hash(e->kind == STAMP_LOG_ANCHOR ? "digest" : "certificate", e->digest, 32);
    put_hash("root", e->root, 32);
    put_hash("number", e->number.p, e->number.len);
    put("by", e->who);
    put("at", e->where);
    put("why", e->why);
    (void)printf("\n");
}

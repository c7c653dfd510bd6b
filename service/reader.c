/*
 * The reader: answers what programs ask of devices and of the transparency log. It reads
 * the registry and writes nothing, has no key, and reads nothing but messages. Who may
 * ask what is one table here.
 */
#include <errno.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host/hex.h"
#include "host/json.h"
#include "host/log_prove.h"
#include "host/registry_apikey.h"
#include "host/registry_json.h"
#include "host/workspace_signer.h"
#include "service/counters.h"
#include "service/log.h"
#include "service/sandbox.h"

enum {
    REOPEN_MS = 1000,
    KEYS = 100,        /* operational ones that are told of a device */
    KEY_WAIT_MS = 3000 /* for the log key to be made, at the first start */
};

#define OK 200u
#define UNAUTHORIZED 401u
#define FORBIDDEN 403u
#define NOT_FOUND 404u
#define UNPROCESSABLE 422u

struct reader {
    const struct stamp_service_setup *setup;
    char where[PATH_MAX];
    struct stamp_registry *registry; /* NULL: out of reach */
    time_t tried_at;                 /* to open it again */
    struct service_channel control;
    struct service_channel front[SERVICE_FRONTS_MAX];
    X509 *log_certificate; /* NULL: the log has no key yet */
    bool stopping;
};

/* An answer that is being made. */
struct reply {
    struct reader *r;
    unsigned front;
    uint64_t id;
    struct stamp_error err;
};

/* ---- who may ---- */

#define MAY(role) (1u << STAMP_ROLE_##role)

static const unsigned may[SERVICE_QUERY_VERBS] = {
    [SERVICE_QUERY_DEVICE] = MAY(ADMIN) | MAY(FACTORY) | MAY(SUPPORT) | MAY(AUDITOR),
    [SERVICE_QUERY_DEVICES] = MAY(ADMIN) | MAY(SUPPORT) | MAY(AUDITOR),
    [SERVICE_QUERY_RECEIPT] = MAY(ADMIN) | MAY(SUPPORT) | MAY(AUDITOR),
    [SERVICE_QUERY_HEAD] = MAY(ADMIN) | MAY(SUPPORT) | MAY(AUDITOR),
    [SERVICE_QUERY_ENTRIES] = MAY(ADMIN) | MAY(AUDITOR),
    [SERVICE_QUERY_PROOF] = MAY(ADMIN) | MAY(AUDITOR),
    [SERVICE_QUERY_GROWTH] = MAY(ADMIN) | MAY(AUDITOR),
};

/* ---- answering ---- */

static void send(struct reply *r, unsigned code, enum service_body kind,
                 const uint8_t *bytes, size_t len)
{
    struct service_message m = {
        .type = SERVICE_QUERY_ANSWER,
        .id = r->id,
        .u.query_answer = {.code = code, .kind = (uint8_t)kind, .more = 1}};

    do {
        size_t part = len < SERVICE_PART_MAX ? len : SERVICE_PART_MAX;

        m.u.query_answer.part = (struct stamp_slice){bytes, part};
        bytes += part;
        len -= part;
        m.u.query_answer.more = len > 0;
        service_channel_post(&r->r->front[r->front], &m);
    } while (len > 0);
}

/* @param what  taken; NULL where there was no memory */
static void send_json(struct reply *r, unsigned code, enum service_body kind,
                      json_t *what)
{
    char *text = what == NULL ? NULL : json_dumps(what, JSON_COMPACT);

    json_decref(what);
    if (text == NULL) {
        send(r, 0, SERVICE_JSON, (const uint8_t *)"", 0);
        return;
    }
    send(r, code, kind, (const uint8_t *)text, strlen(text));
    free(text);
}

/* RFC 9457 */
static void refuse(struct reply *r, unsigned code, const char *title, const char *detail)
{
    send_json(r, code, SERVICE_PROBLEM,
              json_pack("{s:s, s:s, s:i, s:s}", "type", "about:blank", "title", title,
                        "status", (int)code, "detail", detail));
}

/* What the registry said; away is for later, the rest is the question's. */
static void refuse_error(struct reply *r, enum stamp_err rc)
{
    if (rc == STAMP_E_MISSING) {
        refuse(r, NOT_FOUND, "Not Found", r->err.what);
        return;
    }
    if (rc == STAMP_E_RANGE) {
        refuse(r, UNPROCESSABLE, "Unprocessable Content", r->err.what);
        return;
    }
    service_log_error("reader-failed", &r->err);
    if (rc == STAMP_E_DATABASE) {
        stamp_registry_close(&r->r->registry);
        r->r->tried_at = time(NULL);
    }
    send(r, 0, SERVICE_JSON, (const uint8_t *)"", 0);
}

static json_t *base64_of(const uint8_t *p, size_t len)
{
    unsigned char *text = malloc(4 * ((len + 2) / 3) + 1);
    json_t *j = NULL;

    if (text != NULL) {
        (void)EVP_EncodeBlock(text, p, (int)len);
        j = json_string((const char *)text);
    }
    free(text);
    return j;
}

/* ---- devices ---- */

static void device(struct reply *r, const char *serial)
{
    struct stamp_registry_row row;
    json_t *j = NULL;
    enum stamp_err rc = stamp_registry_find(r->r->registry, serial, &row, &r->err);

    if (rc == STAMP_OK) {
        rc = stamp_registry_json_whole(r->r->registry, &row, KEYS, &j, &r->err);
    }
    stamp_registry_row_fini(&row);
    if (rc == STAMP_OK) {
        send_json(r, OK, SERVICE_JSON, j);
    } else {
        refuse_error(r, rc);
    }
}

static enum stamp_err add_rows(json_t *all, struct stamp_registry_row *rows, size_t n,
                               struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    for (size_t i = 0; i < n; i++) {
        struct stamp_registry_text t = {.certificate = NULL};

        if (rc == STAMP_OK) {
            rc = stamp_registry_text_of(&rows[i], &t, err);
        }
        if (rc == STAMP_OK &&
            json_array_append_new(all, stamp_registry_json(&rows[i], &t)) != 0) {
            rc = stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
        }
        stamp_registry_text_fini(&t);
    }
    return rc;
}

static enum stamp_err page(struct reply *r, const struct service_query *q,
                           const struct stamp_registry_filter *filter,
                           struct stamp_registry_row *rows, size_t *n, json_t *all)
{
    struct stamp_registry_row after = {.file = NULL};
    char serial[STAMP_SERIAL_SIZE];
    enum stamp_err rc = STAMP_OK;

    if (q->text.len > 0) {
        service_text(q->text, serial, sizeof serial);
        rc = stamp_registry_find(r->r->registry, serial, &after, &r->err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_registry_list(r->r->registry, filter, q->text.len == 0 ? NULL : &after,
                                 rows, (size_t)q->limit, n, &r->err);
    }
    stamp_registry_row_fini(&after);
    return rc == STAMP_OK ? add_rows(all, rows, *n, &r->err) : rc;
}

static void devices(struct reply *r, const struct service_query *q)
{
    char product[STAMP_MAX_TEXT + 1];
    const struct stamp_registry_filter filter = {
        .by_state = q->state != SERVICE_ANY_STATE,
        .state = (enum stamp_registry_state)q->state,
        .product = q->product.len == 0 ? NULL : product,
        .batch = (uint32_t)q->batch,
        .since = (time_t)q->since};
    struct stamp_registry_row *rows = calloc(SERVICE_PAGE_MAX, sizeof *rows);
    json_t *all = json_array();
    json_t *next = NULL;
    size_t n = 0;
    enum stamp_err rc = STAMP_E_NOMEM;

    service_text(q->product, product, sizeof product);
    if (rows != NULL && all != NULL) {
        rc = page(r, q, &filter, rows, &n, all);
    }
    if (rc == STAMP_OK) {
        next = n == q->limit ? json_string(rows[n - 1].serial) : json_null();
    }
    for (size_t i = 0; i < n; i++) {
        stamp_registry_row_fini(&rows[i]);
    }
    free(rows);
    if (rc == STAMP_OK) {
        send_json(r, OK, SERVICE_JSON,
                  json_pack("{s:o, s:o}", "devices", all, "next", next));
    } else {
        json_decref(all);
        refuse_error(r, rc);
    }
}

/* ---- the log ---- */

static bool have_head(struct reply *r, struct stamp_log_head *head)
{
    enum stamp_err rc = stamp_registry_log_head(r->r->registry, head, &r->err);

    if (rc != STAMP_OK) {
        refuse_error(r, rc);
    }
    return rc == STAMP_OK;
}

static void receipt(struct reply *r, const char *serial)
{
    struct stamp_log_receipt receipt = {.bytes = NULL};
    struct stamp_log_head head;
    uint8_t *bytes = NULL;
    uint64_t later;
    size_t len = 0;
    enum stamp_err rc;

    if (!have_head(r, &head)) {
        return;
    }
    if (r->r->log_certificate == NULL) {
        refuse(r, NOT_FOUND, "Not Found", "the service has no log key's certificate yet");
        return;
    }
    rc = stamp_log_prove(r->r->registry, serial, &head, &receipt, &later, &r->err);
    if (rc == STAMP_OK) {
        rc = stamp_log_receipt_write(&receipt, &head, r->r->log_certificate, &bytes, &len,
                                     &r->err);
    }
    if (rc == STAMP_OK) {
        send(r, OK, SERVICE_CBOR, bytes, len);
    } else {
        refuse_error(r, rc);
    }
    free(receipt.bytes);
    free(bytes);
}

static void log_head(struct reply *r)
{
    static const struct stamp_log_receipt none = {.bytes = NULL};
    struct stamp_log_head head;
    char id[2 * STAMP_LOG_ID_SIZE + 1];
    char root[2 * STAMP_MERKLE_SIZE + 1];
    char at[21];
    uint8_t *bytes = NULL;
    size_t len = 0;
    json_t *j;

    if (!have_head(r, &head)) {
        return;
    }
    stamp_hex(head.id, sizeof head.id, id);
    stamp_hex(head.root, sizeof head.root, root);
    stamp_json_time((uint32_t)head.at, at);
    j = json_pack("{s:s, s:I, s:s, s:s}", "log", id, "size", (json_int_t)head.size, "at",
                  at, "root", root);
    if (j != NULL && r->r->log_certificate != NULL &&
        stamp_log_receipt_write(&none, &head, r->r->log_certificate, &bytes, &len,
                                NULL) == STAMP_OK) {
        (void)json_object_set_new(j, "receipt", base64_of(bytes, len));
    }
    free(bytes);
    send_json(r, OK, SERVICE_JSON, j);
}

static bool add_leaf(void *ctx, uint64_t index, struct stamp_slice leaf)
{
    struct stamp_log_entry e;
    char at[21];
    json_t *j;

    if (stamp_log_entry_decode(leaf, &e, NULL) != STAMP_OK) {
        return true;
    }
    stamp_json_time((uint32_t)e.at, at);
    j = json_pack("{s:I, s:s, s:s, s:o}", "leaf", (json_int_t)index, "kind",
                  stamp_log_kind_name(e.kind), "at", at, "entry",
                  base64_of(leaf.p, leaf.len));
    if (j != NULL && e.serial.len > 0) {
        (void)json_object_set_new(j, "serial",
                                  json_stringn((const char *)e.serial.p, e.serial.len));
    }
    if (j != NULL && e.kind == STAMP_LOG_DEVICE && e.has_state) {
        (void)json_object_set_new(
            j, "state",
            json_string(stamp_registry_state_name((enum stamp_registry_state)e.state)));
    }
    return json_array_append_new(ctx, j) == 0;
}

static void entries(struct reply *r, const struct service_query *q)
{
    uint64_t size = 0;
    uint64_t end;
    json_t *all = json_array();
    enum stamp_err rc = stamp_registry_log_size(r->r->registry, &size, &r->err);

    if (rc == STAMP_OK && all != NULL) {
        rc = stamp_registry_log_leaves(r->r->registry, q->from, (uint32_t)q->limit,
                                       add_leaf, all, &r->err);
    }
    if (rc != STAMP_OK) {
        json_decref(all);
        refuse_error(r, rc);
        return;
    }
    end = q->from + json_array_size(all);
    send_json(r, OK, SERVICE_JSON,
              json_pack("{s:o, s:I, s:o}", "entries", all, "size", (json_int_t)size,
                        "next",
                        end < size ? json_integer((json_int_t)end) : json_null()));
}

static json_t *path_of(const struct stamp_merkle_path *p)
{
    json_t *j = json_array();

    for (size_t i = 0; j != NULL && i < p->n; i++) {
        if (json_array_append_new(j, base64_of(p->node[i], STAMP_MERKLE_SIZE)) != 0) {
            json_decref(j);
            j = NULL;
        }
    }
    return j;
}

/* Of a tree that a head could be of: there are so many leaves. */
static enum stamp_err check_size(struct reply *r, uint64_t size)
{
    uint64_t is = 0;
    enum stamp_err rc = stamp_registry_log_size(r->r->registry, &is, &r->err);

    return rc == STAMP_OK && size > is ? stamp_error_set(&r->err, STAMP_E_RANGE, 0,
                                                         "the log has not so many leaves")
                                       : rc;
}

/* The path of a leaf, or from one tree to another. */
static void proof(struct reply *r, const struct service_query *q)
{
    bool growth = q->verb == SERVICE_QUERY_GROWTH;
    STAMP_LOG_TREE_AUTO *tree = NULL;
    struct stamp_merkle_path path = {.n = 0};
    struct stamp_log_head head;
    uint64_t to = q->to;
    uint8_t root[STAMP_MERKLE_SIZE];
    enum stamp_err rc;

    if (to == 0) {
        if (!have_head(r, &head)) {
            return;
        }
        to = head.size;
    }
    rc = check_size(r, to);
    if (rc == STAMP_OK) {
        rc = stamp_log_tree_open(r->r->registry, &tree, &r->err);
    }
    if (rc == STAMP_OK) {
        const struct stamp_merkle_tree *nodes = stamp_log_tree_nodes(tree);

        rc = growth ? stamp_merkle_prove_growth(nodes, q->from, to, &path, &r->err)
                    : stamp_merkle_prove(nodes, q->from, to, &path, &r->err);
        if (rc == STAMP_OK) {
            rc = stamp_merkle_root_of(nodes, to, root, &r->err);
        }
    }
    if (rc != STAMP_OK) {
        refuse_error(r, rc);
        return;
    }
    send_json(r, OK, SERVICE_JSON,
              json_pack("{s:I, s:I, s:o, s:o}", growth ? "from" : "leaf",
                        (json_int_t)q->from, growth ? "to" : "size", (json_int_t)to,
                        "path", path_of(&path), "root", base64_of(root, sizeof root)));
}

/* ---- questions ---- */

static bool admit(struct reply *r, const struct service_query *q)
{
    struct stamp_apikey key = {.role = 0};
    char from[SERVICE_FROM_MAX + 1];
    enum stamp_err rc =
        stamp_registry_apikey_find(r->r->registry, q->key, time(NULL), &key, &r->err);

    if (rc != STAMP_OK && rc != STAMP_E_MISSING) {
        refuse_error(r, rc);
        return false;
    }
    if (rc == STAMP_OK && (may[q->verb] >> key.role & 1u) != 0) {
        return true;
    }
    service_text(q->address, from, sizeof from);
    service_log("refused", "by", key.name, "from", from, "refusal",
                rc == STAMP_OK ? "role" : "api key", NULL);
    stamp_error_clear(&r->err);
    if (rc == STAMP_OK) {
        refuse(r, FORBIDDEN, "Forbidden", "the role of this API key may not do that");
    } else {
        refuse(r, UNAUTHORIZED, "Unauthorized",
               "there is no such API key, or it has ended");
    }
    return false;
}

static void answer(struct reply *r, const struct service_query *q)
{
    char serial[STAMP_SERIAL_SIZE];

    service_text(q->text, serial, sizeof serial);
    switch (q->verb) {
    case SERVICE_QUERY_DEVICE:
        device(r, serial);
        break;
    case SERVICE_QUERY_DEVICES:
        devices(r, q);
        break;
    case SERVICE_QUERY_RECEIPT:
        receipt(r, serial);
        break;
    case SERVICE_QUERY_HEAD:
        log_head(r);
        break;
    case SERVICE_QUERY_ENTRIES:
        entries(r, q);
        break;
    case SERVICE_QUERY_PROOF:
    case SERVICE_QUERY_GROWTH:
    default:
        proof(r, q);
        break;
    }
}

static bool have_registry(struct reader *r)
{
    struct stamp_error err = STAMP_ERROR_INIT;

    if (r->registry == NULL && time(NULL) != r->tried_at) {
        r->tried_at = time(NULL);
        if (stamp_registry_open(r->where, &r->registry, &err) != STAMP_OK) {
            service_log_error("reader-failed", &err);
        }
    }
    return r->registry != NULL;
}

static void hear_fronts(struct reader *r)
{
    uint8_t buf[SERVICE_MESSAGE_MAX];
    struct service_message m;

    for (unsigned i = 0; i < r->setup->fronts; i++) {
        while (service_channel_receive(&r->front[i], buf, &m) == SERVICE_GOT) {
            struct reply reply = {
                .r = r, .front = i, .id = m.id, .err = STAMP_ERROR_INIT};

            if (m.type != SERVICE_QUERY || m.u.query.verb >= SERVICE_QUERY_VERBS ||
                m.u.query.limit < 1 || m.u.query.limit > SERVICE_PAGE_MAX ||
                m.u.query.from > INT64_MAX || m.u.query.batch > INT32_MAX) {
                service_die("a front asks for what it may not");
            }
            SERVICE_COUNT(queries);
            if (!have_registry(r)) {
                send(&reply, 0, SERVICE_JSON, (const uint8_t *)"", 0);
            } else if (admit(&reply, &m.u.query)) {
                answer(&reply, &m.u.query);
            }
        }
    }
}

/* ---- running ---- */

static void hear_control(struct reader *r)
{
    uint8_t buf[SERVICE_MESSAGE_MAX];
    struct service_message m;
    enum service_received got;

    while ((got = service_channel_receive(&r->control, buf, &m)) == SERVICE_GOT) {
        r->stopping = r->stopping || m.type == SERVICE_STOP;
    }
    if (got == SERVICE_CLOSED) {
        exit(0); /* the parent is gone */
    }
}

static void wait_for_some(struct reader *r)
{
    struct service_channel *all[SERVICE_FRONTS_MAX + 1];
    unsigned n = 0;

    for (; n < r->setup->fronts; n++) {
        all[n] = &r->front[n];
    }
    all[n++] = &r->control;
    service_channels_wait(all, n, REOPEN_MS);
}

/* The process "log" makes it when the service is started for the first time. */
static void find_certificate(struct reader *r, const struct stamp_workspace *ws)
{
    const struct timespec pause = {0, 50 * 1000000L};

    for (int ms = 0; ms < KEY_WAIT_MS; ms += 50) {
        if (stamp_workspace_signer_certificate(ws, STAMP_ARC_LOG_SIGNER,
                                               &r->log_certificate, NULL) == STAMP_OK) {
            return;
        }
        (void)nanosleep(&pause, NULL);
    }
    service_log("no-receipts", "why", "there is no log key: stamp log head", NULL);
}

/* OpenSSL and jansson do everything once before the sandbox: they read files of their own
 * when they do something for the first time. */
static void warm_up(void)
{
    static const uint8_t bytes[3] = {1, 2, 3};
    EVP_MD_CTX *md = stamp_merkle_md();
    char *text;
    json_t *j = json_pack("{s:o, s:f}", "x", base64_of(bytes, sizeof bytes), "y", 1.5);

    text = j == NULL ? NULL : json_dumps(j, JSON_COMPACT);
    free(text);
    json_decref(j);
    EVP_MD_CTX_free(md);
}

static enum stamp_err open_all(struct reader *r, struct stamp_error *err)
{
    STAMP_WORKSPACE_AUTO *ws = NULL;
    struct service_sandbox box = {.role = SERVICE_READER, .books = r->where};
    enum stamp_err rc = stamp_workspace_open_keys(r->setup->dir, &ws, err);

    if (rc == STAMP_OK) {
        rc = stamp_workspace_books(ws->dir, r->where, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_registry_open(r->where, &r->registry, err);
    }
    if (rc == STAMP_OK) {
        find_certificate(r, ws);
        warm_up();
        rc = service_sandbox_enter(&box, err);
    }
    return rc;
}

int service_reader(const struct stamp_service_setup *setup)
{
    static struct reader r;
    struct stamp_error err = STAMP_ERROR_INIT;

    r.setup = setup;
    service_channel_init(&r.control, SERVICE_FD_CONTROL);
    for (unsigned i = 0; i < setup->fronts; i++) {
        service_channel_init(&r.front[i], SERVICE_FD_FRONT + (int)i);
    }
    if (open_all(&r, &err) != STAMP_OK) {
        return service_failed(&err);
    }
    service_ready(&r.control);
    while (!r.stopping) {
        wait_for_some(&r);
        hear_fronts(&r);
        hear_control(&r);
    }
    for (unsigned i = 0; i < setup->fronts; i++) {
        (void)service_channel_flush(&r.front[i]);
    }
    stamp_registry_close(&r.registry);
    X509_free(r.log_certificate);
    return 0;
}

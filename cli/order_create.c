/* `stamp order create`: reserve, sign, seal. */
#include <getopt.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/station.h"
#include "host/bundle.h"
#include "host/cms.h"
#include "host/file.h"
#include "host/key.h"
#include "host/order.h"
#include "host/pki.h"
#include "host/registry_order.h"
#include "host/station_cert.h"
#include "host/workspace.h"

static const char help[] =
    "usage: stamp order create --product P --count N --station CERT --not-after DATE\n"
    "                          [-o ORDER] [OPTION]...\n"
    "\n"
    "Makes a work order: reserves serials on the books, and allows one station to make\n"
    "that many units of the workspace's product. Signed with the owner key, sealed to\n"
    "the station.\n"
    "\n"
    "      --product P         must be the profile's: it is asked twice on purpose\n"
    "  -n, --count N           units\n"
    "  -s, --station CERT      what `stamp station enrol` wrote for it\n"
    "      --serials R         FROM..TO, or auto (default): the next free block\n"
    "      --not-after DATE    2027-01-31 or 2027-01-31T12:00:00Z: no later\n"
    "      --not-before DATE   no earlier (default: now)\n"
    "      --lock WHEN         strike (default), or later: at a stage of its own\n"
    "      --pop HOW           sealed (default): by the unit, to --recipient; shown: to\n"
    "                          the station, for its label; none\n"
    "      --recipient PEM     certificate that proofs of possession are sealed to\n"
    "                          (default: headquarters' reception)\n"
    "      --backdate S        seconds that certificates may begin before the station's\n"
    "                          clock (default 300)\n"
    "      --note TEXT         for people\n"
    "  -o, --output ORDER      the file (default: order-N)\n"
    "      --passphrase-fd N   of a production workspace: from file descriptor N\n"
    "  -C, --dir DIR           the workspace\n"
    "  -h, --help              this\n";

enum { BACKDATE = 300, BACKDATE_MAX = 604800 };

static const struct option options[] = {
    {"product", required_argument, NULL, 'P'},
    {"count", required_argument, NULL, 'n'},
    {"station", required_argument, NULL, 's'},
    {"serials", required_argument, NULL, 'S'},
    {"not-after", required_argument, NULL, 'a'},
    {"not-before", required_argument, NULL, 'b'},
    {"lock", required_argument, NULL, 'L'},
    {"pop", required_argument, NULL, 'Q'},
    {"recipient", required_argument, NULL, 'R'},
    {"backdate", required_argument, NULL, 'B'},
    {"note", required_argument, NULL, 'N'},
    {"output", required_argument, NULL, 'o'},
    {"passphrase-fd", required_argument, NULL, 'F'},
    {"dir", required_argument, NULL, 'C'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

struct args {
    const char *product;
    uint32_t count;
    const char *station;
    const char *serials;
    time_t not_after;
    time_t not_before;
    bool lock_later;
    enum stamp_order_pop pop;
    const char *recipient;
    uint32_t backdate;
    const char *note;
    const char *out;
    const char *workspace;
    int fd;
};

/* Everything between the books and the file. */
struct making {
    const struct args *args;
    struct stamp_workspace *ws;
    struct stamp_station_cert station;
    struct stamp_registry_order order;
    EVP_PKEY *owner;
    uint8_t bundle[STAMP_MAX_BUNDLE];
    size_t bundle_len;
    X509 *recipient;
    uint8_t *recipient_der;
    size_t recipient_len;
};

/* ---- dates and serials ---- */

static bool take_date(const char *text, bool end_of_day, time_t *out)
{
    struct tm tm = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);

    if (end == NULL || *end != '\0') {
        memset(&tm, 0, sizeof tm);
        end = strptime(text, "%Y-%m-%d", &tm);
        if (end == NULL || *end != '\0') {
            return false;
        }
        *out = timegm(&tm) + (end_of_day ? 86399 : 0);
    } else {
        *out = timegm(&tm);
    }
    return *out > 0 && *out <= (time_t)UINT32_MAX;
}

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

static enum stamp_err first_counter(const struct making *m, time_t now, uint64_t *first,
                                    struct stamp_error *err)
{
    const struct stamp_serial_pattern *pattern = &m->ws->profile->serial;
    const char *range = m->args->serials;
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
    if (last < *first || last - *first + 1 != m->args->count) {
        return stamp_error_set(err, STAMP_E_CONFIG, 0,
                               "'%s' is not a range of %u serials", range,
                               m->args->count);
    }
    return STAMP_OK;
}

/* ---- parts ---- */

static enum stamp_err open_recipient(struct making *m, struct stamp_error *err)
{
    enum stamp_err rc = STAMP_OK;

    if (m->args->pop != STAMP_ORDER_POP_SEALED) {
        return STAMP_OK;
    }
    if (m->args->recipient != NULL) {
        rc = stamp_pki_load(m->args->recipient, &m->recipient, err);
    } else {
        m->recipient = m->station.home;
        X509_up_ref(m->recipient);
    }
    if (rc == STAMP_OK) {
        rc = stamp_cms_check_recipient(m->recipient, err);
    }
    return rc == STAMP_OK
               ? stamp_pki_encode(m->recipient, &m->recipient_der, &m->recipient_len, err)
               : rc;
}

/* The workspace's bundle again, with the recipient in it: devices seal to nobody else. */
static enum stamp_err make_bundle(struct making *m, struct stamp_error *err)
{
    struct stamp_bundle b;
    uint8_t point[STAMP_POINT_SIZE];
    enum stamp_err rc = stamp_bundle_decode(&b, m->ws->bundle, m->ws->bundle_len);

    b.recipient = (struct stamp_slice){NULL, 0};
    if (rc == STAMP_OK && m->recipient != NULL) {
        rc = stamp_key_point(X509_get0_pubkey(m->recipient), point, err);
        b.recipient = (struct stamp_slice){point, sizeof point};
    }
    return rc == STAMP_OK
               ? stamp_bundle_sign(&b, m->owner, m->bundle, &m->bundle_len, err)
               : rc;
}

static enum stamp_err seal(struct making *m, time_t now, struct stamp_buffer *out,
                           struct stamp_error *err)
{
    const struct args *a = m->args;
    const struct stamp_registry_batch *batch = &m->order.batch;
    char first[STAMP_SERIAL_SIZE];
    char last[STAMP_SERIAL_SIZE];
    char path[PATH_MAX];
    uint8_t *profile = NULL;
    uint8_t *ca = NULL;
    size_t profile_len = 0;
    size_t ca_len = 0;
    struct stamp_order o = {.purpose = m->ws->purpose, .count = a->count};
    enum stamp_err rc = stamp_workspace_path(m->ws, STAMP_PROFILE_FILE, path, err);

    if (rc == STAMP_OK) {
        rc = stamp_file_read(path, STAMP_ORDER_PROFILE_MAX, &profile, &profile_len, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_station_cert_der(&m->station, STAMP_STATION_CA, &ca, &ca_len, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_serial_format(&m->ws->profile->serial, batch->first_counter, batch->at,
                                 first, sizeof first, err);
    }
    if (rc == STAMP_OK) {
        rc = stamp_serial_format(&m->ws->profile->serial,
                                 batch->first_counter + a->count - 1, batch->at, last,
                                 sizeof last, err);
    }
    memcpy(o.id, m->order.id, sizeof o.id);
    o.product = (struct stamp_slice){(const uint8_t *)a->product, strlen(a->product)};
    o.profile = (struct stamp_slice){profile, profile_len};
    o.first_counter = (uint32_t)batch->first_counter;
    o.at = (uint32_t)batch->at;
    o.first = (struct stamp_slice){(const uint8_t *)first, strlen(first)};
    o.last = (struct stamp_slice){(const uint8_t *)last, strlen(last)};
    memcpy(o.prefix, batch->prefix, sizeof o.prefix);
    o.station = (struct stamp_slice){ca, ca_len};
    o.not_before = (uint32_t)(a->not_before > 0 ? a->not_before : now);
    o.not_after = (uint32_t)a->not_after;
    o.bundle = (struct stamp_slice){m->bundle, m->bundle_len};
    o.lock = a->lock_later ? STAMP_ORDER_LOCK_LATER : STAMP_ORDER_LOCK_STRIKE;
    o.pop = a->pop;
    o.recipient = (struct stamp_slice){m->recipient_der, m->recipient_len};
    o.backdate_s = a->backdate;
    if (a->note != NULL) {
        o.note = (struct stamp_slice){(const uint8_t *)a->note, strlen(a->note)};
    }
    if (rc == STAMP_OK) {
        rc = stamp_order_make(&o, m->owner, m->station.cert[STAMP_STATION_BOX], out, err);
    }
    if (rc == STAMP_OK) {
        (void)printf("%s..%s, %u units\n", first, last, a->count);
    }
    OPENSSL_free(ca);
    free(profile);
    return rc;
}

static enum stamp_err reserve(struct making *m, time_t now, struct stamp_error *err)
{
    struct stamp_registry_order_setup setup = {.product = m->args->product,
                                               .pattern = &m->ws->profile->serial,
                                               .count = m->args->count,
                                               .station = m->station.id,
                                               .lock_later = m->args->lock_later,
                                               .pop = (uint8_t)m->args->pop,
                                               .not_after = m->args->not_after,
                                               .note = m->args->note,
                                               .now = now};
    enum stamp_err rc = first_counter(m, now, &setup.first, err);

    return rc == STAMP_OK
               ? stamp_registry_order_add(m->ws->registry, &setup, &m->order, err)
               : rc;
}

static enum stamp_err check(const struct making *m, time_t now, struct stamp_error *err)
{
    const struct args *a = m->args;
    const struct stamp_profile *p = m->ws->profile;

    if (strcmp(a->product, p->product) != 0) {
        return stamp_error_set(err, STAMP_E_CONFIG, 0,
                               "this workspace makes '%s', not '%s'", p->product,
                               a->product);
    }
    if (memcmp(m->station.owner_hash, m->ws->owner_key_hash, 32) != 0 ||
        m->station.purpose != m->ws->purpose) {
        return stamp_error_set(err, STAMP_E_AUTH, 0,
                               "'%s' is of another workspace's station", a->station);
    }
    if (a->not_after <= now || (a->not_before > 0 && a->not_before >= a->not_after)) {
        return stamp_error_set(err, STAMP_E_CONFIG, 0,
                               "the order would hold at no time: see --not-after");
    }
    if (a->pop != STAMP_ORDER_POP_NONE && p->pop.length == 0) {
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

static enum stamp_err make(struct making *m, char *path, size_t size,
                           struct stamp_error *err)
{
    STAMP_SECRET_AUTO struct stamp_secret *passphrase = NULL;
    STAMP_BUFFER_AUTO file = {NULL, 0};
    uint8_t digest[32];
    time_t now = time(NULL);
    enum stamp_err rc = check(m, now, err);

    if (rc == STAMP_OK && m->args->out != NULL && access(m->args->out, F_OK) == 0) {
        rc = stamp_error_set(err, STAMP_E_EXISTS, 0, "'%s' is there already",
                             m->args->out);
    }
    if (rc == STAMP_OK) {
        rc = cli_passphrase(m->ws, m->args->fd, &passphrase, err);
    }
    if (rc == STAMP_OK) {
        rc =
            stamp_workspace_key(m->ws, STAMP_WORKSPACE_OWNER, passphrase, &m->owner, err);
    }
    if (rc == STAMP_OK) {
        rc = open_recipient(m, err);
    }
    if (rc == STAMP_OK) {
        rc = make_bundle(m, err);
    }
    if (rc == STAMP_OK) {
        rc = reserve(m, now, err);
    }
    if (rc == STAMP_OK) {
        rc = seal(m, now, &file, err);
    }
    if (rc == STAMP_OK &&
        EVP_Digest(file.p, file.len, digest, NULL, stamp_sha256(), NULL) != 1) {
        rc = stamp_openssl_failed(err, "cannot hash an order");
    }
    if (rc == STAMP_OK) {
        rc = stamp_registry_order_file(m->ws->registry, m->order.id, digest, err);
    }
    if (rc == STAMP_OK) {
        if (m->args->out != NULL) {
            (void)snprintf(path, size, "%s", m->args->out);
        } else {
            (void)snprintf(path, size, "order-%s", m->order.batch.name);
        }
        rc = stamp_file_write(path, file.p, file.len, STAMP_FILE_PUBLIC, false, err);
    }
    return rc;
}

static int run(const struct args *a)
{
    STAMP_WORKSPACE_AUTO *ws = NULL;
    struct stamp_error err = STAMP_ERROR_INIT;
    struct making m = {.args = a};
    char path[PATH_MAX] = "";
    enum stamp_err rc = stamp_workspace_open(a->workspace, &ws, &err);

    m.ws = ws;
    if (rc == STAMP_OK) {
        rc = stamp_station_cert_load(a->station, &m.station, &err);
    }
    if (rc == STAMP_OK) {
        rc = make(&m, path, sizeof path, &err);
    }
    stamp_station_cert_fini(&m.station);
    X509_free(m.recipient);
    OPENSSL_free(m.recipient_der);
    EVP_PKEY_free(m.owner);
    if (rc != STAMP_OK) {
        return station_fail(&err, m.order.batch.id == 0
                                      ? "nothing was changed"
                                      : "the serials stay reserved on the books");
    }
    (void)printf("%s\n", path);
    return cli_flush(CLI_DONE);
}

/* -1 = go on, else the exit status */
static int take(struct args *a, int opt)
{
    uint64_t number;

    switch (opt) {
    case 'P':
        a->product = optarg;
        return -1;
    case 'n':
        if (!cli_number(optarg, 1, STAMP_REGISTRY_BATCH_MAX, &number)) {
            return cli_usage("order create", "'%s' is no number of units", optarg);
        }
        a->count = (uint32_t)number;
        return -1;
    case 's':
        a->station = optarg;
        return -1;
    case 'S':
        a->serials = optarg;
        return -1;
    case 'a':
    case 'b':
        return take_date(optarg, opt == 'a', opt == 'a' ? &a->not_after : &a->not_before)
                   ? -1
                   : cli_usage("order create", "'%s' is no date as 2027-01-31", optarg);
    case 'L':
        a->lock_later = strcmp(optarg, "later") == 0;
        return a->lock_later || strcmp(optarg, "strike") == 0
                   ? -1
                   : cli_usage("order create", "--lock is strike or later");
    case 'Q':
        a->pop = strcmp(optarg, "none") == 0    ? STAMP_ORDER_POP_NONE
                 : strcmp(optarg, "shown") == 0 ? STAMP_ORDER_POP_SHOWN
                                                : STAMP_ORDER_POP_SEALED;
        return a->pop != STAMP_ORDER_POP_SEALED || strcmp(optarg, "sealed") == 0
                   ? -1
                   : cli_usage("order create", "--pop is sealed, shown or none");
    case 'R':
        a->recipient = optarg;
        return -1;
    case 'B':
        if (!cli_number(optarg, 0, BACKDATE_MAX, &number)) {
            return cli_usage("order create", "'%s' is no number of seconds up to a week",
                             optarg);
        }
        a->backdate = (uint32_t)number;
        return -1;
    case 'N':
        a->note = optarg;
        return -1;
    case 'o':
        a->out = optarg;
        return -1;
    case 'F':
        if (!cli_number(optarg, 0, 65535, &number)) {
            return cli_usage("order create", "'%s' is no file descriptor", optarg);
        }
        a->fd = (int)number;
        return -1;
    case 'C':
        a->workspace = optarg;
        return -1;
    case 'h':
        return cli_help(help);
    default:
        return cli_bad_option("order create");
    }
}

int order_create(int argc, char **argv)
{
    struct args a = {.fd = -1, .pop = STAMP_ORDER_POP_SEALED, .backdate = BACKDATE};
    int opt;

    while ((opt = getopt_long(argc, argv, "n:s:o:C:h", options, NULL)) != -1) {
        int status = take(&a, opt);

        if (status >= 0) {
            return status;
        }
    }
    if (optind != argc) {
        return cli_usage("order create", "'%s' is too much", argv[optind]);
    }
    if (a.product == NULL || a.count == 0 || a.station == NULL || a.not_after == 0) {
        return cli_usage("order create",
                         "--product, --count, --station and --not-after are wanted");
    }
    return run(&a);
}

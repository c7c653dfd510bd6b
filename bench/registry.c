/*
 * The books at scale: what a device costs in a bulk issue, in processor time and bytes,
 * and what a look-up costs when there are many. Certificates are random bytes of the
 * usual length: their making is measured elsewhere.
 *
 * usage: registry [-n DEVICES] [-r URL] [-d DIR] [-b BATCH] [-p]
 *     -n  devices, 1000000 unless said
 *     -r  postgres://...: an empty database; else a file in DIR, which is removed
 *     -d  where files go; else /tmp
 *     -b  devices in a batch; else 1000000
 *     -c  bytes of a certificate; else 631
 *     -p  print the plans of the look-ups
 */
#include <dirent.h>
#include <libpq-fe.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "host/registry_batch.h"
#include "host/registry_sql.h"

#define NOW ((time_t)1790000000)
#define PAGE 50u
#define CERTIFICATE_MAX 2048u

struct args {
    uint64_t devices;
    uint64_t batch;
    size_t certificate_len;
    const char *url;
    const char *dir;
    bool plans;
};

struct bench {
    struct args a;
    char where[512];
    struct stamp_registry *r;
    struct stamp_serial_pattern pattern;
    uint64_t seed;
    uint8_t certificate[CERTIFICATE_MAX];
    uint8_t sample_key[32]; /* of some device */
    uint32_t batches;
};

static double wall(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double processor(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(enum stamp_err rc, const struct stamp_error *err)
{
    if (rc != STAMP_OK) {
        stamp_error_print(err, "registry");
        exit(1);
    }
}

/* splitmix64: the same devices in each run */
static uint64_t draw(struct bench *b)
{
    uint64_t z = b->seed += UINT64_C(0x9E3779B97F4A7C15);

    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

static void draw_key(struct bench *b, uint8_t key[32])
{
    for (size_t i = 0; i < 4; i++) {
        uint64_t v = draw(b);

        memcpy(key + 8 * i, &v, 8);
    }
}

/* ---- issuing ---- */

/* Seconds that making up the devices took, which are not the registry's. */
static double add_run(struct bench *b, const struct stamp_registry_batch *batch,
                      const struct stamp_registry_share *share,
                      struct stamp_registry_run *run)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    double own = 0;

    while (!stamp_registry_run_full(run) &&
           share->done + stamp_registry_run_count(run) < share->n) {
        enum { CHUNK = 1024 };
        static char serial[CHUNK][STAMP_SERIAL_SIZE];
        static uint8_t key[CHUNK][32];
        uint32_t at = share->done + stamp_registry_run_count(run);
        uint32_t n = share->n - at < CHUNK ? share->n - at : CHUNK;
        double start = processor();

        for (uint32_t i = 0; i < n; i++) {
            must(stamp_serial_format(&b->pattern, batch->first_counter + at + i,
                                     batch->at, serial[i], sizeof serial[i], &err),
                 &err);
            draw_key(b, key[i]);
        }
        own += processor() - start;
        for (uint32_t i = 0; i < n; i++) {
            struct stamp_registry_device d = {.serial = serial[i],
                                              .fingerprint = key[i],
                                              .certificate = b->certificate,
                                              .certificate_len = b->a.certificate_len};

            memcpy(b->certificate + 20, key[i], 32);
            must(stamp_registry_run_add(run, &d, &err), &err);
        }
        if (at == 0) {
            memcpy(b->sample_key, key[0], 32);
        }
    }
    return own;
}

static double issue_batch(struct bench *b, uint32_t n)
{
    struct stamp_registry_batch_setup setup = {.product = "Thermo Sensor",
                                               .pattern = &b->pattern,
                                               .count = n,
                                               .now = NOW + (time_t)b->batches};
    struct stamp_registry_batch batch;
    struct stamp_registry_share share;
    struct stamp_error err = STAMP_ERROR_INIT;
    uint32_t volume;
    double own = 0;
    STAMP_REGISTRY_RUN_AUTO *run = NULL;

    if (b->batches % 4 == 3) {
        setup.product = "Gateway";
    }
    must(stamp_registry_batch_create(b->r, &setup, &batch, NULL, &err), &err);
    must(stamp_registry_volume(b->r, batch.id, "bench", &volume, &err), &err);
    must(stamp_registry_share_claim(b->r, batch.id, volume, &share, &err), &err);
    must(stamp_registry_run_new(b->r, b->a.dir, &run, &err), &err);
    while (share.done < share.n) {
        own += add_run(b, &batch, &share, run);
        must(stamp_registry_run_commit(b->r, run, &share, "mark", 4, setup.now, &err),
             &err);
    }
    must(stamp_registry_batch_step(b->r, batch.id, STAMP_REGISTRY_BATCH_MADE, &err),
         &err);
    b->batches++;
    return own;
}

/* ---- PostgreSQL's side ---- */

static PGconn *pg_connect(const struct bench *b)
{
    PGconn *conn = PQconnectdb(b->a.url);

    if (PQstatus(conn) != CONNECTION_OK) {
        (void)fprintf(stderr, "registry: %s", PQerrorMessage(conn));
        exit(1);
    }
    PQclear(PQexec(conn, "SET search_path = " STAMPI_PG_SCHEMA));
    return conn;
}

static long long pg_number(const struct bench *b, const char *sql)
{
    PGconn *conn = pg_connect(b);
    PGresult *res = PQexec(conn, sql);
    long long n = PQntuples(res) == 1 ? strtoll(PQgetvalue(res, 0, 0), NULL, 10) : -1;

    PQclear(res);
    PQfinish(conn);
    return n;
}

/* utime, stime and those of ended children, in seconds, where `pid` is the process or its
 * parent. */
static double time_of(const char *process, long pid)
{
    char path[280];
    char text[512] = "";
    const char *p;
    double ticks = 0;
    FILE *f;

    (void)snprintf(path, sizeof path, "/proc/%s/stat", process);
    f = fopen(path, "r");
    if (f == NULL || fgets(text, sizeof text, f) == NULL || strrchr(text, ')') == NULL) {
        text[0] = '\0';
    }
    if (f != NULL) {
        (void)fclose(f);
    }
    p = text[0] == '\0' ? "" : strrchr(text, ')') + 2;
    for (int field = 3; *p != '\0' && field <= 17; field++) {
        if (field == 4 && strtol(p, NULL, 10) != pid &&
            strtol(process, NULL, 10) != pid) {
            return 0;
        }
        ticks += field >= 14 ? strtod(p, NULL) : 0;
        p += strcspn(p, " ");
        p += *p == ' ';
    }
    return ticks / (double)sysconf(_SC_CLK_TCK);
}

/* Processor time of all of the server's processes; those that ended too. */
static double server_time(void)
{
    const char *pid = getenv("STAMP_TEST_PG_PID");
    double seconds = 0;
    DIR *proc = pid == NULL ? NULL : opendir("/proc");

    for (struct dirent *e; proc != NULL && (e = readdir(proc)) != NULL;) {
        if (e->d_name[0] >= '1' && e->d_name[0] <= '9') {
            seconds += time_of(e->d_name, strtol(pid, NULL, 10));
        }
    }
    if (proc != NULL) {
        (void)closedir(proc);
    }
    return seconds;
}

static double bytes_of(struct bench *b)
{
    struct stat st;

    if (b->a.url != NULL) {
        return (double)pg_number(b, "SELECT sum(pg_total_relation_size(c.oid))::bigint "
                                    "FROM pg_class c JOIN pg_namespace n "
                                    "ON n.oid = c.relnamespace WHERE n.nspname = "
                                    "'" STAMPI_PG_SCHEMA "' AND c.relkind = 'r'");
    }
    return stat(b->where, &st) == 0 ? (double)st.st_size : -1;
}

/* ---- output ---- */

static void say(const struct bench *b, const char *name, double value, const char *unit)
{
    (void)printf("%-8s %-34s %12.2f %s\n", b->a.url == NULL ? "sqlite" : "postgres", name,
                 value, unit);
}

/* ---- look-ups ---- */

static const char *const look_up_names[] = {
    "show_by_serial",           "show_by_key",        "list_page_issued",
    "list_page_struck",         "list_page_scrapped", "list_page_product",
    "list_page_batch_scrapped", "list_page_since",    "balance",
};
#define LOOK_UPS (sizeof look_up_names / sizeof *look_up_names)

static struct stamp_registry_row random_row(struct bench *b)
{
    struct stamp_registry_row row = {0};

    row.id = (int64_t)(1 + draw(b) % b->batches) << 32 | (int64_t)(draw(b) % 1000);
    return row;
}

static void list_page(struct bench *b, const struct stamp_registry_filter *f,
                      const struct stamp_registry_row *after)
{
    static struct stamp_registry_row rows[PAGE];
    struct stamp_error err = STAMP_ERROR_INIT;
    size_t n;

    must(stamp_registry_list(b->r, f, after, rows, PAGE, &n, &err), &err);
    for (size_t i = 0; i < n; i++) {
        stamp_registry_row_fini(&rows[i]);
    }
}

static void list_state(struct bench *b, enum stamp_registry_state state)
{
    struct stamp_registry_filter f = {.by_state = true, .state = state};
    struct stamp_registry_row after = random_row(b);

    list_page(b, &f, &after);
}

static void show(struct bench *b, bool by_key)
{
    struct stamp_registry_row row;
    struct stamp_error err = STAMP_ERROR_INIT;
    uint8_t key[32];
    char serial[STAMP_SERIAL_SIZE];

    must(stamp_serial_format(&b->pattern, 1 + draw(b) % b->a.devices, NOW, serial,
                             sizeof serial, &err),
         &err);
    must(stamp_registry_find(b->r, serial, &row, &err), &err);
    if (by_key) {
        memcpy(key, row.fingerprint, sizeof key);
        stamp_registry_row_fini(&row);
        must(stamp_registry_find_key(b->r, key, &row, &err), &err);
    }
    stamp_registry_row_fini(&row);
}

static void look_up(struct bench *b, size_t which)
{
    struct stamp_registry_filter f = {0};
    struct stamp_registry_balance balance;
    struct stamp_registry_row after = random_row(b);
    struct stamp_error err = STAMP_ERROR_INIT;

    switch (which) {
    case 0:
    case 1:
        show(b, which == 1);
        break;
    case 2:
        list_state(b, STAMP_REGISTRY_ISSUED);
        break;
    case 3:
        list_state(b, STAMP_REGISTRY_STRUCK);
        break;
    case 4:
        list_state(b, STAMP_REGISTRY_SCRAPPED);
        break;
    case 5:
        f.product = "Gateway";
        list_page(b, &f, &after);
        break;
    case 6:
        f.by_state = true;
        f.state = STAMP_REGISTRY_SCRAPPED;
        f.batch = stamp_registry_batch_of(&after);
        list_page(b, &f, NULL);
        break;
    case 7:
        f.since = NOW + 86400;
        list_page(b, &f, NULL);
        break;
    default:
        must(
            stamp_registry_balance(b->r, stamp_registry_batch_of(&after), &balance, &err),
            &err);
        break;
    }
}

static int by_value(const void *a, const void *b)
{
    const double *x = a;
    const double *y = b;

    return *x < *y ? -1 : *x > *y;
}

/* The database's time: of a file, the processor's, which is ours alone; of a server, the
 * clock's, with its and the machine's other work. */
static double database_time(const struct bench *b)
{
    return b->a.url == NULL ? processor() : wall();
}

static void look_all_up(struct bench *b)
{
    enum { ROUNDS = 1000 };
    static double took[ROUNDS];

    for (size_t i = 0; i < LOOK_UPS; i++) {
        char name[64];

        for (unsigned k = 0; k < ROUNDS; k++) {
            double start = database_time(b);

            look_up(b, i);
            took[k] = (database_time(b) - start) * 1e6;
        }
        qsort(took, ROUNDS, sizeof *took, by_value);
        say(b, look_up_names[i], took[ROUNDS / 2], "us, median");
        (void)snprintf(name, sizeof name, "%s_p99", look_up_names[i]);
        say(b, name, took[ROUNDS * 99 / 100], "us");
    }
}

/* ---- plans ---- */

static const struct plan {
    const char *what;
    enum stampi_sql which;
    const char *values; /* of the parameters */
} plans[] = {
    {"show by serial", STAMPI_FIND_SERIAL, "'SN-0000100000'"},
    {"show by key", STAMPI_FIND_KEY, NULL},
    {"list by state", STAMPI_LIST_STATE, "2, 4294967296, 9223372036854775807, 50"},
    {"list of a state that none is in", STAMPI_LIST_STATE,
     "5, 0, 9223372036854775807, 50"},
    {"list since", STAMPI_LIST_CHANGED, "2, 1790086400, -1, 0, 9223372036854775807, 50"},
    {"list of a batch", STAMPI_LIST_ALL, "4294967296, 8589934592, 50"},
    {"balance", STAMPI_TALLY_OF, "1"},
};

static void plan_sqlite(const struct bench *b, const struct plan *p)
{
    char sql[1024];
    sqlite3 *db = NULL;
    sqlite3_stmt *s = NULL;

    (void)snprintf(sql, sizeof sql, "EXPLAIN QUERY PLAN %s",
                   stampi_statements[p->which].text);
    if (sqlite3_open_v2(b->where, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(db, sql, -1, &s, NULL) == SQLITE_OK) {
        while (sqlite3_step(s) == SQLITE_ROW) {
            (void)printf("    %s\n", (const char *)sqlite3_column_text(s, 3));
        }
    }
    (void)sqlite3_finalize(s);
    (void)sqlite3_close(db);
}

static void plan_pg(const struct bench *b, const struct plan *p)
{
    const struct stampi_statement *s = &stampi_statements[p->which];
    char sql[1024];
    char key[80] = "'\\x";
    PGconn *conn = pg_connect(b);
    PGresult *res;

    for (size_t i = 0; i < 32; i++) {
        (void)snprintf(key + 3 + 2 * i, 4, "%02x%s", b->sample_key[i],
                       i == 31 ? "'" : "");
    }
    PQclear(PQprepare(conn, "p", s->pg == NULL ? s->text : s->pg, 0, NULL));
    (void)snprintf(sql, sizeof sql, "EXPLAIN (ANALYZE) EXECUTE p (%s)",
                   p->values == NULL ? key : p->values);
    PQclear(PQexec(conn, sql)); /* what it reads is in memory then */
    res = PQexec(conn, sql);
    for (int i = 0; i < PQntuples(res); i++) {
        (void)printf("    %s\n", PQgetvalue(res, i, 0));
    }
    if (PQntuples(res) == 0) {
        (void)printf("    %s\n", PQerrorMessage(conn));
    }
    PQclear(res);
    PQfinish(conn);
}

static void print_plans(const struct bench *b)
{
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++) {
        (void)printf("%s: %s\n", b->a.url == NULL ? "sqlite" : "postgres", plans[i].what);
        if (b->a.url == NULL) {
            plan_sqlite(b, &plans[i]);
        } else {
            plan_pg(b, &plans[i]);
        }
    }
}

/* ---- all of it ---- */

/* One in 97 is struck, one in 9,973 scrapped: as many as a list has to find. */
static void change_some(struct bench *b)
{
    enum { CHUNK = 500 };
    static char serial[CHUNK][STAMP_SERIAL_SIZE];
    static struct stamp_registry_change change[CHUNK];
    struct stamp_error err = STAMP_ERROR_INIT;
    uint64_t limit = b->a.devices < 200000 ? b->a.devices : 200000;
    double start = wall();
    size_t done = 0;
    size_t n = 0;

    for (uint64_t i = 0; i < limit; i++) {
        uint64_t counter = 1 + i * (b->a.devices / limit);
        bool scrap = i % 97 == 0;

        if (i % 10 == 0 || scrap) {
            must(stamp_serial_format(&b->pattern, counter, NOW, serial[n],
                                     sizeof serial[n], &err),
                 &err);
            change[n].serial = serial[n];
            change[n].to = scrap ? STAMP_REGISTRY_SCRAPPED : STAMP_REGISTRY_STRUCK;
            change[n].at = NOW + 86400 + (time_t)i;
            n++;
        }
        if (n == CHUNK || (i + 1 == limit && n > 0)) {
            must(stamp_registry_change(b->r, change, n, NULL, &err), &err);
            done += n;
            n = 0;
        }
    }
    say(b, "changes", (double)done / (wall() - start), "devices/s, 500 at once");
}

static void open_again(struct bench *b)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    double start;

    stamp_registry_close(&b->r);
    start = wall();
    must(stamp_registry_open(b->where, &b->r, &err), &err);
    say(b, "open", (wall() - start) * 1e6, "us");
}

static void issue_all(struct bench *b)
{
    struct rusage u;
    double start = wall();
    double cpu = processor();
    double server = server_time();
    double own = 0;
    double empty = bytes_of(b);
    double n = (double)b->a.devices;

    for (uint64_t done = 0; done < b->a.devices; done += b->a.batch) {
        uint64_t left = b->a.devices - done;

        own += issue_batch(b, (uint32_t)(left < b->a.batch ? left : b->a.batch));
    }
    say(b, "issue", n / (wall() - start - own), "devices/s");
    say(b, "issue_cpu", (processor() - cpu - own) / n * 1e6, "us of this process/device");
    if (b->a.url != NULL) {
        say(b, "issue_cpu_server", (server_time() - server) / n * 1e6,
            "us of the server/device");
    }
    stamp_registry_close(&b->r);
    say(b, "bytes", (bytes_of(b) - empty) / n, "bytes/device");
    (void)getrusage(RUSAGE_SELF, &u);
    say(b, "memory", (double)u.ru_maxrss / 1024, "MiB, peak");
}

static bool take_args(int argc, char **argv, struct args *a)
{
    int opt;

    while ((opt = getopt(argc, argv, "n:r:d:b:c:p")) != -1) {
        switch (opt) {
        case 'n':
            a->devices = strtoull(optarg, NULL, 10);
            break;
        case 'b':
            a->batch = strtoull(optarg, NULL, 10);
            break;
        case 'c':
            a->certificate_len = strtoul(optarg, NULL, 10);
            break;
        case 'r':
            a->url = optarg;
            break;
        case 'd':
            a->dir = optarg;
            break;
        case 'p':
            a->plans = true;
            break;
        default:
            return false;
        }
    }
    return optind == argc && a->devices > 0 && a->batch > 0 &&
           a->batch <= STAMP_REGISTRY_BATCH_MAX && a->certificate_len >= 64 &&
           a->certificate_len <= CERTIFICATE_MAX;
}

int main(int argc, char **argv)
{
    struct bench b = {
        .a = {
            .devices = 1000000, .batch = 1000000, .certificate_len = 631, .dir = "/tmp"}};
    struct stamp_error err = STAMP_ERROR_INIT;

    if (!take_args(argc, argv, &b.a)) {
        (void)fprintf(stderr, "usage: registry [-n DEVICES] [-b BATCH] [-c BYTES] "
                              "[-r URL] [-d DIR] [-p]\n");
        return 2;
    }
    for (size_t i = 0; i < sizeof b.certificate; i++) {
        b.certificate[i] = (uint8_t)draw(&b);
    }
    (void)snprintf(b.where, sizeof b.where, "%s/bench-registry-%ld.db", b.a.dir,
                   (long)getpid());
    if (b.a.url != NULL) {
        (void)snprintf(b.where, sizeof b.where, "%s", b.a.url);
    }
    must(stamp_serial_parse(&b.pattern, "SN-{counter:10}", NULL, &err), &err);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    must(stamp_registry_create(b.where, STAMP_PRODUCTION, &err), &err);
    must(stamp_registry_open(b.where, &b.r, &err), &err);
    issue_all(&b);
    open_again(&b);
    change_some(&b);
    if (b.a.url != NULL) {
        (void)pg_number(&b, "VACUUM ANALYZE"); /* as the server does by itself, later */
    }
    look_all_up(&b);
    if (b.a.plans) {
        print_plans(&b);
    }
    stamp_registry_close(&b.r);
    if (b.a.url == NULL) {
        (void)unlink(b.where);
    }
    return 0;
}

#include "service/counters.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static struct service_counters own;
struct service_counters *service_count = &own;

/* Upper bounds, in microseconds and as the format has them. */
static const struct {
    int64_t us;
    const char *seconds;
} buckets[SERVICE_BUCKETS] = {
    {1000, "0.001"},  {5000, "0.005"}, {10000, "0.01"},
    {25000, "0.025"}, {50000, "0.05"}, {100000, "0.1"},
    {500000, "0.5"},  {5000000, "5"},  {INT64_MAX, "+Inf"},
};

int service_counters_make(void)
{
    int fd = memfd_create("devstamp-counters", MFD_CLOEXEC);

    if (fd >= 0 && ftruncate(fd, sizeof *service_count) != 0) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

bool service_counters_open(int fd)
{
    void *page =
        mmap(NULL, sizeof *service_count, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (page == MAP_FAILED) {
        return false;
    }
    service_count = page;
    return true;
}

void service_counters_took(int64_t us)
{
    unsigned i = 0;

    while (us > buckets[i].us) {
        i++;
    }
    SERVICE_COUNT(took[i]);
    (void)atomic_fetch_add(&service_count->took_us, (uint64_t)us);
}

struct text {
    char *p;
    size_t size, len;
};

static void put(struct text *t, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void put(struct text *t, const char *fmt, ...)
{
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(t->p + t->len, t->size - t->len, fmt, args);
    va_end(args);
    if (n > 0 && (size_t)n < t->size - t->len) {
        t->len += (size_t)n;
    }
}

static void head(struct text *t, const char *name, const char *type, const char *help)
{
    put(t, "# HELP devstamp_%s %s\n# TYPE devstamp_%s %s\n", name, help, name, type);
}

static unsigned long long value(const _Atomic uint64_t *p)
{
    return (unsigned long long)atomic_load(p);
}

static void put_enrolments(struct text *t)
{
    const struct service_counters *c = service_count;
    unsigned long long sum = 0;

    head(t, "enrolments_total", "counter", "Answers to requests for certificates.");
    put(t, "devstamp_enrolments_total{outcome=\"issued\"} %llu\n", value(&c->issued));
    put(t, "devstamp_enrolments_total{outcome=\"again\"} %llu\n", value(&c->again));
    put(t, "devstamp_enrolments_total{outcome=\"later\"} %llu\n", value(&c->later));
    head(t, "refusals_total", "counter", "Requests that were refused, by reason.");
    for (unsigned i = 1; i < STAMP_REFUSALS; i++) {
        put(t, "devstamp_refusals_total{reason=\"%s\"} %llu\n",
            stamp_refusal_name((enum stamp_refusal)i), value(&c->refused[i]));
    }
    head(t, "confirmed_total", "counter", "First uses of operational keys.");
    put(t, "devstamp_confirmed_total %llu\n", value(&c->confirmed));
    head(t, "enrolment_seconds", "histogram", "From request to answer.");
    for (unsigned i = 0; i < SERVICE_BUCKETS; i++) {
        sum += value(&c->took[i]);
        put(t, "devstamp_enrolment_seconds_bucket{le=\"%s\"} %llu\n", buckets[i].seconds,
            sum);
    }
    put(t, "devstamp_enrolment_seconds_sum %.6f\ndevstamp_enrolment_seconds_count %llu\n",
        (double)value(&c->took_us) / 1e6, sum);
}

size_t service_counters_print(char *out, size_t size)
{
    const struct service_counters *c = service_count;
    struct text t = {out, size, 0};
    unsigned long long open = 0;

    put_enrolments(&t);
    head(&t, "ocsp_total", "counter", "OCSP answers: kept from before, or made.");
    put(&t, "devstamp_ocsp_total{answer=\"kept\"} %llu\n", value(&c->ocsp_kept));
    put(&t, "devstamp_ocsp_total{answer=\"made\"} %llu\n", value(&c->ocsp_made));
    head(&t, "lists_total", "counter", "Revocation lists that were made.");
    put(&t, "devstamp_lists_total %llu\n", value(&c->lists));
    head(&t, "batches_total", "counter", "Batches that were made for programs.");
    put(&t, "devstamp_batches_total %llu\n", value(&c->batches));
    head(&t, "batch_stamps_total", "counter", "Stamps in them.");
    put(&t, "devstamp_batch_stamps_total %llu\n", value(&c->batched));
    head(&t, "log_leaves_total", "counter", "Entries put into the transparency log.");
    put(&t, "devstamp_log_leaves_total %llu\n", value(&c->leaves));
    head(&t, "log_heads_total", "counter", "Heads of the transparency log.");
    put(&t, "devstamp_log_heads_total %llu\n", value(&c->heads));
    head(&t, "queries_total", "counter", "Answers about devices and the log.");
    put(&t, "devstamp_queries_total %llu\n", value(&c->queries));
    head(&t, "restarts_total", "counter", "Processes that died and were started again.");
    for (unsigned i = 0; i < SERVICE_ROLES; i++) {
        put(&t, "devstamp_restarts_total{process=\"%s\"} %llu\n",
            service_role_name((enum service_role)i), value(&c->restarts[i]));
    }
    for (unsigned i = 0; i < SERVICE_FRONTS_MAX; i++) {
        open += value(&c->connections[i]);
    }
    head(&t, "connections", "gauge", "TLS connections that are open.");
    put(&t, "devstamp_connections %llu\n", open);
    head(&t, "ready", "gauge", "All processes work.");
    put(&t, "devstamp_ready %d\n", value(&c->down) == 0);
    return t.len;
}

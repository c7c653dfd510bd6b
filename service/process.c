#include "service/process.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "service/counters.h"
#include "service/log.h"

static const char *const names[] = {"front",   "books", "signer", "status", "maker",
                                    "batches", "log",   "reader", "factory"};

const char *service_role_name(enum service_role role)
{
    return names[role];
}

uint64_t service_first_number(void)
{
    uint64_t first;

    if (RAND_bytes((unsigned char *)&first, sizeof first) != 1) {
        service_die("no random bytes");
    }
    return first >> 24;
}

void service_ready(struct service_channel *control)
{
    const struct service_message m = {.type = SERVICE_READY};

    service_channel_send(control, &m);
}

enum stamp_err service_take_secret(struct service_channel *control,
                                   struct stamp_secret **out, struct stamp_error *err)
{
    uint8_t buf[SERVICE_MESSAGE_MAX];
    struct service_message m;
    enum stamp_err rc = STAMP_OK;

    if (service_channel_receive(control, buf, &m) == SERVICE_GOT &&
        m.type == SERVICE_SECRET) {
        rc = stamp_secret_new(out, m.u.secret.p, m.u.secret.len, err);
    }
    OPENSSL_cleanse(buf, sizeof buf);
    return rc;
}

int service_failed(const struct stamp_error *err)
{
    stamp_error_print(err, "stamp");
    return 1;
}

/* The parent asks the others to end in their order, so a signal to the whole group, as a
 * terminal sends it, is for the parent alone. */
static void keep_from_signals(void)
{
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGTERM, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
}

int stamp_service_child(const struct stamp_service_setup *setup, const char *role)
{
    static char name[32];
    unsigned long index = 0;

    (void)snprintf(name, sizeof name, "%s", role);
    service_log_as(name);
    keep_from_signals();
    if (!service_counters_open(SERVICE_FD_COUNTERS)) {
        service_die("no shared memory");
    }
    if (strcmp(role, names[SERVICE_BOOKS]) == 0) {
        return service_books(setup);
    }
    if (strcmp(role, names[SERVICE_SIGNER]) == 0) {
        return service_signer(setup);
    }
    if (strcmp(role, names[SERVICE_MAKER]) == 0) {
        return service_maker(setup);
    }
    if (strcmp(role, names[SERVICE_STATUS]) == 0) {
        return service_status(setup);
    }
    if (strcmp(role, names[SERVICE_BATCHES]) == 0) {
        return service_batches(setup);
    }
    if (strcmp(role, names[SERVICE_TLOG]) == 0) {
        return service_tlog(setup);
    }
    if (strcmp(role, names[SERVICE_READER]) == 0) {
        return service_reader(setup);
    }
    if (strcmp(role, names[SERVICE_FACTORY]) == 0) {
        return service_factory(setup);
    }
    if (strncmp(role, "front ", 6) == 0) {
        index = strtoul(role + 6, NULL, 10);
        return index < SERVICE_FRONTS_MAX ? service_front(setup, (unsigned)index) : 2;
    }
    return 2;
}

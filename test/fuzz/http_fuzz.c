/* What clients send over HTTP beside EST: the first byte says which. An OCSP request in
 * DER, or in the path of a GET; an order of a batch, a change of a device, a work order
 * and what is told of it in JSON. Read, or refused with a reason; what was read is within
 * the sizes that messages have. */
#include <openssl/ocsp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "service/api.h"
#include "service/public.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* SHA-1 of name and key, as in the seeds: 20 bytes of 1, 20 bytes of 2. */
static struct front_issuer issuer[2];

static void sends(const struct service_message *m)
{
    static uint8_t bytes[SERVICE_MESSAGE_MAX];
    struct service_message out;
    size_t n = service_wire_encode(m, bytes);

    if (n == 0 || !service_wire_decode(bytes, n, &out)) {
        abort();
    }
}

static void ocsp(const uint8_t *der, size_t len)
{
    struct service_message m = {.type = SERVICE_OCSP};
    uint8_t number[SERVICE_NUMBER_MAX];

    if (public_read_ocsp(issuer, der, len, &m.u.ocsp, number) ==
        OCSP_RESPONSE_STATUS_SUCCESSFUL) {
        sends(&m);
    }
}

static void ocsp_path(const uint8_t *data, size_t len)
{
    static uint8_t der[EST_BODY_MAX];
    char *path = malloc(len + 1);
    size_t n = 0;

    if (path != NULL) {
        memcpy(path, data, len);
        path[len] = '\0';
        if (public_read_ocsp_path(path, der, &n)) {
            ocsp(der, n);
        }
    }
    free(path);
}

static void order(const uint8_t *data, size_t len)
{
    struct service_message m = {.type = SERVICE_BATCH};
    uint8_t stations[SERVICE_STATIONS_MAX];
    json_t *keep = NULL;
    const char *wrong = api_read_order(data, len, &m.u.batch, stations, &keep);

    if (wrong == NULL) {
        if (m.u.batch.batch == 0 || m.u.batch.stations.len == 0) {
            abort();
        }
        sends(&m);
    } else if (wrong[0] == '\0') {
        abort();
    }
    json_decref(keep);
}

static void check(const char *wrong, const struct service_message *m)
{
    if (wrong == NULL) {
        sends(m);
    } else if (wrong[0] == '\0') {
        abort();
    }
}

static void change_as(uint8_t verb, const uint8_t *data, size_t len)
{
    struct service_message m = {.type = SERVICE_CHANGE, .u.change = {.verb = verb}};
    json_t *body = json_loadb((const char *)data, len, JSON_REJECT_DUPLICATES, NULL);

    if (json_is_object(body)) {
        check(api_read_change(body, &m.u.change), &m);
    }
    json_decref(body);
}

static void state(const uint8_t *data, size_t len)
{
    change_as(SERVICE_CHANGE_STATE, data, len);
}

static void revoke(const uint8_t *data, size_t len)
{
    change_as(SERVICE_CHANGE_REVOKE, data, len);
}

static void factory_as(uint8_t verb, const uint8_t *data, size_t len)
{
    struct service_message m = {.type = SERVICE_FACTORY_ASK, .u.factory = {.verb = verb}};
    json_t *body = json_loadb((const char *)data, len, JSON_REJECT_DUPLICATES, NULL);
    struct api_bytes bytes;

    if (json_is_object(body)) {
        check(api_read_factory(body, &m.u.factory, &bytes), &m);
    }
    json_decref(body);
}

static void work_order(const uint8_t *data, size_t len)
{
    factory_as(SERVICE_FACTORY_ORDER, data, len);
}

static void order_file(const uint8_t *data, size_t len)
{
    factory_as(SERVICE_FACTORY_FILE, data, len);
}

static void returned(const uint8_t *data, size_t len)
{
    factory_as(SERVICE_FACTORY_RETURNED, data, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static void (*const what[])(const uint8_t *, size_t) = {
        ocsp, ocsp_path, order, state, revoke, work_order, order_file, returned};

    for (unsigned i = 0; i < 2; i++) {
        issuer[i].len = i == 0 ? 20 : 32;
        memset(issuer[i].name, 1, issuer[i].len);
        memset(issuer[i].key, 2, issuer[i].len);
    }
    if (len > 0) {
        what[data[0] % (sizeof what / sizeof what[0])](data + 1, len - 1);
    }
    return 0;
}

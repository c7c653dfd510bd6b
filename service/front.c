#include "service/front.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/listener.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "host/pki.h"
#include "service/api.h"
#include "service/counters.h"
#include "service/log.h"
#include "service/names.h"
#include "service/public.h"
#include "service/rollover.h"
#include "service/sandbox.h"
#include "service/station.h"

enum {
    HEADERS_MAX = 8192,
    IDLE_S = 30,         /* a connection that says nothing is closed */
    CONNECTIONS = 16384, /* at once; more wait in the socket's queue */
    SPARE_FDS = 64,
    TICK_MS = 200,
    TURN_MS = 2, /* ... that a front leaves a connection to others */
    AHEAD = 1,
    TAKES_LONG_MS = 5000, /* then 202 */
    SERVER_AGAIN_MS = 2000,
    CACERTS_MAX = 16384,
    AUTHORITIES_MAX = 2 + SERVICE_ROLLOVER_MAX
};

static int64_t now_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int64_t now_ms(void)
{
    return now_us() / 1000;
}

/* ---- the channels ---- */

/* It goes with all others of this turn of the loop: see run(). */
static void send_to(struct front_link *link, const struct service_message *m)
{
    service_channel_post(&link->channel, m);
}

static void flush(struct front_link *link)
{
    if (!service_channel_flush(&link->channel)) {
        (void)event_add(link->writable, NULL);
    }
}

static void can_send(evutil_socket_t fd, short what, void *arg)
{
    struct front_link *link = arg;

    (void)fd;
    (void)what;
    if (!service_channel_flush(&link->channel)) {
        (void)event_add(link->writable, NULL);
    }
}

static bool make_link(struct front *f, struct front_link *link, event_callback_fn hear)
{
    int fd = link->channel.fd;

    link->readable = event_new(f->base, fd, EV_READ | EV_PERSIST, hear, f);
    link->writable = event_new(f->base, fd, EV_WRITE, can_send, link);
    return link->readable != NULL && link->writable != NULL &&
           event_add(link->readable, NULL) == 0;
}

static void end_link(struct front_link *link)
{
    event_free(link->readable);
    event_free(link->writable);
}

/* ---- requests that wait ---- */

/* Its connection ends. A request that was cut off is not evhttp's any more, but ours. */
static void on_close(struct evhttp_connection *evcon, void *arg)
{
    struct front_pending *p = arg;

    (void)evcon;
    if (p->request != NULL && evhttp_request_get_connection(p->request) == NULL) {
        evhttp_request_free(p->request);
    }
    p->request = NULL;
}

static struct front_pending *new_pending(struct front *f, struct evhttp_request *req,
                                         enum service_role at)
{
    struct front_pending *p;
    uint32_t slot;

    if (f->n_free == 0) {
        return NULL;
    }
    slot = f->free_slot[--f->n_free];
    p = &f->pending[slot];
    *p = (struct front_pending){.used = true,
                                .at = at,
                                .id = ++f->sequence * FRONT_PENDING_MAX + slot,
                                .request = req,
                                .since_us = now_us()};
    evhttp_connection_set_closecb(evhttp_request_get_connection(req), on_close, p);
    return p;
}

/* Its request is answered from now on, or nobody waits for it any more. */
static struct evhttp_request *take_pending(struct front *f, struct front_pending *p)
{
    struct evhttp_request *req = p->request;

    if (req != NULL && evhttp_request_get_connection(req) != NULL) {
        evhttp_connection_set_closecb(evhttp_request_get_connection(req), NULL, NULL);
    }
    OPENSSL_clear_free(p->key, p->key_len);
    if (p->body != NULL) {
        evbuffer_free(p->body);
    }
    *p = (struct front_pending){.used = false};
    f->free_slot[f->n_free++] = (uint32_t)(p - f->pending);
    return req;
}

struct stamp_slice front_from(struct evhttp_request *req)
{
    struct stamp_slice from = {NULL, 0};
    char *address = NULL;
    ev_uint16_t port;

    evhttp_connection_get_peer(evhttp_request_get_connection(req), &address, &port);
    if (address != NULL) {
        from = (struct stamp_slice){(const uint8_t *)address, strlen(address)};
        from.len = from.len < SERVICE_FROM_MAX ? from.len : SERVICE_FROM_MAX;
    }
    return from;
}

/* NULL: too many wait. */
static struct front_pending *ask(struct front *f, struct evhttp_request *req,
                                 enum service_role at, struct front_link *link,
                                 struct service_message *m)
{
    struct front_pending *p = new_pending(f, req, at);

    if (p != NULL) {
        m->id = p->id;
        send_to(link, m);
    }
    return p;
}

bool front_ask(struct front *f, struct evhttp_request *req,
               const struct service_enrol *asked, enum est_style style)
{
    struct service_message m = {.type = SERVICE_ENROL, .u.enrol = *asked};
    struct front_pending *p = ask(f, req, SERVICE_BOOKS, &f->books, &m);

    if (p != NULL) {
        p->style = style;
    }
    return p != NULL;
}

bool front_ask_key(struct front *f, struct evhttp_request *req,
                   const struct service_make *asked, enum est_style style)
{
    struct service_message m = {.type = SERVICE_MAKE, .u.make = *asked};
    struct front_pending *p = ask(f, req, SERVICE_MAKER, &f->maker, &m);

    if (p != NULL) {
        p->style = style;
    }
    return p != NULL;
}

bool front_ask_unit(struct front *f, struct evhttp_request *req,
                    const struct service_unit *asked)
{
    struct service_message m = {.type = SERVICE_UNIT, .u.unit = *asked};
    struct front_pending *p = ask(f, req, SERVICE_BOOKS, &f->books, &m);

    if (p != NULL) {
        p->unit = true;
    }
    return p != NULL;
}

bool front_ask_batch(struct front *f, struct evhttp_request *req,
                     const struct service_batch *asked)
{
    struct service_message m = {.type = SERVICE_BATCH, .u.batch = *asked};
    struct front_pending *p = ask(f, req, SERVICE_BATCHES, &f->batches, &m);

    if (p != NULL) {
        p->verb = asked->verb;
    }
    return p != NULL;
}

bool front_ask_query(struct front *f, struct evhttp_request *req,
                     const struct service_query *asked)
{
    struct service_message m = {.type = SERVICE_QUERY, .u.query = *asked};

    return ask(f, req, SERVICE_READER, &f->reader, &m) != NULL;
}

/* A file goes by itself, since it cannot wait with others. */
bool front_ask_factory(struct front *f, struct evhttp_request *req,
                       const struct service_factory *asked, int file)
{
    struct service_message m = {.type = SERVICE_FACTORY_ASK, .u.factory = *asked};
    struct front_pending *p = new_pending(f, req, SERVICE_FACTORY);
    bool sent = p != NULL;

    m.id = p == NULL ? 0 : p->id;
    if (p != NULL) {
        p->verb = asked->verb;
    }
    if (p != NULL && file >= 0) {
        sent = service_channel_send_file(&f->factory.channel, &m, file);
    } else if (p != NULL) {
        send_to(&f->factory, &m);
    }
    if (p != NULL && !sent) {
        (void)take_pending(f, p);
    }
    if (file >= 0) {
        (void)close(file);
    }
    return sent;
}

bool front_ask_change(struct front *f, struct evhttp_request *req,
                      const struct service_change *asked)
{
    struct service_message m = {.type = SERVICE_CHANGE, .u.change = *asked};
    struct front_pending *p = ask(f, req, SERVICE_BOOKS, &f->books, &m);

    if (p != NULL) {
        p->change = true;
        p->verb = asked->verb;
    }
    return p != NULL;
}

bool front_ask_status(struct front *f, struct evhttp_request *req,
                      const struct service_ocsp *asked)
{
    struct service_message m = {.type = SERVICE_OCSP, .u.ocsp = *asked};
    struct front_pending *p = ask(f, req, SERVICE_STATUS, &f->status, &m);

    if (p != NULL) {
        p->asked = *asked;
        memcpy(p->number, asked->serial_number.p, asked->serial_number.len);
        p->asked.serial_number.p = p->number;
    }
    return p != NULL;
}

static void later(struct front *f, struct front_pending *p, bool taken)
{
    enum service_role at = p->at;
    bool change = p->change;
    struct evhttp_request *req = take_pending(f, p);

    if (req != NULL && at == SERVICE_STATUS) {
        public_later(req);
    } else if (req != NULL && (change || at == SERVICE_BATCHES || at == SERVICE_READER ||
                               at == SERVICE_FACTORY)) {
        api_later(req);
    } else if (req != NULL) {
        est_later(req, taken);
    }
}

/* Whoever waits for a process that died, ... */
static void later_all(struct front *f, enum service_role at)
{
    for (uint32_t i = 0; i < FRONT_PENDING_MAX; i++) {
        if (f->pending[i].used && f->pending[i].at == at) {
            later(f, &f->pending[i], false);
        }
    }
}

/* ... or too long. */
static void later_old(struct front *f, int64_t older_than_ms)
{
    for (uint32_t i = 0; i < FRONT_PENDING_MAX && f->n_free < FRONT_PENDING_MAX; i++) {
        if (f->pending[i].used && f->pending[i].since_us <= older_than_ms * 1000) {
            later(f, &f->pending[i], true);
        }
    }
}

/* ---- the server's own certificate ---- */

static void ask_server(struct front *f)
{
    struct service_message m = {.type = SERVICE_SERVER, .id = ++f->sequence};
    struct stamp_error err = STAMP_ERROR_INIT;

    if (service_tls_next_key(f->tls, m.u.server.point, &err) != STAMP_OK) {
        service_log_error("failed", &err);
        f->renew_at_ms = now_ms() + SERVER_AGAIN_MS;
        return;
    }
    m.id = m.id * FRONT_PENDING_MAX;
    f->server_id = m.id;
    f->renew_at_ms = INT64_MAX;
    send_to(&f->books, &m);
}

/* Is there a socket that listens? The parent passes as many as the name has addresses. */
static bool is_listening(int fd)
{
    int yes = 0;
    socklen_t len = sizeof yes;

    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &len) == 0 && yes != 0;
}

static void accept_all(struct evhttp *http, int first, struct evconnlistener **listeners)
{
    for (int i = 0; http != NULL && i < (int)SERVICE_LISTENERS_MAX; i++) {
        struct evhttp_bound_socket *bound;

        if (!is_listening(first + i)) {
            continue;
        }
        bound = evhttp_accept_socket_with_handle(http, first + i);
        if (bound == NULL) {
            service_die("cannot accept connections");
        }
        if (listeners != NULL) {
            listeners[i] = evhttp_bound_socket_get_listener(bound);
        }
    }
}

static void begin_listening(struct front *f)
{
    accept_all(f->http, SERVICE_FD_LISTEN, f->listener);
    accept_all(f->plain, SERVICE_FD_HTTP, NULL);
    accept_all(f->admin, SERVICE_FD_ADMIN, NULL);
    f->ready = f->lets_in = true;
    service_ready(&f->control);
}

/* One in each turn of the loop, so that of those that come at once each front gets as
 * many as it has time for: who keeps a connection is served by one front for good. */
static void let_in(struct front *f, bool more)
{
    if (f->lets_in == more) {
        return;
    }
    f->lets_in = more;
    for (unsigned i = 0; i < SERVICE_LISTENERS_MAX; i++) {
        if (f->listener[i] != NULL) {
            (void)(more ? evconnlistener_enable(f->listener[i])
                        : evconnlistener_disable(f->listener[i]));
        }
    }
}

static void take_server(struct front *f, const struct service_answer *a)
{
    struct stamp_error err = STAMP_ERROR_INIT;

    f->server_id = 0;
    if (a->outcome != SERVICE_CERTIFICATE ||
        service_tls_use(f->tls, a->certificate, &err) != STAMP_OK) {
        service_log("no-server-certificate", "why",
                    a->outcome == SERVICE_CERTIFICATE ? err.what : "not now", NULL);
        f->renew_at_ms = now_ms() + SERVER_AGAIN_MS;
        return;
    }
    f->renew_at_ms = now_ms() + (int64_t)SERVICE_SERVER_DAYS * 86400 * 1000 / 2;
    if (!f->ready) {
        begin_listening(f);
    }
}

/* The books want to know if the chain holds: then the request is as new. A connection is
 * judged once, so it does not come here again. */
static void judge(struct front *f, struct evhttp_request *req)
{
    struct front_connection *c = front_connection_of(f, req);

    if (c->peer.judged) {
        est_later(req, false);
        return;
    }
    service_peer_judge(f->tls, c->ssl, &c->peer);
    est_request(req, f);
}

static void take_answer(struct front *f, struct front_pending *p,
                        const struct service_answer *a)
{
    const struct front_pending was = *p;
    struct evhttp_request *req;

    p->key = NULL; /* it is `was` who has it */
    req = take_pending(f, p);
    service_counters_took(now_us() - was.since_us);
    if (req != NULL && a->outcome == SERVICE_JUDGE) {
        judge(f, req);
    } else if (req != NULL && was.unit) {
        station_answer(req, a);
    } else if (req != NULL) {
        est_answer(req, a, was.style, (struct stamp_slice){was.key, was.key_len});
    }
    OPENSSL_clear_free(was.key, was.key_len);
}

static void take_change(struct front *f, struct front_pending *p,
                        const struct service_message *m)
{
    uint8_t verb = p->verb;
    struct evhttp_request *req;

    if (!p->used || !p->change || p->id != m->id || p->at != SERVICE_BOOKS) {
        return;
    }
    req = take_pending(f, p);
    if (req != NULL) {
        api_change_answer(req, verb, &m->u.change_answer);
    }
}

static void hear_books(evutil_socket_t fd, short what, void *arg)
{
    struct front *f = arg;
    uint8_t buf[SERVICE_MESSAGE_MAX];
    struct service_message m;

    (void)fd;
    (void)what;
    while (service_channel_receive(&f->books.channel, buf, &m) == SERVICE_GOT) {
        struct front_pending *p = &f->pending[m.id % FRONT_PENDING_MAX];

        if (m.type == SERVICE_CHANGE_ANSWER) {
            take_change(f, p, &m);
            continue;
        }
        if (m.type != SERVICE_ANSWER) {
            service_die("the books say what they may not");
        }
        if (m.id == f->server_id) {
            take_server(f, &m.u.answer);
        } else if (p->used && !p->change && p->id == m.id && p->at == SERVICE_BOOKS) {
            take_answer(f, p, &m.u.answer);
        }
    }
}

/* ---- the channel to the maker ---- */

/* The key waits here while the books are asked. */
static void take_key(struct front *f, struct front_pending *p,
                     const struct service_made *made)
{
    struct service_message m = {.type = SERVICE_ENROL, .id = p->id};
    struct est_texts texts = {.serial = ""};
    bool going;

    if (made->key.len == 0 || p->request == NULL) {
        later(f, p, false);
        return;
    }
    p->at = SERVICE_BOOKS;
    p->key = OPENSSL_memdup(made->key.p, made->key.len);
    p->key_len = made->key.len;
    if (p->key == NULL) {
        service_die("out of memory");
    }
    going = est_made(f, p->request, made->point, &m.u.enrol, &texts);
    if (going) {
        send_to(&f->books, &m);
    } else {
        (void)take_pending(f, p);
    }
    stamp_pkcs10_free(&texts.request);
}

static void hear_maker(evutil_socket_t fd, short what, void *arg)
{
    struct front *f = arg;
    uint8_t buf[SERVICE_MESSAGE_MAX];
    struct service_message m;

    (void)fd;
    (void)what;
    while (service_channel_receive(&f->maker.channel, buf, &m) == SERVICE_GOT) {
        struct front_pending *p = &f->pending[m.id % FRONT_PENDING_MAX];

        if (m.type != SERVICE_MADE) {
            service_die("the maker says what it may not");
        }
        if (p->used && p->id == m.id && p->at == SERVICE_MAKER) {
            take_key(f, p, &m.u.made);
        }
        OPENSSL_cleanse(buf, sizeof buf);
    }
}

/* ---- the channel to the status ---- */

static void take_ocsp(struct front *f, const struct service_message *m)
{
    struct front_pending *p = &f->pending[m->id % FRONT_PENDING_MAX];
    struct front_pending was = *p;
    struct evhttp_request *req;

    if (!p->used || p->id != m->id || p->at != SERVICE_STATUS) {
        return;
    }
    was.asked.serial_number.p = was.number;
    req = take_pending(f, p);
    if (req != NULL) {
        public_answer(f, req, &was.asked, &m->u.ocsp_answer);
    }
}

static void hear_status(evutil_socket_t fd, short what, void *arg)
{
    struct front *f = arg;
    uint8_t buf[SERVICE_MESSAGE_MAX];
    struct service_message m;

    (void)fd;
    (void)what;
    while (service_channel_receive(&f->status.channel, buf, &m) == SERVICE_GOT) {
        if (m.type == SERVICE_OCSP_ANSWER) {
            take_ocsp(f, &m);
        } else if (m.type == SERVICE_OCSP_FLUSH) {
            ocsp_cache_flush(&f->ocsp);
        } else if (m.type == SERVICE_CRL) {
            public_take_list(f, &m.u.crl, f->status.channel.file);
            f->status.channel.file = -1;
        } else {
            service_die("the status says what it may not");
        }
    }
}

/* ---- the channel to the batches ---- */

static void hear_batches(evutil_socket_t fd, short what, void *arg)
{
    struct front *f = arg;
    uint8_t buf[SERVICE_MESSAGE_MAX];
    struct service_message m;

    (void)fd;
    (void)what;
    while (service_channel_receive(&f->batches.channel, buf, &m) == SERVICE_GOT) {
        struct front_pending *p = &f->pending[m.id % FRONT_PENDING_MAX];
        int file = f->batches.channel.file;

        if (m.type != SERVICE_BATCH_ANSWER) {
            service_die("the batches say what they may not");
        }
        f->batches.channel.file = -1;
        if (p->used && p->id == m.id && p->at == SERVICE_BATCHES) {
            uint8_t verb = p->verb;
            struct evhttp_request *req = take_pending(f, p);

            if (req != NULL) {
                api_answer(req, verb, &m.u.batch_answer, file);
                continue;
            }
        }
        if (file >= 0) {
            (void)close(file);
        }
    }
}

/* ---- the channels to the reader and the factory ---- */

static void take_part(struct front *f, struct front_pending *p,
                      const struct service_query_answer *a)
{
    struct evbuffer *body;
    struct evhttp_request *req;
    bool journals;

    if (p->body == NULL) {
        p->body = evbuffer_new();
    }
    if (p->body == NULL || evbuffer_add(p->body, a->part.p, a->part.len) != 0) {
        service_die("out of memory");
    }
    if (a->more != 0) {
        return;
    }
    body = p->body;
    p->body = NULL;
    journals = p->at == SERVICE_FACTORY && p->verb == SERVICE_FACTORY_JOURNALS;
    req = take_pending(f, p);
    if (req != NULL && journals && a->code == HTTP_OK) {
        api_factory_trust(req);
    }
    if (req != NULL) {
        api_query_answer(req, a, body);
    }
    evbuffer_free(body);
}

static void hear_parts(struct front *f, struct front_link *link, enum service_role at)
{
    uint8_t buf[SERVICE_MESSAGE_MAX];
    struct service_message m;

    while (service_channel_receive(&link->channel, buf, &m) == SERVICE_GOT) {
        struct front_pending *p = &f->pending[m.id % FRONT_PENDING_MAX];

        if (m.type != SERVICE_QUERY_ANSWER) {
            service_die("the reader or the factory says what it may not");
        }
        if (p->used && p->id == m.id && p->at == at) {
            take_part(f, p, &m.u.query_answer);
        }
    }
}

static void hear_reader(evutil_socket_t fd, short what, void *arg)
{
    struct front *f = arg;

    (void)fd;
    (void)what;
    hear_parts(f, &f->reader, SERVICE_READER);
}

static void hear_factory(evutil_socket_t fd, short what, void *arg)
{
    struct front *f = arg;

    (void)fd;
    (void)what;
    hear_parts(f, &f->factory, SERVICE_FACTORY);
}

/* ---- connections ---- */

static int connection_index = -1; /* of SSL's own data */

static void free_connection(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx,
                            long argl, void *argp)
{
    struct front_connection *c = ptr;

    (void)parent;
    (void)ad;
    (void)idx;
    (void)argl;
    (void)argp;
    if (c == NULL) {
        return;
    }
    (void)atomic_fetch_sub(&service_count->connections[c->front->index], 1);
    c->front->connections--;
    service_peer_fini(&c->peer);
    free(c);
}

/* evhttp would answer in the clear without a bufferevent: so it gets one, or we end. */
static struct bufferevent *new_connection(struct event_base *base, void *arg)
{
    struct front *f = arg;
    SSL *ssl = service_tls_accept(f->tls);
    struct front_connection *c = calloc(1, sizeof *c);
    struct bufferevent *bev = NULL;

    if (ssl != NULL && c != NULL) {
        c->front = f;
        c->ssl = ssl;
        f->connections++;
        SERVICE_COUNT(connections[f->index]);
        if (SSL_set_ex_data(ssl, connection_index, c) == 1) {
            bev = bufferevent_openssl_socket_new(base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING,
                                                 BEV_OPT_CLOSE_ON_FREE);
        }
    }
    if (bev == NULL) {
        service_die("out of memory for connections");
    }
    bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
    let_in(f, false);
    return bev;
}

struct front_connection *front_connection_of(struct front *f, struct evhttp_request *req)
{
    struct evhttp_connection *evcon = evhttp_request_get_connection(req);
    SSL *ssl = bufferevent_openssl_get_ssl(evhttp_connection_get_bufferevent(evcon));
    struct front_connection *c = SSL_get_ex_data(ssl, connection_index);

    if (!c->judged) {
        service_peer_read(f->tls, ssl, &c->peer);
        c->judged = true;
    }
    return c;
}

/* ---- running ---- */

static void stop(struct front *f)
{
    f->stopping = true;
    let_in(f, false);
}

static void hear_control(evutil_socket_t fd, short what, void *arg)
{
    struct front *f = arg;
    uint8_t buf[SERVICE_MESSAGE_MAX];
    struct service_message m;
    enum service_received got;

    (void)fd;
    (void)what;
    while ((got = service_channel_receive(&f->control, buf, &m)) == SERVICE_GOT) {
        if (m.type == SERVICE_STOP) {
            stop(f);
        } else if (m.type == SERVICE_LOST && m.u.lost == SERVICE_BOOKS) {
            later_all(f, SERVICE_BOOKS);
            if (f->server_id != 0) {
                ask_server(f);
            }
        } else if (m.type == SERVICE_LOST && m.u.lost == SERVICE_STATUS) {
            later_all(f, SERVICE_STATUS);
        } else if (m.type == SERVICE_LOST && m.u.lost == SERVICE_MAKER) {
            later_all(f, SERVICE_MAKER);
        } else if (m.type == SERVICE_LOST && m.u.lost == SERVICE_READER) {
            later_all(f, SERVICE_READER);
        } else if (m.type == SERVICE_LOST && m.u.lost == SERVICE_FACTORY) {
            later_all(f, SERVICE_FACTORY);
        } else if (m.type == SERVICE_LOST && m.u.lost == SERVICE_BATCHES) {
            later_all(f, SERVICE_BATCHES);
        }
    }
    if (got == SERVICE_CLOSED) {
        exit(0); /* the parent is gone */
    }
}

static void tick(evutil_socket_t fd, short what, void *arg)
{
    struct front *f = arg;
    int64_t now = now_ms();

    (void)fd;
    (void)what;
    later_old(f, now - TAKES_LONG_MS);
    if (now >= f->renew_at_ms) {
        ask_server(f);
    }
    if (f->stopping && f->n_free == FRONT_PENDING_MAX) {
        (void)event_base_loopexit(f->base, NULL); /* what is written goes out first */
    }
}

/* It waited long enough for others. */
static void turn(evutil_socket_t fd, short what, void *arg)
{
    struct front *f = arg;

    (void)fd;
    (void)what;
    if (!f->stopping) {
        let_in(f, true);
    }
}

/* Root and sub-CA, and what leads from an old root to this one. */
static enum stamp_err make_cacerts(struct front *f, struct stamp_error *err)
{
    struct stamp_slice list[AUTHORITIES_MAX];
    uint8_t *der[AUTHORITIES_MAX] = {NULL};
    size_t n = 2 + (size_t)sk_X509_num(f->rollover);
    enum stamp_err rc = STAMP_OK;

    for (size_t i = 0; i < n && rc == STAMP_OK; i++) {
        rc = stamp_pki_encode(i == 0   ? f->ws->root
                              : i == 1 ? f->ws->sub_ca
                                       : sk_X509_value(f->rollover, (int)i - 2),
                              &der[i], &list[i].len, err);
        list[i].p = der[i];
    }
    f->cacerts = malloc(CACERTS_MAX);
    if (rc == STAMP_OK && f->cacerts != NULL) {
        f->cacerts_len = est_certs_only(list, n, f->cacerts, CACERTS_MAX);
    }
    for (size_t i = 0; i < n; i++) {
        OPENSSL_free(der[i]);
    }
    return rc != STAMP_OK || f->cacerts_len > 0
               ? rc
               : stamp_error_set(err, STAMP_E_SPACE, 0,
                                 "the authorities' certificates are too long");
}

static void set_limits(struct evhttp *http)
{
    evhttp_set_default_content_type(http, NULL);
    evhttp_set_max_headers_size(http, HEADERS_MAX);
    evhttp_set_max_body_size(http, EST_BODY_MAX);
    evhttp_set_timeout(http, IDLE_S);
    /* whoever answers says what may be done with what: 405, where evhttp would say 501 */
    evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD |
                                         EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE |
                                         EVHTTP_REQ_PATCH | EVHTTP_REQ_OPTIONS);
}

/* A server of plain HTTP, where one is wanted. */
static bool make_http(struct front *f, const char *wanted,
                      void (*answer)(struct evhttp_request *req, void *front),
                      struct evhttp **out)
{
    if (wanted == NULL) {
        return true;
    }
    *out = evhttp_new(f->base);
    if (*out == NULL) {
        return false;
    }
    evhttp_set_gencb(*out, answer, f);
    set_limits(*out);
    return true;
}

/* Who answers and listens again changes twice what epoll knows of him: it is told once a
 * turn of the loop, what is left of it. No descriptor of the loop is a copy of another.
 */
static struct event_base *make_base(void)
{
    struct event_config *config = event_config_new();
    struct event_base *base = NULL;

    if (config == NULL) {
        return NULL;
    }
    if (event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST) == 0) {
        base = event_base_new_with_config(config);
    }
    event_config_free(config);
    return base;
}

static bool make_events(struct front *f)
{
    const struct timeval every = {0, TICK_MS * 1000L};

    f->base = make_base();
    f->http = f->base == NULL ? NULL : evhttp_new(f->base);
    if (f->http == NULL) {
        return false;
    }
    evhttp_set_bevcb(f->http, new_connection, f);
    evhttp_set_gencb(f->http, est_request, f);
    set_limits(f->http);
    if (!make_http(f, f->setup->http, public_http, &f->plain) ||
        !make_http(f, f->setup->admin, public_admin, &f->admin)) {
        return false;
    }
    f->control_readable =
        event_new(f->base, f->control.fd, EV_READ | EV_PERSIST, hear_control, f);
    f->tick = event_new(f->base, -1, EV_PERSIST, tick, f);
    f->turn = evtimer_new(f->base, turn, f);
    return make_link(f, &f->books, hear_books) && make_link(f, &f->status, hear_status) &&
           make_link(f, &f->maker, hear_maker) &&
           make_link(f, &f->batches, hear_batches) &&
           make_link(f, &f->reader, hear_reader) &&
           make_link(f, &f->factory, hear_factory) && f->control_readable != NULL &&
           f->tick != NULL && f->turn != NULL &&
           event_add(f->control_readable, NULL) == 0 && event_add(f->tick, &every) == 0;
}

static enum stamp_err open_all(struct front *f, struct stamp_error *err)
{
    struct rlimit files = {CONNECTIONS + SPARE_FDS, CONNECTIONS + SPARE_FDS};
    enum stamp_err rc = stamp_workspace_open_keys(f->setup->dir, &f->ws, err);

    if (setrlimit(RLIMIT_NOFILE, &files) != 0 && getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    if (rc == STAMP_OK) {
        rc = service_rollover_load(f->ws, &f->rollover, err);
    }
    if (rc == STAMP_OK) {
        rc = service_tls_new(f->ws, f->rollover, &f->tls, err);
    }
    if (rc == STAMP_OK) {
        rc = make_cacerts(f, err);
    }
    if (rc == STAMP_OK) {
        rc = public_init(f, err);
    }
    if (rc != STAMP_OK) {
        return rc;
    }
    if (!make_events(f)) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    f->sequence = service_first_number();
    connection_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_connection);
    for (uint32_t i = 0; i < FRONT_PENDING_MAX; i++) {
        f->free_slot[f->n_free++] = i;
    }
    return STAMP_OK;
}

static bool is_ahead(const struct front *f)
{
    for (unsigned i = 0; i < f->setup->fronts; i++) {
        if (f->connections > atomic_load(&service_count->connections[i]) + AHEAD) {
            return true;
        }
    }
    return false;
}

/* Who keeps a connection is served by one front for good. So a front lets one in at each
 * turn of its loop, and if it has more than another one, it waits a little before. */
static void take_turns(struct front *f)
{
    const struct timeval wait = {0, TURN_MS * 1000L};

    if (!f->ready || f->stopping || f->lets_in || f->connections >= CONNECTIONS ||
        event_pending(f->turn, EV_TIMEOUT, NULL) != 0) {
        return;
    }
    if (!is_ahead(f) || event_add(f->turn, &wait) != 0) {
        let_in(f, true);
    }
}

static void run(struct front *f)
{
    struct front_link *const links[] = {&f->books,   &f->status, &f->maker,
                                        &f->batches, &f->reader, &f->factory};

    while (!event_base_got_exit(f->base)) {
        take_turns(f);
        for (size_t i = 0; i < sizeof links / sizeof links[0]; i++) {
            flush(links[i]);
        }
        if (event_base_loop(f->base, EVLOOP_ONCE) != 0) {
            break;
        }
    }
}

int service_front(const struct stamp_service_setup *setup, unsigned index)
{
    static struct front f;
    struct stamp_error err = STAMP_ERROR_INIT;

    f.setup = setup;
    f.index = index;
    service_channel_init(&f.control, SERVICE_FD_CONTROL);
    service_channel_init(&f.books.channel, SERVICE_FD_BOOKS);
    service_channel_init(&f.status.channel, SERVICE_FD_STATUS);
    service_channel_init(&f.maker.channel, SERVICE_FD_MAKER);
    service_channel_init(&f.batches.channel, SERVICE_FD_BATCHES);
    service_channel_init(&f.reader.channel, SERVICE_FD_READER);
    service_channel_init(&f.factory.channel, SERVICE_FD_FACTORY);
    if (open_all(&f, &err) != STAMP_OK ||
        service_sandbox_enter(&(struct service_sandbox){.role = SERVICE_FRONT}, &err) !=
            STAMP_OK) {
        return service_failed(&err);
    }
    ask_server(&f);
    run(&f);
    evhttp_free(f.http);
    if (f.plain != NULL) {
        evhttp_free(f.plain);
    }
    if (f.admin != NULL) {
        evhttp_free(f.admin);
    }
    if (f.list != NULL) {
        evbuffer_file_segment_free(f.list);
    }
    ocsp_cache_flush(&f.ocsp);
    end_link(&f.books);
    end_link(&f.status);
    end_link(&f.maker);
    end_link(&f.batches);
    end_link(&f.reader);
    end_link(&f.factory);
    event_free(f.control_readable);
    event_free(f.tick);
    event_free(f.turn);
    event_base_free(f.base);
    service_tls_free(&f.tls);
    sk_X509_pop_free(f.rollover, X509_free);
    stamp_workspace_close(&f.ws);
    free(f.cacerts);
    return 0;
}

#include "station/control.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "host/hex.h"

#define SOCKET "control"

enum { LINE_MAX_BYTES = 4096, TIMEOUT_S = 5, ANSWER_MAX = 4194304 };

struct stamp_control {
    struct stamp_line *line;
    struct stamp_control_run run;
    struct evconnlistener *listener;
    char path[PATH_MAX];
};

/* ---- answers ---- */

json_t *stamp_control_status(const struct stamp_journal_status *s)
{
    return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "count", (int)s->count,
                     "done", (int)s->done, "failed", (int)s->failed, "scrapped",
                     (int)s->scrapped, "in_doubt", (int)s->doubt, "remaining",
                     (int)s->remaining, "last_hour", (int)s->per_hour, "last_eight_hours",
                     (int)s->shift);
}

static void add_port(void *to, const char *place, const char *state)
{
    (void)json_array_append_new(to,
                                json_pack("{s:s, s:s}", "port", place, "state", state));
}

static json_t *status(struct stamp_control *c)
{
    struct stamp_journal_status s;
    bool now = stamp_line_status(c->line, &s);
    json_t *answer = stamp_control_status(&s);
    json_t *ports = json_array();

    c->run.ports(c->run.ctx, add_port, ports);
    (void)json_object_set_new(answer, "ports", ports);
    (void)json_object_set_new(answer, "stands", json_boolean(!now));
    (void)json_object_set_new(answer, "ok", json_true());
    return answer;
}

static json_t *refused(enum stamp_err code, const struct stamp_error *err)
{
    return json_pack("{s:b, s:i, s:s, s:s}", "ok", 0, "code", (int)code, "what",
                     err->what, "hint", err->hint);
}

static json_t *give_up(struct stamp_control *c, const json_t *request,
                       enum stamp_journal_kind kind)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    const char *serial = json_string_value(json_object_get(request, "serial"));
    const char *reason = json_string_value(json_object_get(request, "reason"));
    const char *who = json_string_value(json_object_get(request, "who"));
    const char *confirm = json_string_value(json_object_get(request, "confirm"));
    struct stamp_journal_status s;
    enum stamp_err rc;

    if (serial == NULL || reason == NULL || who == NULL) {
        rc =
            stamp_error_set(&err, STAMP_E_CONFIG, 0, "serial, reason and who are wanted");
    } else if (!stamp_line_status(c->line, &s)) {
        rc = stamp_error_set(&err, STAMP_E_BUSY, 0,
                             "the line stands: its token is away, or slow");
    } else {
        rc = stamp_line_give_up(c->line, serial, kind, reason, who, confirm, &err);
    }
    return rc == STAMP_OK ? json_pack("{s:b}", "ok", 1) : refused(rc, &err);
}

/* A part of the journal, for headquarters. */
static json_t *export(struct stamp_control *c, const json_t *request)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    json_int_t from = json_integer_value(json_object_get(request, "from"));
    struct stamp_sealed_part part = {.next = 0};
    char *text = NULL;
    json_t *answer = NULL;
    enum stamp_err rc =
        from > 0 && from <= UINT32_MAX
            ? stamp_line_part(c->line, (uint32_t)from, &part, &err)
            : stamp_error_set(&err, STAMP_E_CONFIG, 0, "from is wanted, a number");

    if (rc == STAMP_OK) {
        text = malloc(2 * part.bytes.len + 1);
        if (text == NULL) {
            rc = stamp_error_set(&err, STAMP_E_NOMEM, ENOMEM, "out of memory");
        } else {
            stamp_hex(part.bytes.p, part.bytes.len, text);
            answer = json_pack("{s:b, s:s, s:I, s:I}", "ok", 1, "part", text, "next",
                               (json_int_t)part.next, "head", (json_int_t)part.head);
        }
    }
    free(text);
    stamp_buffer_free(&part.bytes);
    return rc == STAMP_OK ? answer : refused(rc, &err);
}

static json_t *answer_to(struct stamp_control *c, const json_t *request)
{
    struct stamp_error err = STAMP_ERROR_INIT;
    const char *what = json_string_value(json_object_get(request, "do"));

    if (what != NULL && strcmp(what, "status") == 0) {
        return status(c);
    }
    if (what != NULL && strcmp(what, "scrap") == 0) {
        return give_up(c, request, STAMP_JOURNAL_SCRAPPED);
    }
    if (what != NULL && strcmp(what, "rework") == 0) {
        return give_up(c, request, STAMP_JOURNAL_REWORK);
    }
    if (what != NULL && strcmp(what, "export") == 0) {
        return export(c, request);
    }
    if (what != NULL && strcmp(what, "retry") == 0) {
        c->run.retry(c->run.ctx);
        return json_pack("{s:b}", "ok", 1);
    }
    return refused(
        stamp_error_set(&err, STAMP_E_UNSUPPORTED, 0, "the line does not do that"), &err);
}

/* ---- the line's end ---- */

static void on_end(struct bufferevent *b, short what, void *arg)
{
    (void)what;
    (void)arg;
    bufferevent_free(b);
}

static void on_sent(struct bufferevent *b, void *arg)
{
    (void)arg;
    bufferevent_free(b);
}

static void on_request(struct bufferevent *b, void *arg)
{
    struct stamp_control *c = arg;
    struct evbuffer *in = bufferevent_get_input(b);
    size_t len;
    char *line = evbuffer_readln(in, &len, EVBUFFER_EOL_LF);
    json_t *request;
    json_t *answer;
    char *text;

    if (line == NULL) {
        if (evbuffer_get_length(in) > LINE_MAX_BYTES) {
            bufferevent_free(b);
        }
        return;
    }
    request = json_loadb(line, len, 0, NULL);
    answer = answer_to(c, request);
    text = json_dumps(answer, JSON_COMPACT);
    bufferevent_setcb(b, NULL, on_sent, on_end, c);
    (void)bufferevent_disable(b, EV_READ);
    if (text == NULL ||
        evbuffer_add_printf(bufferevent_get_output(b), "%s\n", text) < 0) {
        bufferevent_free(b);
    }
    free(text);
    free(line);
    json_decref(answer);
    json_decref(request);
}

static void on_connect(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *who,
                       int len, void *arg)
{
    const struct timeval limit = {TIMEOUT_S, 0};
    struct bufferevent *b =
        bufferevent_socket_new(evconnlistener_get_base(l), fd, BEV_OPT_CLOSE_ON_FREE);

    (void)who;
    (void)len;
    if (b == NULL) {
        (void)close(fd);
        return;
    }
    bufferevent_setcb(b, on_request, NULL, on_end, arg);
    bufferevent_set_timeouts(b, &limit, &limit);
    (void)bufferevent_enable(b, EV_READ | EV_WRITE);
}

static enum stamp_err address_of(const struct stamp_site *site, struct sockaddr_un *a,
                                 struct stamp_error *err)
{
    char path[PATH_MAX];
    enum stamp_err rc = stamp_site_path(site, SOCKET, path, err);

    memset(a, 0, sizeof *a);
    a->sun_family = AF_UNIX;
    if (rc == STAMP_OK && strlen(path) >= sizeof a->sun_path) {
        return stamp_error_set(err, STAMP_E_RANGE, 0,
                               "the path '%s' is too long for a socket", path);
    }
    if (rc == STAMP_OK) {
        memcpy(a->sun_path, path, strlen(path) + 1);
    }
    return rc;
}

enum stamp_err stamp_control_open(struct event_base *base, struct stamp_line *line,
                                  const struct stamp_control_run *run,
                                  struct stamp_control **out, struct stamp_error *err)
{
    struct stamp_control *c = calloc(1, sizeof *c);
    struct sockaddr_un a;
    mode_t mask;
    enum stamp_err rc;

    *out = NULL;
    if (c == NULL) {
        return stamp_error_set(err, STAMP_E_NOMEM, ENOMEM, "out of memory");
    }
    c->line = line;
    c->run = *run;
    rc = address_of(stamp_line_site(line), &a, err);
    if (rc != STAMP_OK) {
        free(c);
        return rc;
    }
    (void)unlink(a.sun_path); /* of one that was killed: the journal is ours alone */
    mask = umask(0177);
    c->listener = evconnlistener_new_bind(base, on_connect, c,
                                          LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC,
                                          -1, (struct sockaddr *)&a, (int)sizeof a);
    (void)umask(mask);
    if (c->listener == NULL) {
        rc = stamp_error_set(err, STAMP_E_IO, errno, "cannot listen on '%s': %s",
                             a.sun_path, strerror(errno));
        free(c);
        return rc;
    }
    (void)snprintf(c->path, sizeof c->path, "%s", a.sun_path);
    *out = c;
    return STAMP_OK;
}

void stamp_control_close(struct stamp_control **p)
{
    if (*p != NULL) {
        evconnlistener_free((*p)->listener);
        (void)unlink((*p)->path);
        free(*p);
        *p = NULL;
    }
}

/* ---- the asking end ---- */

static enum stamp_err exchange(int fd, const json_t *request, char *answer, size_t *len,
                               struct stamp_error *err)
{
    char *text = json_dumps(request, JSON_COMPACT);
    ssize_t n = text == NULL ? -1 : dprintf(fd, "%s\n", text);

    free(text);
    *len = 0;
    while (n > 0 && *len < ANSWER_MAX) {
        n = read(fd, answer + *len, ANSWER_MAX - *len);
        *len += n > 0 ? (size_t)n : 0;
    }
    return n == 0 ? STAMP_OK
                  : stamp_error_set(err, STAMP_E_IO, errno,
                                    "the line does not answer: %s", strerror(errno));
}

static enum stamp_err take_answer(const char *text, size_t len, json_t **answer,
                                  struct stamp_error *err)
{
    json_t *a = json_loadb(text, len, 0, NULL);
    const char *what = json_string_value(json_object_get(a, "what"));
    const char *hint = json_string_value(json_object_get(a, "hint"));
    enum stamp_err rc;

    if (json_is_true(json_object_get(a, "ok"))) {
        *answer = a;
        return STAMP_OK;
    }
    if (what == NULL) {
        rc = stamp_error_set(err, STAMP_E_FORMAT, 0, "the line gave no sensible answer");
    } else {
        if (hint != NULL && hint[0] != '\0') {
            stamp_error_hint(err, "%s", hint);
        }
        rc = (enum stamp_err)json_integer_value(json_object_get(a, "code"));
        rc = stamp_error_set(err, rc < 0 ? rc : STAMP_E_DEVICE, 0, "%s", what);
    }
    json_decref(a);
    return rc;
}

enum stamp_err stamp_control_ask(const struct stamp_site *site, const json_t *request,
                                 json_t **answer, struct stamp_error *err)
{
    struct sockaddr_un a;
    char *text = malloc(ANSWER_MAX);
    size_t len = 0;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    enum stamp_err rc = address_of(site, &a, err);

    *answer = NULL;
    if (rc == STAMP_OK && (fd < 0 || text == NULL)) {
        rc = stamp_error_set(err, STAMP_E_NOMEM, errno, "out of memory");
    }
    if (rc == STAMP_OK &&
        connect(fd, (const struct sockaddr *)&a, (socklen_t)sizeof a) == 0) {
        rc = exchange(fd, request, text, &len, err);
        if (rc == STAMP_OK) {
            rc = take_answer(text, len, answer, err);
        }
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    free(text);
    return rc;
}

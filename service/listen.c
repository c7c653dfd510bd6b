#include "service/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 4096, TRIES = 20 };

/* The port that the first one got is free for the others, too: not always. */
#define IS_ANY(port) (strcmp(port, "0") == 0)

static enum stamp_err bad_address(const char *listen, const char *why,
                                  struct stamp_error *err)
{
    stamp_error_hint(err, "name it as ADDRESS:PORT, [ADDRESS]:PORT or :PORT");
    return stamp_error_set(err, STAMP_E_CONFIG, 0, "cannot listen on '%s': %s", listen,
                           why);
}

/* "ADDR:PORT" taken apart. */
static bool split(const char *text, char host[64], char port[8])
{
    const char *colon = strrchr(text, ':');
    const char *from = text;
    size_t len;

    if (colon == NULL || strlen(colon + 1) == 0 || strlen(colon + 1) > 5 ||
        strspn(colon + 1, "0123456789") != strlen(colon + 1)) {
        return false;
    }
    len = (size_t)(colon - text);
    if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
        from++;
        len -= 2;
    } else if (memchr(text, ':', len) != NULL) {
        return false;
    }
    if (len >= 64) {
        return false;
    }
    memcpy(host, from, len);
    host[len] = '\0';
    memcpy(port, colon + 1, strlen(colon + 1) + 1);
    return true;
}

/* @param port  in network order; 0 = as the address has it */
static int listen_on(const struct addrinfo *a, in_port_t port)
{
    struct sockaddr_storage at;
    int one = 1;
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    a->ai_protocol);

    if (fd < 0) {
        return -1;
    }
    memcpy(&at, a->ai_addr, a->ai_addrlen);
    if (port != 0 && a->ai_family == AF_INET6) {
        ((struct sockaddr_in6 *)&at)->sin6_port = port;
    } else if (port != 0) {
        ((struct sockaddr_in *)&at)->sin_port = port;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (a->ai_family == AF_INET6) { /* the other family has a socket of its own */
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    }
    /* connections have it from here: an answer of two records does not wait for an ACK */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&at, a->ai_addrlen) != 0 ||
        listen(fd, BACKLOG) != 0) {
        int e = errno;

        (void)close(fd);
        errno = e;
        return -1;
    }
    return fd;
}

static in_port_t port_of(int fd)
{
    struct sockaddr_storage at = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof at;

    if (getsockname(fd, (struct sockaddr *)&at, &len) != 0) {
        return 0;
    }
    return at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&at)->sin6_port
                                    : ((struct sockaddr_in *)&at)->sin_port;
}

static void close_all(struct service_listeners *l)
{
    for (unsigned i = 0; i < SERVICE_LISTENERS_MAX; i++) {
        if (l->fd[i] >= 0) {
            (void)close(l->fd[i]);
            l->fd[i] = -1;
        }
    }
}

/* This machine has no such family, or not this address of it. */
static bool is_absent(int code)
{
    return code == EAFNOSUPPORT || code == EADDRNOTAVAIL || code == EPROTONOSUPPORT;
}

/* 0, or why not; then none is open. */
static int listen_all(const struct addrinfo *list, struct service_listeners *out)
{
    in_port_t port = 0;
    unsigned n = 0;
    int absent = EADDRNOTAVAIL;

    for (const struct addrinfo *a = list; a != NULL && n < SERVICE_LISTENERS_MAX;
         a = a->ai_next) {
        int fd = listen_on(a, port);

        if (fd < 0 && !is_absent(errno)) {
            int code = errno;

            close_all(out);
            return code;
        }
        if (fd < 0) {
            absent = errno;
            continue;
        }
        out->fd[n++] = fd;
        port = port_of(fd);
    }
    return n > 0 ? 0 : absent;
}

enum stamp_err service_listen(const char *text, struct service_listeners *out,
                              struct stamp_error *err)
{
    const struct addrinfo want = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
                                  .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    char host[64];
    char port[8];
    int rc;

    *out = (struct service_listeners)SERVICE_LISTENERS_NONE;
    if (!split(text, host, port)) {
        return bad_address(text, "no address with a port", err);
    }
    rc = getaddrinfo(host[0] == '\0' ? NULL : host, port, &want, &list);
    if (rc != 0) {
        return bad_address(text, gai_strerror(rc), err);
    }
    rc = listen_all(list, out);
    for (int i = 0; i < TRIES && rc == EADDRINUSE && IS_ANY(port); i++) {
        rc = listen_all(list, out);
    }
    freeaddrinfo(list);
    return rc == 0 ? STAMP_OK
                   : stamp_error_set(err, STAMP_E_IO, rc, "cannot listen on '%s': %s",
                                     text, strerror(rc));
}

void service_listeners_say(const struct service_listeners *l, const char *scheme,
                           char *out, size_t size)
{
    struct sockaddr_storage at;
    socklen_t len = sizeof at;
    char host[64] = "?";
    char port[8] = "?";

    out[0] = '\0';
    if (l->fd[0] < 0) {
        return;
    }
    if (getsockname(l->fd[0], (struct sockaddr *)&at, &len) == 0) {
        (void)getnameinfo((struct sockaddr *)&at, len, host, sizeof host, port,
                          sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    }
    (void)snprintf(out, size, strchr(host, ':') != NULL ? "%s://[%s]:%s" : "%s://%s:%s",
                   scheme, host, port);
}

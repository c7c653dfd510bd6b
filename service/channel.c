#include "service/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service/log.h"

struct service_waiting {
    struct service_waiting *next;
    size_t len;
    uint8_t bytes[];
};

void service_channel_init(struct service_channel *c, int fd)
{
    *c = (struct service_channel){.fd = fd, .file = -1};
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
}

/* It may hold a passphrase, or a key. */
static void end(struct service_waiting *w)
{
    OPENSSL_cleanse(w->bytes, w->len);
    free(w);
}

void service_channel_fini(struct service_channel *c)
{
    while (c->first != NULL) {
        struct service_waiting *w = c->first;

        c->first = w->next;
        end(w);
    }
    *c = (struct service_channel){.fd = -1, .file = -1};
}

/* False: not now. An end that is gone takes all: who is there is told by the parent. */
static bool send_now(int fd, const uint8_t *bytes, size_t len)
{
    ssize_t n;

    do {
        n = send(fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    return n >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS);
}

void service_channel_send(struct service_channel *c, const struct service_message *m)
{
    uint8_t bytes[SERVICE_MESSAGE_MAX];
    size_t len = service_wire_encode(m, bytes);
    struct service_waiting *w;

    if (len == 0) {
        STAMP_BUG("a message that does not fit");
    }
    if (c->first == NULL && send_now(c->fd, bytes, len)) {
        return;
    }
    w = malloc(sizeof *w + len);
    if (w == NULL) {
        service_die("out of memory");
    }
    w->next = NULL;
    w->len = len;
    memcpy(w->bytes, bytes, len);
    if (c->first == NULL) {
        c->first = w;
    } else {
        c->last->next = w;
    }
    c->last = w;
}

bool service_channel_send_file(struct service_channel *c, const struct service_message *m,
                               int file)
{
    uint8_t bytes[SERVICE_MESSAGE_MAX];
    union {
        struct cmsghdr head;
        uint8_t room[CMSG_SPACE(sizeof file)];
    } control = {.room = {0}};
    struct iovec part = {bytes, service_wire_encode(m, bytes)};
    struct msghdr msg = {.msg_iov = &part,
                         .msg_iovlen = 1,
                         .msg_control = control.room,
                         .msg_controllen = sizeof control.room};
    struct cmsghdr *h = CMSG_FIRSTHDR(&msg);

    if (part.iov_len == 0) {
        STAMP_BUG("a message that does not fit");
    }
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(sizeof file);
    memcpy(CMSG_DATA(h), &file, sizeof file);
    return c->first == NULL && sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

bool service_channel_flush(struct service_channel *c)
{
    while (c->first != NULL) {
        struct service_waiting *w = c->first;

        if (!send_now(c->fd, w->bytes, w->len)) {
            return false;
        }
        c->first = w->next;
        end(w);
    }
    return true;
}

void service_channels_wait(struct service_channel *const *channels, size_t n,
                           int timeout_ms)
{
    struct pollfd fds[SERVICE_CHANNELS_MAX];

    if (n > SERVICE_CHANNELS_MAX) {
        STAMP_BUG("too many channels");
    }
    for (size_t i = 0; i < n; i++) {
        fds[i] = (struct pollfd){.fd = channels[i]->fd, .events = POLLIN};
        if (!service_channel_flush(channels[i])) {
            fds[i].events |= POLLOUT;
        }
    }
    (void)poll(fds, n, timeout_ms);
}

/* A file that nobody took is nobody's. */
static void take_file(struct service_channel *c, struct msghdr *msg)
{
    struct cmsghdr *h = CMSG_FIRSTHDR(msg);

    if (c->file >= 0) {
        (void)close(c->file);
    }
    c->file = -1;
    if (h != NULL && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS &&
        h->cmsg_len == CMSG_LEN(sizeof c->file)) {
        memcpy(&c->file, CMSG_DATA(h), sizeof c->file);
    }
}

enum service_received service_channel_receive(struct service_channel *c, uint8_t *buf,
                                              struct service_message *m)
{
    union {
        struct cmsghdr head;
        uint8_t room[CMSG_SPACE(sizeof c->file)];
    } control;
    struct iovec part = {buf, SERVICE_MESSAGE_MAX};
    struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t n;

    do {
        msg.msg_control = control.room;
        msg.msg_controllen = sizeof control.room;
        n = recvmsg(c->fd, &msg, MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        return SERVICE_NOTHING;
    }
    if (n <= 0) {
        return SERVICE_CLOSED;
    }
    take_file(c, &msg);
    if ((size_t)n > SERVICE_MESSAGE_MAX || !service_wire_decode(buf, (size_t)n, m)) {
        service_die("another process sent what is no message");
    }
    return SERVICE_GOT;
}

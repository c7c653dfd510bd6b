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

enum { PACKET_MAX = 2 * (SERVICE_MESSAGE_MAX + 2) };

struct service_waiting {
    struct service_waiting *next;
    size_t len;
    uint8_t bytes[];
};

struct service_packet {
    size_t len, at;
    uint8_t bytes[PACKET_MAX];
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

static void end_packet(struct service_packet *p)
{
    if (p != NULL) {
        OPENSSL_cleanse(p->bytes, p->len);
        free(p);
    }
}

void service_channel_fini(struct service_channel *c)
{
    while (c->first != NULL) {
        struct service_waiting *w = c->first;

        c->first = w->next;
        end(w);
    }
    end_packet(c->out);
    end_packet(c->in);
    *c = (struct service_channel){.fd = -1, .file = -1};
}

static struct service_packet *packet(struct service_packet **p)
{
    if (*p == NULL) {
        *p = calloc(1, sizeof **p);
        if (*p == NULL) {
            service_die("out of memory");
        }
    }
    return *p;
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

static void keep(struct service_channel *c, const uint8_t *bytes, size_t len)
{
    struct service_waiting *w = malloc(sizeof *w + len);

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

/* What was posted goes, or waits. */
static void end_posting(struct service_channel *c)
{
    struct service_packet *p = c->out;

    if (p == NULL || p->len == 0) {
        return;
    }
    if (c->first != NULL || !send_now(c->fd, p->bytes, p->len)) {
        keep(c, p->bytes, p->len);
    }
    OPENSSL_cleanse(p->bytes, p->len);
    p->len = 0;
}

/* Behind its length. @return bytes; a message that does not fit is a bug of ours */
static size_t encode(const struct service_message *m, uint8_t *out)
{
    size_t len = service_wire_encode(m, out + 2);

    if (len == 0) {
        STAMP_BUG("a message that does not fit");
    }
    out[0] = (uint8_t)len;
    out[1] = (uint8_t)(len >> 8);
    return len + 2;
}

void service_channel_post(struct service_channel *c, const struct service_message *m)
{
    struct service_packet *p = packet(&c->out);

    if (PACKET_MAX - p->len < SERVICE_MESSAGE_MAX + 2) {
        end_posting(c);
    }
    p->len += encode(m, p->bytes + p->len);
}

void service_channel_send(struct service_channel *c, const struct service_message *m)
{
    service_channel_post(c, m);
    end_posting(c);
}

bool service_channel_send_file(struct service_channel *c, const struct service_message *m,
                               int file)
{
    uint8_t bytes[SERVICE_MESSAGE_MAX + 2];
    union {
        struct cmsghdr head;
        uint8_t room[CMSG_SPACE(sizeof file)];
    } control = {.room = {0}};
    struct iovec part = {bytes, encode(m, bytes)};
    struct msghdr msg = {.msg_iov = &part,
                         .msg_iovlen = 1,
                         .msg_control = control.room,
                         .msg_controllen = sizeof control.room};
    struct cmsghdr *h = CMSG_FIRSTHDR(&msg);

    end_posting(c);
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(sizeof file);
    memcpy(CMSG_DATA(h), &file, sizeof file);
    return c->first == NULL && sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

bool service_channel_flush(struct service_channel *c)
{
    end_posting(c);
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
        if (channels[i]->in != NULL && channels[i]->in->at < channels[i]->in->len) {
            timeout_ms = 0; /* of a packet some is left */
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

static enum service_received receive_packet(struct service_channel *c)
{
    union {
        struct cmsghdr head;
        uint8_t room[CMSG_SPACE(sizeof c->file)];
    } control;
    struct service_packet *p = packet(&c->in);
    struct iovec part = {p->bytes, sizeof p->bytes};
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
    if ((size_t)n > sizeof p->bytes) {
        service_die("another process sent what is no message");
    }
    p->at = 0;
    p->len = (size_t)n;
    return SERVICE_GOT;
}

enum service_received service_channel_receive(struct service_channel *c, uint8_t *buf,
                                              struct service_message *m)
{
    struct service_packet *p = packet(&c->in);
    size_t len;

    if (p->at == p->len) {
        enum service_received got = receive_packet(c);

        if (got != SERVICE_GOT) {
            return got;
        }
    }
    len = p->len - p->at < 2 ? 0
                             : (size_t)p->bytes[p->at] | (size_t)p->bytes[p->at + 1] << 8;
    if (len == 0 || len > SERVICE_MESSAGE_MAX || len > p->len - p->at - 2) {
        service_die("another process sent what is no message");
    }
    memcpy(buf, p->bytes + p->at + 2, len);
    OPENSSL_cleanse(p->bytes + p->at, len + 2);
    p->at += len + 2;
    if (!service_wire_decode(buf, len, m)) {
        service_die("another process sent what is no message");
    }
    return SERVICE_GOT;
}

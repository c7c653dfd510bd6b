#include "host/der.h"

#include <openssl/asn1.h>
#include <string.h>

void stamp_der_init(struct stamp_der *d, void *buf, size_t size)
{
    d->buf = buf;
    d->size = size;
    d->at = size;
    d->full = false;
}

void stamp_der_raw(struct stamp_der *d, const void *p, size_t len)
{
    if (d->full || len > d->at) {
        d->full = true;
        return;
    }
    d->at -= len;
    if (len > 0) {
        memcpy(d->buf + d->at, p, len);
    }
}

size_t stamp_der_len(const struct stamp_der *d)
{
    return d->size - d->at;
}

void stamp_der_wrap(struct stamp_der *d, uint8_t tag, size_t mark)
{
    size_t len = stamp_der_len(d) - mark;
    uint8_t head[6];
    size_t n = 0;

    head[n++] = tag;
    if (len < 0x80) {
        head[n++] = (uint8_t)len;
    } else {
        unsigned octets = len <= 0xFF ? 1 : len <= 0xFFFF ? 2 : len <= 0xFFFFFF ? 3 : 4;

        head[n++] = (uint8_t)(0x80u | octets);
        while (octets > 0) {
            octets--;
            head[n++] = (uint8_t)(len >> (8u * octets));
        }
    }
    stamp_der_raw(d, head, n);
}

void stamp_der_put(struct stamp_der *d, uint8_t tag, const void *p, size_t len)
{
    size_t mark = stamp_der_len(d);

    stamp_der_raw(d, p, len);
    stamp_der_wrap(d, tag, mark);
}

const uint8_t *stamp_der_bytes(const struct stamp_der *d)
{
    return d->buf + d->at;
}

bool stamp_der_next(struct stamp_slice *in, uint8_t tag, struct stamp_slice *out)
{
    const unsigned char *p = in->p;
    long len;
    int its_tag;
    int its_class;
    size_t head;

    /* 0x80: no element; 1: it says no length */
    if (in->len == 0 || *p != tag ||
        (ASN1_get_object(&p, &len, &its_tag, &its_class, (long)in->len) & 0x81) != 0) {
        return false;
    }
    head = (size_t)(p - in->p);
    if (head != (len < 0x80 ? 2 : len <= 0xFF ? 3 : len <= 0xFFFF ? 4 : head)) {
        return false;
    }
    *out = (struct stamp_slice){p, (size_t)len};
    *in = (struct stamp_slice){p + len, in->len - head - (size_t)len};
    return true;
}

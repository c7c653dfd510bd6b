/* Reading items, wherever they are: mapped or not, encrypted or not, in flash or in
 * memory. */
#include <mbedtls/platform_util.h>
#include <string.h>

#include "device/device_i.h"

/* What is read into the work buffer goes this far behind its beginning, so that it can be
 * opened in place. */
#define WORK_READ (STAMP_WORK_EXTRA - STAMPI_TAG_SIZE)

/* Open the record `v` into the work buffer. */
static enum stamp_err open_record(const struct stamp_device *dev,
                                  const struct stamp_region *r, uint32_t key,
                                  struct stamp_slice *v)
{
    uint8_t header[STAMPI_HEADER_AT + STAMP_SIGNED_SIZE];
    psa_key_id_t id;
    enum stamp_err rc;

    if (v->len < STAMPI_TAG_SIZE) {
        return STAMP_E_FORMAT;
    }
    rc = stamp_flash_read(dev->part.flash, r->off, header + STAMPI_HEADER_AT,
                          STAMP_SIGNED_SIZE);
    if (rc == STAMP_OK) {
        rc = stampi_rest_key(dev->port, header, PSA_KEY_USAGE_DECRYPT, &id);
    }
    if (rc == STAMP_OK) {
        rc = stampi_crypt(id, key, true, v->p, v->len, dev->port->work);
        (void)psa_destroy_key(id);
        v->p = dev->port->work;
        v->len -= STAMPI_TAG_SIZE;
    }
    return rc;
}

enum stamp_err stampi_find(const struct stamp_device *dev, enum stamp_which which,
                           uint32_t key, struct stamp_slice *v)
{
    const struct stamp_part *part = &dev->part;
    uint8_t *work = dev->port->work;
    struct stamp_item item;
    enum stamp_err rc = stamp_find(part, which, key, &item);
    bool sealed;

    if (rc != STAMP_OK) {
        return rc;
    }
    sealed = (item.region->flags & STAMP_FLAG_ENCRYPTED) != 0;
    if (sealed) {
        rc = stamp_item_content(part, &item);
    }
    v->p = item.map;
    v->len = item.len;
    if (rc == STAMP_OK && (sealed || v->p == NULL) &&
        (work == NULL || dev->port->work_size < item.len + WORK_READ)) {
        rc = STAMP_E_SPACE;
    }
    if (rc == STAMP_OK && v->p == NULL) {
        v->p = work + WORK_READ;
        rc = stamp_flash_read(part->flash, item.off, work + WORK_READ, item.len);
    }
    return rc == STAMP_OK && sealed ? open_record(dev, item.region, key, v) : rc;
}

void stampi_done(const struct stamp_device *dev)
{
    if (dev->port->work != NULL) {
        mbedtls_platform_zeroize(dev->port->work, dev->port->work_size);
    }
}

/* With `string`, what the value's one string holds. The arguments come in the order of
 * those of the callers, who then only add one. */
static enum stamp_err get(const struct stamp_device *dev, enum stamp_which which,
                          uint32_t key, uint8_t *buf, size_t size, size_t *len,
                          bool string)
{
    struct stamp_slice v;
    struct stamp_cbor_head h = {0};
    enum stamp_err rc = stampi_find(dev, which, key, &v);

    *len = 0;
    if (rc == STAMP_OK && string) {
        rc = stamp_cbor_head(v.p, v.len, &h);
        if (rc == STAMP_OK &&
            ((h.type | 1) != STAMP_CBOR_TEXT || h.arg != v.len - h.size)) {
            rc = STAMP_E_FORMAT;
        }
    }
    if (rc == STAMP_OK) {
        *len = v.len - h.size;
        if (*len > size) {
            rc = STAMP_E_SPACE;
        } else {
            memcpy(buf, v.p + h.size, *len);
        }
    }
    stampi_done(dev);
    return rc;
}

enum stamp_err stamp_get(const struct stamp_device *dev, enum stamp_which which,
                         uint32_t key, void *buf, size_t size, size_t *len)
{
    return get(dev, which, key, buf, size, len, false);
}

enum stamp_err stamp_get_string(const struct stamp_device *dev, enum stamp_which which,
                                uint32_t key, void *buf, size_t size, size_t *len)
{
    return get(dev, which, key, buf, size, len, true);
}

/* The body is taken for one that lies STAMP_BODY_OFFSET behind a header: the offset of
 * the region wraps around, so that the body's own is 0. */
void stampi_view_init(struct stampi_view *view, const struct stamp_port *port,
                      const void *in, size_t in_len)
{
    struct stamp_region *r = &view->dev.part.region[STAMP_BIRTH];

    memset(view, 0, sizeof *view);
    view->flash.map = in;
    view->dev.port = port;
    view->dev.part.flash = &view->flash;
    r->off = 0u - STAMP_BODY_OFFSET;
    r->body_len = (uint32_t)in_len;
    r->state = STAMP_REGION_WHOLE;
}

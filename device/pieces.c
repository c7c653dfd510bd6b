/* Things that do not fit a message, in pieces. SPEC 13-3, 16-3. */
#include <string.h>

#include "device/share_i.h"

enum { CHUNK = 224 }; /* bytes in one answer */

int stampi_piece_read(const struct stampi_call *c, uint32_t last,
                      struct stampi_piece *piece)
{
    return stampi_field_uint(c, "w", &piece->what) && piece->what <= last &&
                   stampi_field_uint(c, "off", &piece->off) &&
                   stampi_field_uint(c, "len", &piece->total) &&
                   stampi_field_bytes(c, "d", 0, STAMP_SMP_MAX, &piece->d)
               ? STAMP_RC_OK
               : STAMP_RC_BAD;
}

int stampi_piece_begin(struct stamp_pieces *p, const struct stampi_piece *piece,
                       size_t room)
{
    bool fits = piece->total != 0 && piece->total <= room;

    p->what = piece->what;
    p->total = fits ? piece->total : 0;
    p->have = 0;
    return fits ? STAMP_RC_OK : STAMP_RC_TOO_LARGE;
}

bool stampi_piece_take(struct stampi_call *c, struct stamp_pieces *p,
                       const struct stampi_piece *piece, uint8_t *to)
{
    bool whole = false;

    if (piece->what != p->what || piece->total != p->total) {
        p->have = 0;
    } else if (piece->off == p->have && piece->d.len <= p->total - p->have) {
        memcpy(to + p->have, piece->d.p, piece->d.len);
        p->have += (uint32_t)piece->d.len;
        whole = p->have == p->total;
    }
    stampi_put_map(&c->out, 1);
    stampi_put_uint(&c->out, "off", p->have);
    return whole;
}

int stampi_piece_give(struct stampi_call *c, const uint8_t *from, uint32_t len)
{
    uint32_t off;
    uint32_t n;

    if (!stampi_field_uint(c, "off", &off)) {
        return STAMP_RC_BAD;
    }
    off = off < len ? off : len;
    n = len - off < CHUNK ? len - off : CHUNK;
    stampi_put_map(&c->out, 2);
    stampi_put(&c->out, "d", STAMP_CBOR_BYTES, n, from + off);
    stampi_put_uint(&c->out, "len", len);
    return STAMP_RC_OK;
}

/* What the strike's files share. */
#ifndef DEVICE_STRIKE_I_H
#define DEVICE_STRIKE_I_H

#include "device/agent_i.h"
#include "device/device_i.h"
#include "device/strike.h"

#define STAMPI_PENDING STAMP_BANK_A /* the bank where keys wait */

static inline struct stamp_strike *stampi_strike_of(const struct stampi_call *c)
{
    return (struct stamp_strike *)
        c->a->cfg.more[STAMP_AGENT_STRIKE]; /* its first member */
}

/** What an offer holds (SPEC 13-5); slices point into it. */
struct stampi_offer {
    uint8_t digest[STAMPI_HASH_SIZE];
    struct stamp_slice claims; /* a map */
    struct stamp_slice bundle; /* of the claims */
    struct stamp_slice recipient;
    struct stamp_slice alphabet; /* p NULL: no proof of possession */
    uint32_t pop_len;
    struct stamp_slice barcodes; /* an array; p NULL: none */
    bool own_key;
    bool show;
};

/** Take the offer that was put, and check that it is the owner's.
 * STAMP_E_STATE: none was put. Others: it is not to be taken. */
enum stamp_err stampi_offer_take(struct stampi_call *c, struct stampi_offer *offer);

/** What is free behind what was put, to work in; wiped by stampi_strike_wipe(). */
struct stamp_cbor_out stampi_strike_room(const struct stamp_strike *s);
void stampi_strike_wipe(struct stamp_strike *s);

/** An item of a map with numbers as keys. STAMP_E_MISSING, STAMP_E_FORMAT. */
enum stamp_err stampi_map_find(struct stamp_slice map, uint32_t key,
                               struct stamp_slice *value);

/** The barcodes that hold the proof (`secret`), or those that do not, as an array; with
 * none of them nothing is put.
 * @param point  of the provisioning key; NULL = none
 * @retval STAMP_E_FORMAT  a part asks for what there is not */
enum stamp_err stampi_put_barcodes(struct stamp_cbor_out *o, struct stamp_slice barcodes,
                                   bool secret, struct stamp_slice pop,
                                   const uint8_t *point);

/** Is there a pending bank, and for which offer? NULL: not asked. */
bool stampi_pending(const struct stamp_device *dev, uint8_t digest[STAMPI_HASH_SIZE]);

/** Make the secrets that an offer asks for, and have them wait in flash. */
enum stamp_err stampi_pending_make(struct stampi_call *c,
                                   const struct stampi_offer *offer);

/** Erase the pending bank. */
enum stamp_err stampi_pending_erase(struct stamp_device *dev);

/**
 * The birth stamp, of the offer and what waits in flash, behind what was put.
 *
 * @param whole  with the certificates that were put; else all but those
 * @param point  gets the provisioning key's point, where the device made one
 */
enum stamp_err stampi_compose(struct stampi_call *c, const struct stampi_offer *offer,
                              bool whole, uint8_t point[STAMP_POINT_SIZE],
                              struct stamp_slice *body);

/** The request for a certificate over that body, at the end of the buffer. SPEC 13-11. */
enum stamp_err stampi_request_make(struct stampi_call *c,
                                   const struct stampi_offer *offer, const uint8_t *point,
                                   struct stamp_slice body, struct stamp_slice challenge);

/** As stamp_agent_more's `compare`. SPEC 10-25. */
int stampi_strike_compare(struct stampi_call *c, struct stamp_slice given);

#endif

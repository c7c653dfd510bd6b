/*
 * Claiming a device as its owner: what a phone app does after it has scanned the label.
 * SPEC 10.1.
 *
 * The device must show that it holds the provisioning key of the label before it is told
 * the proof of possession; what it is told travels under keys that both made for this
 * exchange.
 */
#ifndef HOST_CLAIM_H
#define HOST_CLAIM_H

#include "host/scan.h"
#include "host/smp_client.h"

struct stamp_claim_result {
    char serial[65];
    char product[65];
    bool renewed; /* its proof of possession is another one now */
};

/**
 * Add what one more barcode of the same label tells: a label may have the key in one and
 * the proof of possession in another.
 *
 * @param label    zeroed before the first call; the caller ends it with
 *                 stamp_scan_fini(), also on failure
 * @param payload  as scanned; not kept
 * @retval STAMP_E_FORMAT  not a payload that stamp_scan_parse() knows
 * @retval STAMP_E_AUTH    it contradicts what another barcode said
 * No error text holds the payload.
 */
STAMP_MUST_USE enum stamp_err stamp_claim_label_add(struct stamp_scan *label,
                                                    const char *payload, size_t len,
                                                    struct stamp_error *err);

/** Does the label have a key (or its hash) and a proof of possession? The error names
 * what is missing: STAMP_E_MISSING. */
STAMP_MUST_USE enum stamp_err stamp_claim_label_check(const struct stamp_scan *label,
                                                      struct stamp_error *err);

/**
 * Keep the proof of possession that the device will have from now on, instead of the one
 * that the factory was told. It must be durable on return: the device takes no other
 * after that. May be called again with the same one.
 *
 * @param label  the next one: its claim label (SPEC 10-24) as text; secret
 */
typedef enum stamp_err (*stamp_claim_keep)(void *ctx, struct stamp_slice label,
                                           struct stamp_error *err);

/**
 * Claim the device on the line.
 *
 * @param c      ready to ask
 * @param label  passed by stamp_claim_label_check()
 * @param keep   NULL = a device whose proof the factory was told is not claimed:
 *               STAMP_E_UNSUPPORTED
 * @param out    zeroed on failure
 * @retval STAMP_OK             claimed, and the device said so under the exchange's key
 * @retval STAMP_E_AUTH         the device is not the label's (the proof of possession was
 *                              not sent), or it refused the proof; the error says which
 * @retval STAMP_E_BUSY         the device slows down after wrong tries; nothing was sent
 * @retval STAMP_E_BLANK        there is no stamp on it
 * @retval STAMP_E_UNSUPPORTED  its stamp has no provisioning key or proof
 * @retval STAMP_E_TIMEOUT, STAMP_E_IO, STAMP_E_DEVICE, STAMP_E_FORMAT  no or bad answer;
 *         where the proof was sent, the error says that it may have been taken
 */
STAMP_MUST_USE enum stamp_err stamp_claim_run(struct stamp_smp_client *c,
                                              const struct stamp_scan *label,
                                              stamp_claim_keep keep, void *ctx,
                                              struct stamp_claim_result *out,
                                              struct stamp_error *err);

#endif

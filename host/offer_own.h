/* What offer.c and offer_claims.c share. */
#ifndef HOST_OFFER_OWN_H
#define HOST_OFFER_OWN_H

#include "host/dpp.h"
#include "host/offer.h"

/** The texts that a barcode may hold of a provisioning key. */
enum stamp_err stampi_offer_key(const uint8_t point[STAMP_POINT_SIZE], char hash[65],
                                char base64[STAMP_DPP_KEY_LEN + 1],
                                struct stamp_error *err);

#endif

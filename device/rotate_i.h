/* What the files of the rotation share. */
#ifndef DEVICE_ROTATE_I_H
#define DEVICE_ROTATE_I_H

#include "device/share_i.h"

/** The request for a certificate for the key that waits, at the end of `room`. SPEC 16-5.
 * @retval STAMP_E_UNSUPPORTED  the subject in use cannot be asked for again */
enum stamp_err stampi_renewal_make(const struct stamp_device *dev,
                                   struct stamp_slice challenge,
                                   struct stamp_cbor_out room, uint32_t *len);

#endif

/* Labels at a station: a program gets what is to be printed, as JSON on its standard
 * input, and nothing of it is kept. */
#ifndef CLI_STATION_LABEL_H
#define CLI_STATION_LABEL_H

#include "station/slot.h"

/** For struct stamp_slot. @param ctx  path of the program */
enum stamp_err station_label(void *ctx, const struct stamp_slot_label *label,
                             struct stamp_error *err);

#endif

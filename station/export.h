/* The journal for headquarters: host/journal_bundle.h. */
#ifndef STATION_EXPORT_H
#define STATION_EXPORT_H

#include "station/journal.h"
#include "station/site.h"

/**
 * Put a checkpoint behind the last entry, and write all from `from` on to a file.
 *
 * @param from  seq; 1 = all
 * @param n     how many entries
 */
STAMP_MUST_USE enum stamp_err stamp_export(const struct stamp_site *site,
                                           const struct stamp_pin *pin, uint32_t from,
                                           const char *path, uint32_t *n,
                                           struct stamp_error *err);

#endif

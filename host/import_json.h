/*
 * What importing results found, as JSON: for a service that does it for somebody else.
 * Keys: batch, number, outcome ("booked", "before", "superseded" or "conflicts"), struck,
 * scrapped, returned, in_doubt, booked, conflicts, quarantined, passed_over, closed, and
 * told [{serial, what}].
 */
#ifndef HOST_IMPORT_JSON_H
#define HOST_IMPORT_JSON_H

#include <jansson.h>

#include "host/import.h"

/** @param told  taken over. NULL where there is no memory */
json_t *stamp_imported_json(const struct stamp_imported *m, bool conflicts, json_t *told);

/** One conflict, for `told`. */
json_t *stamp_import_told_json(const char *serial, const char *what);

/** The other way; `told` calls back. @param conflicts  nothing was booked for them
 * @retval STAMP_E_FORMAT  it is none */
STAMP_MUST_USE enum stamp_err stamp_imported_read(const json_t *j,
                                                  struct stamp_imported *m,
                                                  bool *conflicts, stamp_import_told told,
                                                  void *ctx, struct stamp_error *err);

#endif

/*
 * The journal for headquarters (host/journal_bundle.h): by the line where one runs, which
 * has it open; else from the file.
 */
#ifndef STATION_EXPORT_H
#define STATION_EXPORT_H

#include "station/sealed_part.h"

struct stamp_export;

/** @param site, pin  kept by the caller until it is closed; the token is not asked before
 * something is to be signed */
STAMP_MUST_USE enum stamp_err stamp_export_open(const struct stamp_site *site,
                                                const struct stamp_pin *pin,
                                                struct stamp_export **out,
                                                struct stamp_error *err);

/** As stamp_sealed_part_make(). From then on until it is closed no line can be started,
 * where none runs.
 * @retval STAMP_E_BUSY  the journal is in use, or the line stands */
STAMP_MUST_USE enum stamp_err stamp_export_part(struct stamp_export *x, uint32_t from,
                                                struct stamp_sealed_part *out,
                                                struct stamp_error *err);
void stamp_export_close(struct stamp_export **p);

#endif

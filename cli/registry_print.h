/* Devices of the books, in lines, as CSV (RFC 4180) or as JSON. */
#ifndef CLI_REGISTRY_PRINT_H
#define CLI_REGISTRY_PRINT_H

#include "host/registry.h"

enum registry_format { REGISTRY_PLAIN, REGISTRY_JSON, REGISTRY_CSV };

/** What stands before all devices, and behind them. @param none  there were none */
void registry_put_head(enum registry_format format);
void registry_put_end(enum registry_format format, bool none);

/** @param first  of all */
STAMP_MUST_USE enum stamp_err registry_put_row(const struct stamp_registry_row *row,
                                               enum registry_format format, bool first,
                                               struct stamp_error *err);

#endif

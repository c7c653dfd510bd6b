/* `stamp registry show`, `set` and `pop` with --server. */
#ifndef CLI_REGISTRY_ONLINE_H
#define CLI_REGISTRY_ONLINE_H

#include "cli/online.h"
#include "host/registry_escrow.h"

/** Print it, as JSON or in lines. */
STAMP_MUST_USE enum stamp_err registry_online_show(struct cli_online *o,
                                                   const char *serial, bool json,
                                                   struct stamp_error *err);

/** What became of a device. @param why  NULL = "" */
STAMP_MUST_USE enum stamp_err registry_online_set(struct cli_online *o,
                                                  const char *serial,
                                                  enum stamp_registry_state to,
                                                  const char *why,
                                                  struct stamp_error *err);

/** A proof of possession, as stamp_registry_sealed_find(). */
STAMP_MUST_USE enum stamp_err registry_online_pop(struct cli_online *o,
                                                  const char *serial,
                                                  struct stamp_registry_escrow *out,
                                                  struct stamp_error *err);

#endif

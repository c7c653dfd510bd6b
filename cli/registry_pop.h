/* `stamp registry pop`: a proof of possession out of escrow. */
#ifndef CLI_REGISTRY_POP_H
#define CLI_REGISTRY_POP_H

#include "cli/online.h"

/**
 * Print the proof of a serial. The key stays here, also where a service has the books.
 *
 * @param r    NULL = a service has them:
 * @param o    ... which is asked
 * @param key  of the owner's certificate: a PEM file
 * @param fd   of its passphrase; -1 = ask, where there is one
 */
STAMP_MUST_USE enum stamp_err registry_pop(struct stamp_registry *r, struct cli_online *o,
                                           const char *serial, const char *key, int fd,
                                           struct stamp_error *err);

#endif

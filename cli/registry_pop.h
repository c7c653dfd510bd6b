/* `stamp registry pop`: a proof of possession out of escrow. */
#ifndef CLI_REGISTRY_POP_H
#define CLI_REGISTRY_POP_H

#include "cli/cli.h"

/**
 * Print the proof of a serial.
 *
 * @param key  of the owner's certificate: a PEM file
 * @param fd   of its passphrase; -1 = ask, where there is one
 */
STAMP_MUST_USE enum stamp_err registry_pop(struct stamp_registry *r, const char *serial,
                                           const char *key, int fd,
                                           struct stamp_error *err);

#endif

/*
 * Registrars: people's or gateways' certificates with which devices are enrolled in their
 * name (cmcRA, RFC 6402 2.10). On the books before they are signed.
 */
#ifndef HOST_REGISTRAR_H
#define HOST_REGISTRAR_H

#include "host/workspace.h"

#define STAMP_REGISTRAR_DAYS_MAX 3650u

/**
 * Make a registrar: a key, and a certificate of the sub-CA.
 *
 * @param name        for people, and for who reads the books: 1..64 characters
 * @param passphrase  of the workspace's keys; NULL in development
 * @param pem         its certificate, the sub-CA's, and the private key
 * @retval STAMP_E_RANGE  such a name cannot be
 */
STAMP_MUST_USE enum stamp_err stamp_registrar_add(const struct stamp_workspace *ws,
                                                  const char *name, uint32_t days,
                                                  const struct stamp_secret *passphrase,
                                                  struct stamp_secret **pem,
                                                  struct stamp_error *err);

#endif

/*
 * While a root is being replaced, clients know the old one or the new one. rollover.pem
 * of the workspace then has what leads from one to the other (RFC 7030 4.1.3, RFC 4210
 * 4.4): the old root (OldWithOld), the old one signed by the new (OldWithNew), the new
 * one signed by the old (NewWithOld); a sub-CA of the old root may be there, too. They
 * are told with /cacerts, sent in the handshake, and lead certificates of the old root to
 * the new. None of them is trusted for being there.
 */
#ifndef SERVICE_ROLLOVER_H
#define SERVICE_ROLLOVER_H

#include "host/openssl.h"
#include "host/workspace.h"

#define SERVICE_ROLLOVER_FILE "rollover.pem"
#define SERVICE_ROLLOVER_MAX 8

/**
 * @param out  empty where there is no such file; sk_X509_pop_free() it
 * @retval STAMP_E_FORMAT   something else than certificates of authorities, or too many
 * @retval STAMP_E_PURPOSE  one is for the other purpose
 */
STAMP_MUST_USE enum stamp_err service_rollover_load(const struct stamp_workspace *ws,
                                                    STACK_OF(X509) * *out,
                                                    struct stamp_error *err);

#endif

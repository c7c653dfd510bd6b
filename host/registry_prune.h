/*
 * Retention: what nobody needs any more leaves the books. Operational keys that were
 * given up and whose certificates ended go, with their certificates and with what the
 * transparency log says of them; the log keeps their hashes, and says itself that they
 * went (SPEC 18-12), so that what somebody else takes away is still found. Fingerprints
 * of the keys stay claimed: a key never comes back. Tokens and API keys that ended, and
 * names of requests, are forgotten.
 */
#ifndef HOST_REGISTRY_PRUNE_H
#define HOST_REGISTRY_PRUNE_H

#include "host/log_head.h"
#include "host/registry.h"

struct stamp_registry_pruned {
    uint64_t keys;   /* operational ones */
    uint64_t leaves; /* of the log, whose content was dropped */
    uint64_t tokens, requests, api_keys;
};

/**
 * Drop what ended before a time. In transactions of a few thousand keys, so others wait
 * no longer than for those; what was dropped before a failure stays dropped.
 *
 * @param signer  of the log: what is dropped without it shows as taken away
 * @param before  not after now
 * @param out     also where it fails
 */
STAMP_MUST_USE enum stamp_err stamp_registry_prune(struct stamp_registry *r,
                                                   const struct stamp_log_signer *signer,
                                                   time_t before, time_t now,
                                                   struct stamp_registry_pruned *out,
                                                   struct stamp_error *err);

#endif

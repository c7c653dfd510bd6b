/*
 * Answers that a front keeps: signed once, told to everybody who asks until they are old,
 * or until anything is revoked. Of a fixed size; a newer answer takes an older one's
 * place.
 */
#ifndef SERVICE_OCSP_CACHE_H
#define SERVICE_OCSP_CACHE_H

#include <time.h>

#include "service/wire.h"

#define OCSP_CACHE_SIZE 16384u

struct ocsp_kept {
    uint8_t hash; /* enum service_ocsp_hash */
    uint8_t number[SERVICE_NUMBER_MAX];
    size_t number_len;
    time_t this_update, next_update;
    time_t until;
    uint8_t *response; /* NULL: empty */
    size_t len;
};

struct ocsp_cache {
    struct ocsp_kept kept[OCSP_CACHE_SIZE];
};

/** NULL where there is none that is still good. */
const struct ocsp_kept *ocsp_cache_find(const struct ocsp_cache *c,
                                        const struct service_ocsp *asked, time_t now);

/** Keep one, for half of its life; out of memory: it is not kept. */
void ocsp_cache_keep(struct ocsp_cache *c, const struct service_ocsp *asked,
                     const struct service_ocsp_answer *answer, time_t now);

void ocsp_cache_flush(struct ocsp_cache *c);

#endif

#include "service/ocsp_cache.h"

#include <stdlib.h>
#include <string.h>

/* FNV-1a; who chooses numbers to make them collide gains a slower answer of his own. */
static size_t place_of(const struct service_ocsp *asked)
{
    uint32_t h = 2166136261u ^ asked->hash;

    for (size_t i = 0; i < asked->serial_number.len; i++) {
        h = (h ^ asked->serial_number.p[i]) * 16777619u;
    }
    return (h ^ h >> 16) % OCSP_CACHE_SIZE;
}

static bool same(const struct ocsp_kept *k, const struct service_ocsp *asked)
{
    return k->response != NULL && k->hash == asked->hash &&
           k->number_len == asked->serial_number.len &&
           memcmp(k->number, asked->serial_number.p, k->number_len) == 0;
}

const struct ocsp_kept *ocsp_cache_find(const struct ocsp_cache *c,
                                        const struct service_ocsp *asked, time_t now)
{
    const struct ocsp_kept *k = &c->kept[place_of(asked)];

    return same(k, asked) && now < k->until ? k : NULL;
}

void ocsp_cache_keep(struct ocsp_cache *c, const struct service_ocsp *asked,
                     const struct service_ocsp_answer *answer, time_t now)
{
    struct ocsp_kept *k = &c->kept[place_of(asked)];
    uint8_t *copy = malloc(answer->response.len + 1);

    if (copy == NULL || asked->serial_number.len > sizeof k->number) {
        free(copy);
        return;
    }
    memcpy(copy, answer->response.p, answer->response.len);
    free(k->response);
    *k = (struct ocsp_kept){.hash = asked->hash,
                            .number_len = asked->serial_number.len,
                            .this_update = (time_t)answer->this_update,
                            .next_update = (time_t)answer->next_update,
                            .until = now + ((time_t)answer->next_update - now) / 2,
                            .response = copy,
                            .len = answer->response.len};
    memcpy(k->number, asked->serial_number.p, asked->serial_number.len);
}

void ocsp_cache_flush(struct ocsp_cache *c)
{
    for (size_t i = 0; i < OCSP_CACHE_SIZE; i++) {
        free(c->kept[i].response);
    }
    memset(c, 0, sizeof *c);
}

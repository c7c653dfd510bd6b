/* What `stamp reconcile` tells: lines for people, or one JSON document. */
#ifndef CLI_RECONCILE_PRINT_H
#define CLI_RECONCILE_PRINT_H

#include <jansson.h>

#include "host/reconcile.h"

struct reconcile_print {
    bool json;
    json_t *orders;   /* with `json` */
    json_t *problems; /* likewise */
    json_t *devices;  /* likewise */
};

void reconcile_print_init(struct reconcile_print *p, bool json);

/** A stamp_reconcile_tell; `ctx` is the reconcile_print. */
void reconcile_tell(void *ctx, const struct stamp_reconcile_told *told);

/** Without an end, after a failure. */
void reconcile_print_free(struct reconcile_print *p);

/** The sums, and with `json` the document. */
void reconcile_print_end(struct reconcile_print *p, const struct stamp_reconciled *r);

#endif

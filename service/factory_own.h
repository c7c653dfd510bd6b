/* What the files of the factory share. */
#ifndef SERVICE_FACTORY_OWN_H
#define SERVICE_FACTORY_OWN_H

#include <jansson.h>

#include "host/workspace.h"
#include "service/answer.h"
#include "service/process.h"

#define FACTORY_REPORTS 4u

/* What came of something that takes long, for who asks for it again. */
struct factory_report {
    uint8_t verb; /* enum service_factory_verb */
    char who[STAMP_REGISTRY_NAME_SIZE];
    char name[SERVICE_NAME_MAX + 1];
    char *text; /* JSON; NULL = none */
};

struct factory {
    const struct stamp_service_setup *setup;
    char where[PATH_MAX];
    char stations[PATH_MAX];
    struct stamp_workspace *ws; /* its registry NULL: out of reach */
    time_t tried_at;            /* to open it again */
    EVP_PKEY *home;             /* the reception key; NULL: there is none */
    struct stamp_error no_home; /* why not */
    struct service_channel control;
    struct service_channel front[SERVICE_FRONTS_MAX];
    struct factory_report report[FACTORY_REPORTS];
    unsigned n_reports; /* that were made ever */
    bool stopping;
};

/* A question that is being answered. */
struct factory_reply {
    struct factory *f;
    uint8_t verb;
    struct service_asker to;
    struct stamp_apikey key;
    struct stamp_error err;
};

/** What the registry said, r->err: away is for later, the rest is the question's. */
void factory_refuse_error(struct factory_reply *r, enum stamp_err rc);

/** It takes long, and who asks is told "later" meanwhile: the same name gets what came of
 * it, and has nothing done again. True where it was told. */
bool factory_told_before(struct factory_reply *r, const char *name);

/** Tell it, and keep it. @param report  taken; NULL: no memory */
void factory_tell(struct factory_reply *r, const char *name, json_t *report);

/* ---- factory_orders.c ---- */

void factory_order(struct factory_reply *r, const struct service_factory *q);
void factory_order_file(struct factory_reply *r, const struct service_factory *q);
void factory_order_close(struct factory_reply *r, const struct service_factory *q);

/* ---- factory_journals.c ---- */

void factory_journals(struct factory_reply *r);
/** @param file  what was sent; the caller's */
void factory_bundle(struct factory_reply *r, int file);
void factory_reconcile(struct factory_reply *r, const struct service_factory *q);
void factory_returned(struct factory_reply *r, const struct service_factory *q);

/* ---- factory_results.c ---- */

void factory_results(struct factory_reply *r, const struct service_factory *q, int file);

#endif

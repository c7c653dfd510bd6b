/* `stamp registry list` and `export`. */
#ifndef CLI_REGISTRY_LIST_H
#define CLI_REGISTRY_LIST_H

#include "cli/online.h"
#include "cli/registry_print.h"

struct registry_list {
    struct stamp_registry_filter filter;
    const char *batch; /* number or name; NULL = any */
    const char *after; /* serial; NULL = from the begin */
    size_t limit;      /* devices on the page */
    bool all;          /* every page, and no limit */
    enum registry_format format;
    struct cli_online *online; /* where the books are not at hand */
};

/** Print a page, or all. @param r  NULL = a service has the books */
STAMP_MUST_USE enum stamp_err
registry_list(struct stamp_registry *r, struct registry_list *l, struct stamp_error *err);

#endif

/* `stamp registry show`: all about one device. */
#ifndef CLI_REGISTRY_SHOW_H
#define CLI_REGISTRY_SHOW_H

#include "cli/registry_print.h"

/** Print it. @param what  its serial, or SHA-256 of its public point, hex */
STAMP_MUST_USE enum stamp_err registry_show(struct stamp_registry *r, const char *what,
                                            enum registry_format format,
                                            struct stamp_error *err);

#endif

/*
 * Sockets that listen on all addresses of a name: "localhost:8443" is ::1 and 127.0.0.1,
 * ":8443" all addresses of both families, so no client has to guess which one is first.
 */
#ifndef SERVICE_LISTEN_H
#define SERVICE_LISTEN_H

#include <stddef.h>

#include "host/error.h"

#define SERVICE_LISTENERS_MAX 4u /* addresses of one name; more are left out */

struct service_listeners {
    int fd[SERVICE_LISTENERS_MAX]; /* -1 = none */
};

#define SERVICE_LISTENERS_NONE                                                           \
    {                                                                                    \
        {                                                                                \
            -1, -1, -1, -1                                                               \
        }                                                                                \
    }

/**
 * @param text  "ADDR:PORT", "[ADDR]:PORT", ":PORT"; port 0 = any, the same for all
 * @retval STAMP_E_CONFIG  it is no address, or a name that is not known
 * @retval STAMP_E_IO      one of them is taken; families that this machine does not have
 * are left out
 */
STAMP_MUST_USE enum stamp_err
service_listen(const char *text, struct service_listeners *out, struct stamp_error *err);

/** The first one, as "SCHEME://ADDR:PORT"; "" where there is none. */
void service_listeners_say(const struct service_listeners *l, const char *scheme,
                           char *out, size_t size);

#endif

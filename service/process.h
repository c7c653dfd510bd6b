/*
 * What the processes of the service share: which there are, the descriptors that each
 * gets from the parent, and what the parent tells them.
 */
#ifndef SERVICE_PROCESS_H
#define SERVICE_PROCESS_H

#include "service/channel.h"
#include "service/service.h"

enum service_role {
    SERVICE_FRONT = 0,
    SERVICE_BOOKS = 1,
    SERVICE_SIGNER = 2,
    SERVICE_STATUS = 3,
    SERVICE_MAKER = 4,
    SERVICE_BATCHES = 5
};

/* Descriptors of a process, behind the standard ones. */
enum {
    SERVICE_FD_CONTROL = 3,
    SERVICE_FD_LISTEN = 4, /* front: HTTPS */
    SERVICE_FD_HTTP = 5,   /* front: HTTP, where there is one */
    SERVICE_FD_ADMIN = 6,  /* front: HTTP for who runs the service, where there is one */
    SERVICE_FD_COUNTERS = 7,
    SERVICE_FD_BOOKS = 8,           /* front, signer, maker: the channel to the books */
    SERVICE_FD_STATUS = 9,          /* front, signer: the channel to the status */
    SERVICE_FD_MAKER = 10,          /* front: the channel to the maker */
    SERVICE_FD_BATCHES = 11,        /* front: the channel to the batches */
    SERVICE_FD_SIGNER_BATCHES = 10, /* signer: the channel to the batches */
    SERVICE_FD_SIGNER = 8, /* books, status, batches: the channel to the signer */
    SERVICE_FD_FRONT = 9   /* books, status, maker, batches: the first of the fronts';
                              with the books the maker's is behind them */
};

/** "front", "books", "signer", "status", "maker", "batches" */
const char *service_role_name(enum service_role role);

/** Each runs one role until it is told to end; `index` counts the fronts. */
int service_front(const struct stamp_service_setup *setup, unsigned index);
int service_books(const struct stamp_service_setup *setup);
int service_signer(const struct stamp_service_setup *setup);
int service_maker(const struct stamp_service_setup *setup);
int service_batches(const struct stamp_service_setup *setup);
int service_status(const struct stamp_service_setup *setup);

/** Say to the parent that this process works. */
void service_ready(struct service_channel *control);

/** Failed before it worked: print it as all commands do, and give the exit status. */
int service_failed(const struct stamp_error *err);

#endif

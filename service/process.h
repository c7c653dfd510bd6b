/*
 * What the processes of the service share: which there are, the descriptors that each
 * gets from the parent, and what the parent tells them.
 */
#ifndef SERVICE_PROCESS_H
#define SERVICE_PROCESS_H

#include "service/channel.h"
#include "service/listen.h"
#include "service/service.h"

enum service_role {
    SERVICE_FRONT = 0,
    SERVICE_BOOKS = 1,
    SERVICE_SIGNER = 2,
    SERVICE_STATUS = 3,
    SERVICE_MAKER = 4,
    SERVICE_BATCHES = 5,
    SERVICE_TLOG = 6,
    SERVICE_READER = 7,
    SERVICE_FACTORY = 8
};

/* Descriptors of a process, behind the standard ones. */
enum {
    SERVICE_FD_CONTROL = 3,
    SERVICE_FD_LISTEN = 4, /* front: HTTPS, SERVICE_LISTENERS_MAX or fewer */
    SERVICE_FD_HTTP = SERVICE_FD_LISTEN + SERVICE_LISTENERS_MAX, /* front: HTTP */
    SERVICE_FD_ADMIN = SERVICE_FD_HTTP + SERVICE_LISTENERS_MAX,  /* front: HTTP for who
                                                                    runs the service */
    SERVICE_FD_COUNTERS = SERVICE_FD_ADMIN + SERVICE_LISTENERS_MAX,
    SERVICE_FD_BOOKS,   /* front, signer, maker: the channel to the books */
    SERVICE_FD_STATUS,  /* front, signer: the channel to the status */
    SERVICE_FD_MAKER,   /* front: the channel to the maker */
    SERVICE_FD_BATCHES, /* front: the channel to the batches */
    SERVICE_FD_READER,  /* front: the channel to the reader */
    SERVICE_FD_FACTORY, /* front: the channel to the factory */
    SERVICE_FD_SIGNER_BATCHES = SERVICE_FD_MAKER, /* signer: the channel to the batches */
    SERVICE_FD_SIGNER = SERVICE_FD_BOOKS, /* books, status, batches: the channel to the
                                             signer */
    SERVICE_FD_FRONT = SERVICE_FD_STATUS  /* books, status, maker, batches, reader,
                                             factory: the first of the fronts'; with the
                                             books the maker's is behind them */
};
/** "front", "books", "signer", "status", "maker", "batches", "log", "reader",
 * "factory" */
const char *service_role_name(enum service_role role);

/** Each runs one role until it is told to end; `index` counts the fronts. */
int service_front(const struct stamp_service_setup *setup, unsigned index);
int service_books(const struct stamp_service_setup *setup);
int service_signer(const struct stamp_service_setup *setup);
int service_maker(const struct stamp_service_setup *setup);
int service_batches(const struct stamp_service_setup *setup);
int service_status(const struct stamp_service_setup *setup);
int service_tlog(const struct stamp_service_setup *setup);
int service_reader(const struct stamp_service_setup *setup);
int service_factory(const struct stamp_service_setup *setup);

/** Where a process begins to number what it asks others for, below 2^40: at random, since
 * what one that died asked for is answered to the next one. */
uint64_t service_first_number(void);

/** Say to the parent that this process works. */
void service_ready(struct service_channel *control);

/** The passphrase, which the parent sends before anything else where there is one. */
STAMP_MUST_USE enum stamp_err service_take_secret(struct service_channel *control,
                                                  struct stamp_secret **out,
                                                  struct stamp_error *err);

/** Failed before it worked: print it as all commands do, and give the exit status. */
int service_failed(const struct stamp_error *err);

#endif

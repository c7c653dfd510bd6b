/* The journal of a station, gathered for headquarters in pieces of whole parts. */
#ifndef CLI_STATION_EXPORT_H
#define CLI_STATION_EXPORT_H

#include "cli/online.h"
#include "station/export.h"

struct station_export {
    const char *dir;
    const char *out;  /* file; NULL = a name of its own */
    uint32_t from;    /* entry; 0 = all, or what a service does not have */
    unsigned every_s; /* 0 = once */
    struct stamp_pin pin;
    struct cli_online online; /* url NULL = a file */
};

struct station_piece {
    uint8_t *p; /* free() it */
    size_t len, room;
    uint32_t next; /* entry behind it */
    bool begun;
    uint32_t until; /* the journal's last entry when it was begun */
};

/** Add parts to it from its `next` on: to the end as it was when it was begun, or for so
 * many bytes. */
STAMP_MUST_USE enum stamp_err station_gather(struct stamp_export *x, size_t bytes,
                                             struct station_piece *piece,
                                             struct stamp_error *err);

/** Is more of it to gather? */
bool station_more(const struct station_piece *piece);

/** `stamp station export --server`; the exit status. */
int station_send(struct station_export *e, const struct stamp_site *site);

#endif

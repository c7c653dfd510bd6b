/*
 * A batch file as the source of a line: company B's, trusted and online. Each unit gets
 * the next stamp of the file, sealed to it on the wire (SPEC 13-24) or put on its flash
 * by another program, is locked, restarts and proves itself. What was handed out is in
 * the books of the batch file first, so that a unit whose strike was cut short gets the
 * same stamp again.
 */
#ifndef STATION_BATCH_LINE_H
#define STATION_BATCH_LINE_H

#include "host/batchbooks.h"
#include "host/image.h"
#include "station/slot.h"
#include "station/source.h"

struct stamp_batch_line;

struct stamp_batch_line_setup {
    struct stamp_batch *batch; /* unlocked; borrowed, as the books */
    struct stamp_books *books;
    bool lock;                  /* each unit, at once */
    const char *exec;           /* NULL = over the wire */
    struct stamp_geometry part; /* of the partition, with `exec` */
    uint32_t offset;            /* likewise */
    void (*tell)(void *ctx, const char *port, const char *text);
    void *ctx;
};

STAMP_MUST_USE enum stamp_err
stamp_batch_line_new(const struct stamp_batch_line_setup *setup,
                     struct stamp_batch_line **out, struct stamp_error *err);
void stamp_batch_line_free(struct stamp_batch_line **p);

struct stamp_source stamp_batch_line_source(struct stamp_batch_line *line);

/** Did it end because no stamp is left? */
bool stamp_batch_line_drained(const struct stamp_batch_line *line);

#endif

/*
 * Who asks a line that runs: a Unix socket in the station's directory (mode 0600), a line
 * of JSON each way. The journal is held by the line, so what changes it goes this way.
 *
 *     {"do": "status"}
 *     {"do": "scrap", "serial": S, "reason": R, "who": W}
 *     {"do": "rework", ..., "confirm": C}
 *     {"do": "retry"}
 *     {"do": "export", "from": N}: {"part": hex, "next": N, "head": N}
 *
 * The answer is {"ok": true, ...} or {"ok": false, "code": N, "what": W, "hint": H}.
 */
#ifndef STATION_CONTROL_H
#define STATION_CONTROL_H

#include <jansson.h>

#include "station/line.h"

struct event_base;
struct stamp_control;

typedef void (*stamp_control_port)(void *to, const char *place, const char *state);

/** What the line's loop answers itself. */
struct stamp_control_run {
    void (*ports)(void *ctx, stamp_control_port tell, void *to);
    void (*retry)(void *ctx);
    void *ctx;
};

/** Listen. @param run  copied. STAMP_E_IO: the socket cannot be made */
STAMP_MUST_USE enum stamp_err stamp_control_open(struct event_base *base,
                                                 struct stamp_line *line,
                                                 const struct stamp_control_run *run,
                                                 struct stamp_control **out,
                                                 struct stamp_error *err);
void stamp_control_close(struct stamp_control **p);

/** How a shift stands, as JSON. The caller frees it. */
json_t *stamp_control_status(const struct stamp_journal_status *s);

/**
 * Ask the line that runs in a station's directory.
 *
 * @param request  kept by the caller
 * @param answer   where it is {"ok": true}; the caller frees it. NULL with STAMP_OK: no
 *                 line runs there
 * @retval others  what the line said
 */
STAMP_MUST_USE enum stamp_err stamp_control_ask(const struct stamp_site *site,
                                                const json_t *request, json_t **answer,
                                                struct stamp_error *err);

#endif

/*
 * The service's log: one JSON object a line on standard error, which journald or whoever
 * started it keeps. No secret goes in: no token, no PIN, no key but public ones.
 */
#ifndef SERVICE_LOG_H
#define SERVICE_LOG_H

#include <stdbool.h>

#include "host/error.h"

/** Who says it: "front 0", "books". Borrowed for ever. */
void service_log_as(const char *process);

/**
 * One line: {"time": ..., "process": ..., "event": `event`, NAME: VALUE, ...}.
 *
 * @param ...  pairs of const char *, ended by NULL; a pair with value NULL or "" is left
 *             out. What is not UTF-8 is told in hex.
 */
void service_log(const char *event, ...) __attribute__((sentinel));

/** The same for an error: what, state and hint. */
void service_log_error(const char *event, const struct stamp_error *err);

/** Lines are kept from now on, and written together by the next call with false: for who
 * writes many at a time. */
void service_log_hold(bool hold);

/** A process that cannot go on: say so and end; the parent starts it anew. */
void service_die(const char *why) __attribute__((noreturn));

#endif

/*
 * Does a port do what device/port.h asks? For every port, on a PC or on the board itself:
 * C99, no malloc, no stdio, 600 bytes of stack.
 */
#ifndef TEST_UNIT_PORT_CONFORMANCE_H
#define TEST_UNIT_PORT_CONFORMANCE_H

#include <stdbool.h>

#include "device/port.h"

/**
 * Try the port. ERASES THE WHOLE PARTITION, before and after.
 *
 * @param may_lock  also try lock(), which on a chip may last for ever
 * @return NULL where nothing was found, else what the port does wrong
 */
const char *port_conformance(const struct stamp_port *port, bool may_lock);

#endif

/* The geometry of a flash file that holds a stamp, so that nobody has to repeat it. */
#ifndef DEVICE_PORT_POSIX_GEOMETRY_H
#define DEVICE_PORT_POSIX_GEOMETRY_H

#include "device/port/posix/posix.h"

/**
 * Where `config` has no sizes, take those that the birth region's header in its file
 * says. Without a file, or without a whole header in it, nothing is changed.
 */
void stamp_posix_geometry(struct stamp_posix_config *config);

#endif

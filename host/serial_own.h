/*
 * What the files of host/serial share among themselves.
 */
#ifndef HOST_SERIAL_OWN_H
#define HOST_SERIAL_OWN_H

#include <stdbool.h>

/** A character that a serial may have. */
bool stampi_serial_printable(char c);

/** 0..35 of a digit or a letter of either case; -1 of another character. */
int stampi_luhn_value(char c);

#endif

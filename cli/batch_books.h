/* What list, show and balance print of a batch on the books, at hand or with a service.
 */
#ifndef CLI_BATCH_BOOKS_H
#define CLI_BATCH_BOOKS_H

#include "cli/online.h"

/** A batch by name or number, as lines of text, or as JSON. Prints its errors too.
 * @param online  url NULL = the books are at hand
 * @return the exit status */
int batch_books_show(const char *dir, struct cli_online *online, const char *id,
                     bool json);

#endif

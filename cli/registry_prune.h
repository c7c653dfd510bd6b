/* `stamp registry prune`: what ended long ago leaves the books. */
#ifndef CLI_REGISTRY_PRUNE_H
#define CLI_REGISTRY_PRUNE_H

#include <time.h>

/** @param workspace  -C; NULL = look for it: it has the log key
 * @param fd  of the passphrase; -1 = ask
 * @return the exit status */
int registry_prune(const char *workspace, int fd, time_t before);

#endif

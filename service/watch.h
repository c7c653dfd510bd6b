/*
 * Files of a workspace that processes of the service read when they start. One that was
 * made or changed since is found, so that who read it can start anew: a log key made
 * where the root is, the first station that is enrolled.
 */
#ifndef SERVICE_WATCH_H
#define SERVICE_WATCH_H

#include <limits.h>
#include <sys/stat.h>

#include "host/error.h"
#include "service/process.h"

enum { SERVICE_WATCHED = 3 };

struct service_watch {
    char dir[PATH_MAX];
    struct stat was[SERVICE_WATCHED]; /* st_ino 0 = not there */
};

/** @param dir  the workspace, or NULL: as stamp_workspace_locate() */
STAMP_MUST_USE enum stamp_err service_watch_init(struct service_watch *w, const char *dir,
                                                 struct stamp_error *err);

/** What a process has read by now. */
void service_watch_note(struct service_watch *w, enum service_role role);

/** @return the file's name that is another one since; NULL = none */
const char *service_watch_changed(const struct service_watch *w, enum service_role role);

#endif

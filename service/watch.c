#include "service/watch.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "host/workspace.h"

static const struct {
    enum service_role role;
    const char *name;
} watched[SERVICE_WATCHED] = {
    {SERVICE_TLOG, "log.pem"},
    {SERVICE_READER, "log.pem"},
    {SERVICE_FACTORY, "home.pem"},
};

enum stamp_err service_watch_init(struct service_watch *w, const char *dir,
                                  struct stamp_error *err)
{
    memset(w, 0, sizeof *w);
    return stamp_workspace_locate(dir, w->dir, err);
}

static struct stat look(const struct service_watch *w, const char *name)
{
    char path[PATH_MAX];
    struct stat now;
    int n = snprintf(path, sizeof path, "%s/%s", w->dir, name);

    if (n < 0 || n >= (int)sizeof path || stat(path, &now) != 0) {
        memset(&now, 0, sizeof now);
    }
    return now;
}

static bool same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

void service_watch_note(struct service_watch *w, enum service_role role)
{
    for (size_t i = 0; i < SERVICE_WATCHED; i++) {
        if (watched[i].role == role) {
            w->was[i] = look(w, watched[i].name);
        }
    }
}

/* A file that went away, or that may not be looked at, is no reason to start anew. */
const char *service_watch_changed(const struct service_watch *w, enum service_role role)
{
    for (size_t i = 0; i < SERVICE_WATCHED; i++) {
        struct stat now;

        if (watched[i].role != role) {
            continue;
        }
        now = look(w, watched[i].name);
        if (now.st_ino != 0 && !same(&now, &w->was[i])) {
            return watched[i].name;
        }
    }
    return NULL;
}

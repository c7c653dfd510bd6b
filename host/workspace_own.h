/* Between workspace.c and workspace_create.c: the names of what is in a workspace. */
#ifndef HOST_WORKSPACE_OWN_H
#define HOST_WORKSPACE_OWN_H

#include "host/workspace.h"

#define STAMPI_KEYS "keys"
#define STAMPI_ROOT_PEM "root.pem"
#define STAMPI_SUB_CA_PEM "sub-ca.pem"
#define STAMPI_BUNDLE "trust-bundle"
#define STAMPI_REGISTRY "registry.db"
#define STAMPI_REGISTRY_URL "registry.url"

extern const char *const stampi_workspace_key_name[]; /* by enum stamp_workspace_key */
extern const char *const stampi_workspace_uri_name[];

/** "dir/name"; only "name" where dir is ".". */
enum stamp_err stampi_join(const char *dir, const char *name, char out[PATH_MAX],
                           struct stamp_error *err);

#endif

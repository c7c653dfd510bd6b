#include "service/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <linux/landlock.h>
#include <pwd.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/registry.h"
#include "service/log.h"

/* ---- the promises ---- */

#define CALL(name) SCMP_SYS(name)
#define END (-1)

/* Everybody: memory, time, random bytes, the channels, an end. mmap() and mprotect() come
 * with the condition that nothing becomes executable. */
static const int everybody[] = {CALL(brk),
                                CALL(munmap),
                                CALL(mremap),
                                CALL(madvise),
                                CALL(mlock),
                                CALL(mlock2),
                                CALL(munlock),
                                CALL(read),
                                CALL(readv),
                                CALL(write),
                                CALL(writev),
                                CALL(recvfrom),
                                CALL(recvmsg),
                                CALL(sendto),
                                CALL(sendmsg),
                                CALL(close),
                                CALL(poll),
                                CALL(ppoll),
                                CALL(epoll_wait),
                                CALL(epoll_pwait),
                                CALL(epoll_ctl),
                                CALL(futex),
                                CALL(clock_gettime),
                                CALL(gettimeofday),
                                CALL(time),
                                CALL(nanosleep),
                                CALL(clock_nanosleep),
                                CALL(getrandom),
                                CALL(fcntl),
                                CALL(fstat),
                                CALL(newfstatat),
                                CALL(lseek),
                                CALL(getpid),
                                CALL(gettid),
                                CALL(getuid),
                                CALL(geteuid),
                                CALL(rt_sigaction),
                                CALL(rt_sigprocmask),
                                CALL(rt_sigreturn),
                                CALL(restart_syscall),
                                CALL(sched_yield),
                                CALL(tgkill),
                                CALL(exit),
                                CALL(exit_group),
                                CALL(rseq),
                                CALL(set_robust_list),
                                END};

/* A front: connections that come in, and nothing else. It opens no file and no socket;
 * what is long it hands on in memory that has a descriptor. */
static const int front[] = {CALL(accept4),      CALL(getsockname),
                            CALL(getpeername),  CALL(getsockopt),
                            CALL(setsockopt),   CALL(shutdown),
                            CALL(ioctl),        CALL(sendfile),
                            CALL(memfd_create), END};

/* Files: the books' own, or what a token's module has. Landlock says which. */
static const int files[] = {CALL(openat),    CALL(open),       CALL(access),
                            CALL(faccessat), CALL(faccessat2), CALL(stat),
                            CALL(lstat),     CALL(statx),      CALL(pread64),
                            CALL(pwrite64),  CALL(fsync),      CALL(fdatasync),
                            CALL(ftruncate), CALL(fallocate),  CALL(unlink),
                            CALL(unlinkat),  CALL(rename),     CALL(mkdir),
                            CALL(rmdir),     CALL(getdents64), CALL(getcwd),
                            CALL(readlink),  CALL(flock),      CALL(fchmod),
                            CALL(fchown),    CALL(umask),      CALL(utimensat),
                            CALL(fstatfs),   CALL(statfs),     CALL(sysinfo),
                            CALL(uname),     CALL(ioctl),      END};

/* Making batches: threads, and a file that gets its name when it is whole. */
static const int threads[] = {CALL(clone),
                              CALL(clone3),
                              CALL(prctl),
                              CALL(renameat2),
                              CALL(link),
                              CALL(sched_getaffinity),
                              CALL(fadvise64),
                              CALL(sync_file_range),
                              END};

/* Going out to a database, or to pcscd for a token; to what, is said by family below. */
static const int outwards[] = {CALL(connect),     CALL(getsockopt),  CALL(setsockopt),
                               CALL(getsockname), CALL(getpeername), CALL(shutdown),
                               CALL(sendmmsg),    CALL(bind),        CALL(pipe2),
                               CALL(eventfd2),    CALL(getegid),     CALL(getgid),
                               CALL(clone),       CALL(clone3),      END};

static bool allow_all(scmp_filter_ctx c, const int *list)
{
    for (; *list != END; list++) {
        if (seccomp_rule_add(c, SCMP_ACT_ALLOW, *list, 0) != 0) {
            return false;
        }
    }
    return true;
}

static bool allow_family(scmp_filter_ctx c, int family)
{
    return seccomp_rule_add(c, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
                            SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)family, 0)) == 0;
}

static bool allow(scmp_filter_ctx c, const struct service_sandbox *s)
{
    bool ok = allow_all(c, everybody) &&
              seccomp_rule_add(c, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
                               SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) == 0 &&
              seccomp_rule_add(c, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                               SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) == 0;

    switch (s->role) {
    case SERVICE_FRONT:
        return ok && allow_all(c, front);
    case SERVICE_MAKER:
        return ok;
    case SERVICE_SIGNER:
        return ok && (!s->token || (allow_all(c, files) && allow_all(c, outwards) &&
                                    allow_family(c, AF_UNIX)));
    case SERVICE_BOOKS:
    case SERVICE_STATUS:
    case SERVICE_BATCHES:
    case SERVICE_TLOG:
    case SERVICE_READER:
    case SERVICE_FACTORY:
        return ok && allow_all(c, files) &&
               (s->role != SERVICE_BATCHES || allow_all(c, threads)) &&
               (!stamp_registry_is_url(s->books) ||
                (allow_all(c, outwards) && allow_family(c, AF_UNIX) &&
                 allow_family(c, AF_INET) && allow_family(c, AF_INET6) &&
                 allow_family(c, AF_NETLINK)));
    default:
        return false;
    }
}

/* ---- seccomp ---- */

static enum stamp_err failed(const char *what, struct stamp_error *err)
{
    return stamp_error_set(err, STAMP_E_STATE, errno,
                           "cannot go into the sandbox: %s: %s", what, strerror(errno));
}

enum stamp_err service_sandbox_calls(const struct service_sandbox *s,
                                     struct stamp_error *err)
{
    scmp_filter_ctx c = seccomp_init(SCMP_ACT_KILL_PROCESS);
    bool ok = c != NULL && allow(c, s) && seccomp_load(c) == 0;

    if (c != NULL) {
        seccomp_release(c);
    }
    return ok ? STAMP_OK : failed("seccomp", err);
}

/* ---- Landlock ---- */

#define READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITE                                                                            \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE |                    \
     LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |                       \
     LANDLOCK_ACCESS_FS_MAKE_DIR)
#define ALL                                                                              \
    (READ | WRITE | LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR |          \
     LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |                       \
     LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM)

static bool allow_path(int rules, const char *path, uint64_t access)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = access};
    int rc;

    rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (rule.parent_fd < 0) {
        return errno == ENOENT; /* what is not there needs no rule */
    }
    rc = (int)syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    (void)close(rule.parent_fd);
    return rc == 0;
}

/* The files of an SQLite registry, by name: the workspace's keys lie in a folder beside
 * them. In their directory others can be made and removed, but not read. */
static bool allow_sqlite(int rules, const char *books)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
    char path[PATH_MAX];

    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        if (snprintf(path, sizeof path, "%s%s", books, ends[i]) >= (int)sizeof path ||
            !allow_path(rules, path,
                        LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE)) {
            return false;
        }
    }
    (void)snprintf(path, sizeof path, "%s", books);
    return allow_path(rules, dirname(path),
                      LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
                          LANDLOCK_ACCESS_FS_REMOVE_FILE);
}

/* What libpq and the resolver read. */
static bool allow_postgres(int rules)
{
    const char *home = getenv("HOME");
    const char *passwords = getenv("PGPASSFILE");
    char path[PATH_MAX];

    if (home != NULL) {
        (void)snprintf(path, sizeof path, "%s/.pgpass", home);
        if (!allow_path(rules, path, LANDLOCK_ACCESS_FS_READ_FILE)) {
            return false;
        }
        (void)snprintf(path, sizeof path, "%s/.postgresql", home);
        if (!allow_path(rules, path, READ)) {
            return false;
        }
    }
    return allow_path(rules, "/etc", READ) && allow_path(rules, "/run", READ) &&
           (passwords == NULL ||
            allow_path(rules, passwords, LANDLOCK_ACCESS_FS_READ_FILE));
}

/* What a token's module has lies anywhere, so a signer with one may read and write what
 * its user may, and execute nothing. Who has the registry has its files, and temporary
 * ones. Others have none. */
static bool allow_paths(int rules, const struct service_sandbox *s)
{
    if (s->role == SERVICE_SIGNER) {
        return !s->token || allow_path(rules, "/", READ | WRITE);
    }
    if (s->role == SERVICE_FRONT || s->role == SERVICE_MAKER) {
        return true;
    }
    if (s->role == SERVICE_BATCHES &&
        (!allow_path(rules, s->folder, READ | WRITE) ||
         !allow_path(rules, s->stations, READ) ||
         !allow_path(rules, s->profile, LANDLOCK_ACCESS_FS_READ_FILE) ||
         (s->escrow != NULL &&
          !allow_path(rules, s->escrow, LANDLOCK_ACCESS_FS_READ_FILE)))) {
        return false;
    }
    if (s->role == SERVICE_FACTORY && !allow_path(rules, s->stations, READ)) {
        return false;
    }
    return allow_path(rules, "/tmp", READ | WRITE) &&
           allow_path(rules, "/dev/urandom", LANDLOCK_ACCESS_FS_READ_FILE) &&
           allow_path(rules, "/etc/localtime", LANDLOCK_ACCESS_FS_READ_FILE) &&
           (stamp_registry_is_url(s->books) ? allow_postgres(rules)
                                            : allow_sqlite(rules, s->books));
}

enum stamp_err service_sandbox_files(const struct service_sandbox *s, bool *have,
                                     struct stamp_error *err)
{
    struct landlock_ruleset_attr attr = {.handled_access_fs = ALL};
    int rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
    bool ok;

    *have = rules >= 0;
    if (rules < 0) {
        return errno == ENOSYS || errno == EOPNOTSUPP ? STAMP_OK
                                                      : failed("Landlock", err);
    }
    ok = allow_paths(rules, s) && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         syscall(SYS_landlock_restrict_self, rules, 0) == 0;
    if (!ok) {
        (void)failed("Landlock", err);
    }
    (void)close(rules);
    return ok ? STAMP_OK : STAMP_E_STATE;
}

/* ---- users ---- */

/* A user of its own, where there is one: "devstamp-front", "devstamp-maker",
 * "devstamp-signer". Front and maker need nothing, so without one they become nobody. The
 * books are whoever owns their file, and so are the batches, or who owns their folder.
 */
static bool find_user(const struct service_sandbox *s, uid_t *uid, gid_t *gid)
{
    char name[32];
    const struct passwd *pw;
    struct stat st;

    if (s->role == SERVICE_BOOKS || s->role == SERVICE_STATUS ||
        s->role == SERVICE_BATCHES || s->role == SERVICE_TLOG ||
        s->role == SERVICE_READER || s->role == SERVICE_FACTORY) {
        const char *own = stamp_registry_is_url(s->books) ? s->folder : s->books;

        if (own == NULL || stat(own, &st) != 0) {
            return false;
        }
        *uid = st.st_uid;
        *gid = st.st_gid;
        return true;
    }
    (void)snprintf(name, sizeof name, "devstamp-%s", service_role_name(s->role));
    pw = getpwnam(name);
    if (pw == NULL && (s->role == SERVICE_FRONT || s->role == SERVICE_MAKER)) {
        pw = getpwnam("nobody");
    }
    if (pw == NULL) {
        return false;
    }
    *uid = pw->pw_uid;
    *gid = pw->pw_gid;
    return true;
}

static enum stamp_err become_user(const struct service_sandbox *s,
                                  struct stamp_error *err)
{
    uid_t uid;
    gid_t gid;

    if (geteuid() != 0 || !find_user(s, &uid, &gid) || uid == 0) {
        return STAMP_OK;
    }
    /* Another user may lock less: where that cannot be raised, what is there stays
     * locked, and what comes later is not, or there would be no memory for it. */
    if (setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY}) != 0) {
        (void)mlockall(MCL_CURRENT | MCL_ONFAULT);
    }
    if (setgroups(0, NULL) != 0 || setresgid(gid, gid, gid) != 0 ||
        setresuid(uid, uid, uid) != 0) {
        return failed("another user", err);
    }
    /* changing the user takes both back */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    return prctl(PR_SET_DUMPABLE, 0) == 0 ? STAMP_OK : failed("no core dumps", err);
}

/* ---- in ---- */

/* A sanitizer looks at its own files and threads when it reports. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

enum stamp_err service_sandbox_enter(const struct service_sandbox *s,
                                     struct stamp_error *err)
{
    bool have = false;
    enum stamp_err rc;

    if (s->role != SERVICE_SIGNER && s->role != SERVICE_MAKER &&
        s->role != SERVICE_BATCHES && s->role != SERVICE_TLOG &&
        s->role != SERVICE_FACTORY) {
        (void)munlockall(); /* 10,000 connections need more than may be locked */
    }
    rc = become_user(s, err);

    if (rc == STAMP_OK) {
        rc = service_sandbox_files(s, &have, err);
    }
    if (rc == STAMP_OK && !have) {
        service_log("sandbox", "why", "this kernel has no Landlock", NULL);
    }
    if (rc != STAMP_OK || SANITIZED) {
        return rc;
    }
    return service_sandbox_calls(s, err);
}

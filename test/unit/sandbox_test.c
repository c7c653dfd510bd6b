/* service/sandbox: what a process of the service may not do any more. Each case is a
 * process of its own, which ends with an exit status or is killed by SIGSYS. */
#include "service/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { DID_IT = 0, REFUSED = 10, NO_SANDBOX = 11, NO_LANDLOCK = 12 };

static char dir[] = "stamp-sandbox-XXXXXX"; /* not in /tmp, which some may use */
static char books[64];
static char keys[64]; /* a folder beside the registry, as in a workspace */
static char key[80];
static char folder[64]; /* of the batches */
static char stations[64];
static char profile[80];

static const struct service_sandbox a_front = {.role = SERVICE_FRONT};
static const struct service_sandbox a_signer = {.role = SERVICE_SIGNER};
static const struct service_sandbox a_maker = {.role = SERVICE_MAKER};
static const struct service_sandbox a_token = {.role = SERVICE_SIGNER, .token = true};
static const struct service_sandbox the_books = {.role = SERVICE_BOOKS, .books = books};
static const struct service_sandbox the_batches = {.role = SERVICE_BATCHES,
                                                   .books = books,
                                                   .folder = folder,
                                                   .stations = stations,
                                                   .profile = profile};
static const struct service_sandbox the_log = {.role = SERVICE_TLOG, .books = books};
static const struct service_sandbox the_reader = {.role = SERVICE_READER, .books = books};
static const struct service_sandbox the_factory = {
    .role = SERVICE_FACTORY, .books = books, .stations = stations};
static const struct service_sandbox far_books = {
    .role = SERVICE_BOOKS, .books = "postgresql://books.example/devstamp"};

typedef bool (*deed)(void);

/* Does it in a sandbox; the status of waitpid(). */
static int in_sandbox(const struct service_sandbox *s, bool calls, deed d)
{
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        bool have = false;

        if (calls ? service_sandbox_calls(s, NULL) != STAMP_OK
                  : service_sandbox_files(s, &have, NULL) != STAMP_OK) {
            _exit(NO_SANDBOX);
        }
        if (!calls && !have) {
            _exit(NO_LANDLOCK);
        }
        /* a sanitizer does more in _exit() */
        (void)syscall(SYS_exit_group, d() ? DID_IT : REFUSED);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void is_killed(const struct service_sandbox *s, deed d)
{
    int status = in_sandbox(s, true, d);

    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSYS);
}

static void does(const struct service_sandbox *s, deed d)
{
    int status = in_sandbox(s, true, d);

    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), DID_IT);
}

static void files_say(const struct service_sandbox *s, deed d, int expected)
{
    int status = in_sandbox(s, false, d);

    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), expected);
}

/* ---- deeds ---- */

static bool open_internet(void)
{
    return socket(AF_INET, SOCK_STREAM, 0) >= 0;
}

static bool open_internet6(void)
{
    return socket(AF_INET6, SOCK_DGRAM, 0) >= 0;
}

static bool open_unix(void)
{
    return socket(AF_UNIX, SOCK_STREAM, 0) >= 0;
}

static bool read_key(void)
{
    return open(key, O_RDONLY) >= 0;
}

static bool open_books(void)
{
    return open(books, O_RDWR) >= 0;
}

static bool make_batch(void)
{
    char path[96];
    int fd;

    (void)snprintf(path, sizeof path, "%s/x.part", folder);
    fd = open(path, O_RDWR | O_CREAT, 0600);
    return fd >= 0 && unlink(path) == 0;
}

static bool read_stations(void)
{
    return open(stations, O_RDONLY | O_DIRECTORY) >= 0;
}

static bool add_station(void)
{
    char path[96];

    (void)snprintf(path, sizeof path, "%s/x.pem", stations);
    return open(path, O_RDWR | O_CREAT, 0600) >= 0;
}

static bool read_profile(void)
{
    return open(profile, O_RDONLY) >= 0;
}

static bool write_profile(void)
{
    return open(profile, O_RDWR) >= 0;
}

static bool write_elsewhere(void)
{
    return open("/var/tmp/stamp-sandbox-elsewhere", O_WRONLY | O_CREAT, 0600) >= 0;
}

static bool start_program(void)
{
    char *argv[] = {NULL};

    return execve("/bin/true", argv, argv) == 0;
}

static bool make_code(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}

static bool make_memory(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
           MAP_FAILED;
}

static bool become_root(void)
{
    return setuid(0) == 0;
}

static bool kill_parent(void)
{
    return kill(getppid(), 0) == 0;
}

/* ---- the cases ---- */

static void a_signer_that_opens_a_socket_is_killed(void **state)
{
    (void)state;
    is_killed(&a_signer, open_internet);
    is_killed(&a_signer, open_internet6);
    is_killed(&a_signer, open_unix);
    does(&a_signer, make_memory);
}

static void with_a_token_it_may_reach_pcscd_and_no_further(void **state)
{
    (void)state;
    does(&a_token, open_unix);
    is_killed(&a_token, open_internet);
    is_killed(&a_token, open_internet6);
}

static void a_front_opens_nothing(void **state)
{
    (void)state;
    is_killed(&a_front, open_internet);
    is_killed(&a_front, open_unix);
    is_killed(&a_front, read_key);
    is_killed(&a_front, open_books);
    is_killed(&a_maker, open_internet);
    is_killed(&a_maker, open_unix);
    is_killed(&a_maker, read_key);
    does(&a_maker, make_memory);
    does(&a_front, make_memory);
}

static void books_in_a_file_open_no_socket(void **state)
{
    (void)state;
    is_killed(&the_books, open_internet);
    is_killed(&the_books, open_unix);
    is_killed(&the_batches, open_internet);
    is_killed(&the_batches, open_unix);
    does(&the_batches, open_books);
    is_killed(&the_log, open_internet);
    is_killed(&the_reader, open_internet);
    is_killed(&the_reader, open_unix);
    is_killed(&the_factory, open_internet);
    is_killed(&the_factory, open_unix);
    does(&the_factory, open_books);
    does(&the_log, open_books);
    does(&the_reader, open_books);
    does(&the_books, open_books);
    does(&far_books, open_internet);
}

static void nobody_starts_a_program_or_makes_code(void **state)
{
    const struct service_sandbox *const all[] = {
        &a_front,     &a_maker, &a_signer,   &a_token,     &the_books,
        &the_batches, &the_log, &the_reader, &the_factory, &far_books};

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        is_killed(all[i], start_program);
        is_killed(all[i], make_code);
        is_killed(all[i], become_root);
        is_killed(all[i], kill_parent);
    }
}

static void landlock_refuses_what_is_not_its_own(void **state)
{
    (void)state;
    files_say(&a_front, read_key, REFUSED);
    files_say(&a_front, open_books, REFUSED);
    files_say(&a_maker, read_key, REFUSED);
    files_say(&a_maker, open_books, REFUSED);
    files_say(&a_signer, read_key, REFUSED);
    files_say(&a_signer, write_elsewhere, REFUSED);
    files_say(&the_books, open_books, DID_IT);
    files_say(&the_books, read_key, REFUSED);
    files_say(&the_books, write_elsewhere, REFUSED);
    files_say(&the_batches, open_books, DID_IT);
    files_say(&the_batches, make_batch, DID_IT);
    files_say(&the_batches, read_stations, DID_IT);
    files_say(&the_batches, add_station, REFUSED);
    files_say(&the_batches, read_profile, DID_IT);
    files_say(&the_batches, write_profile, REFUSED);
    files_say(&the_batches, read_key, REFUSED);
    files_say(&the_batches, write_elsewhere, REFUSED);
    files_say(&the_log, read_key, REFUSED);
    files_say(&the_log, write_elsewhere, REFUSED);
    files_say(&the_reader, read_key, REFUSED);
    files_say(&the_reader, make_batch, REFUSED);
    files_say(&the_reader, read_profile, REFUSED);
    files_say(&the_factory, open_books, DID_IT);
    files_say(&the_factory, read_stations, DID_IT);
    files_say(&the_factory, add_station, REFUSED);
    files_say(&the_factory, read_key, REFUSED);
    files_say(&the_factory, make_batch, REFUSED);
    files_say(&the_factory, write_elsewhere, REFUSED);
    files_say(&the_books, make_batch, REFUSED);
    files_say(&far_books, write_elsewhere, REFUSED);
    files_say(&far_books, read_key, REFUSED);
}

static int setup(void **state)
{
    int fd;

    (void)state;
    if (mkdtemp(dir) == NULL) {
        return -1;
    }
    (void)snprintf(books, sizeof books, "%s/registry.db", dir);
    (void)snprintf(keys, sizeof keys, "%s/keys", dir);
    (void)snprintf(key, sizeof key, "%s/sub-ca.key", keys);
    (void)snprintf(folder, sizeof folder, "%s/batches", dir);
    (void)snprintf(stations, sizeof stations, "%s/stations", dir);
    (void)snprintf(profile, sizeof profile, "%s/devstamp.yaml", dir);
    if (mkdir(keys, 0700) != 0 || mkdir(folder, 0700) != 0 ||
        mkdir(stations, 0700) != 0) {
        return -1;
    }
    fd = open(books, O_WRONLY | O_CREAT, 0600);
    (void)close(fd);
    fd = open(profile, O_WRONLY | O_CREAT, 0600);
    (void)close(fd);
    fd = open(key, O_WRONLY | O_CREAT, 0600);
    return close(fd);
}

static int teardown(void **state)
{
    char path[96];

    (void)state;
    (void)unlink(books);
    (void)unlink(key);
    /* Landlock lets them be made beside the books, and not be opened */
    (void)snprintf(path, sizeof path, "%s/x.part", folder);
    (void)unlink(path);
    (void)snprintf(path, sizeof path, "%s/x.pem", stations);
    (void)unlink(path);
    (void)unlink(profile);
    (void)rmdir(folder);
    (void)rmdir(stations);
    (void)rmdir(keys);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signer_that_opens_a_socket_is_killed),
        cmocka_unit_test(with_a_token_it_may_reach_pcscd_and_no_further),
        cmocka_unit_test(a_front_opens_nothing),
        cmocka_unit_test(books_in_a_file_open_no_socket),
        cmocka_unit_test(nobody_starts_a_program_or_makes_code),
        cmocka_unit_test(landlock_refuses_what_is_not_its_own),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}

/* What a process within the walls cannot do, tried in a child that tells by bits what it could. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/formats/hdf5_priv.h"
#include "io/formats/sandbox_priv.h"
#include "tests/lib/storefile.h"
#include "tests/lib/test.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#endif
#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__)) && !defined(SANITIZED)
#define FILTERED
#endif

enum {
    READS = 1,       /* a file, before the walls are closed: it can */
    READS_LATER = 2, /* after that */
    INHERITED = 4,   /* uses a descriptor of its parent's */
    OPENS_MORE = 8,  /* raises the limit of open files */
    ALLOCATES = 16,  /* 200 MB where 100 are given */
    WRITES = 32,     /* opens a file for writing, makes a folder, removes a file */
    CALLS = 64,      /* makes a socket, forks, sends signals to its parent, starts a program */
};

static int can_write(const char *path, const char *folder)
{
    const int fd = open(path, O_WRONLY);
    const int made = !mkdir(folder, 0700);
    return fd >= 0 || made || !unlink(path);
}

static int can_call(void)
{
    const pid_t child = fork();
    if (!child) _exit(0);
#ifdef FILTERED
    char *const none[] = {NULL};
    execve("/bin/true", none, none); /* where it can it tells nothing any more */
#endif
    return child > 0 || socket(AF_UNIX, SOCK_STREAM, 0) >= 0 || !kill(getppid(), 0);
}

static int tried(int inherited, const char *path, const char *folder)
{
    int could = 0;
    struct rlimit r = {16, 16};
    void *volatile large = malloc(200 << 20);
    if (large) could |= ALLOCATES;
    const int fd = open(path, O_RDONLY);
    if (fd >= 0) could |= READS;
    if (fcntl(inherited, F_GETFD) >= 0 && inherited != fd) could |= INHERITED;
    if (can_write(path, folder)) could |= WRITES;
    if (can_call()) could |= CALLS;
    bm_sandbox_close(5);
    if (open("/dev/null", O_RDONLY) >= 0) could |= READS_LATER;
    if (!setrlimit(RLIMIT_NOFILE, &r)) could |= OPENS_MORE;
    return could;
}

START_TEST(a_process_within_walls)
{
    int pair[2], could = -1;
    const char *path = test_path("file"), *folder = test_path("folder");
    test_write_file(path, "x", 1);
    const int inherited = open(path, O_RDONLY);
    ck_assert_int_ge(inherited, 3);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    const pid_t child = fork();
    if (!child) {
        bm_sandbox_enter(pair[1], 100 << 20, 5);
        could = tried(inherited, path, folder);
        _exit(bm_hdf5_send(pair[1], &could, sizeof could));
    }
    close(pair[1]);
    ck_assert_int_eq(bm_hdf5_receive(pair[0], &could, sizeof could), 0);
    waitpid(child, NULL, 0);
    close(pair[0]);
    close(inherited);
    int fine = READS;
    if (!geteuid()) could &= ~OPENS_MORE; /* root may raise what it has lowered, where calls are not filtered */
#ifdef SANITIZED
    fine |= could & ALLOCATES;
#endif
#ifndef FILTERED
    fine |= could & (WRITES | CALLS);
#endif
    ck_assert_int_eq(could, fine);
}
END_TEST

START_TEST(time_runs_out)
{
    int how;
    volatile uint64_t turns = 0;
    const pid_t child = fork();
    if (!child) {
        bm_sandbox_enter(0, 100 << 20, 1);
        for (;;) turns++;
    }
    waitpid(child, &how, 0);
    ck_assert(WIFSIGNALED(how));
    ck_assert_int_eq(WTERMSIG(how), SIGXCPU);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sandbox");
    TCase *t = tcase_create("sandbox");
    tcase_add_test(t, a_process_within_walls);
    tcase_add_test(t, time_runs_out);
    suite_add_tcase(s, t);
    return test_run(s);
}

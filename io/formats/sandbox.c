#include "io/formats/sandbox_priv.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif
#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__))
#define FILTERED
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/syscall.h>
#endif
/* Sanitizers map terabytes, and call for more than their program does. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#endif

enum { MOST_OPEN_FILES = 1024 };

/* Lowers a limit; that of processor time may be set again. */
static void limit(int what, rlim_t most)
{
    struct rlimit r;
    if (getrlimit(what, &r)) return;
    r.rlim_cur = r.rlim_max != RLIM_INFINITY && most > r.rlim_max ? r.rlim_max : most;
    if (what != RLIMIT_CPU) r.rlim_max = r.rlim_cur;
    setrlimit(what, &r);
}

#ifndef SANITIZED
/* Bytes of address space that the process has; 0 where that is not told. */
static rlim_t address_space(void)
{
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%lu", &pages) != 1) pages = 0;
    if (f) fclose(f);
    return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
}
#endif

#if defined(FILTERED) && !defined(SANITIZED)

#ifdef __x86_64__
#define ARCHITECTURE AUDIT_ARCH_X86_64
#else
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

/* What may be called for, where an argument has none of the bits in `not`. */
static const struct {
    int call, argument;
    unsigned not ;
} calls[] = {
    {SYS_read, 0, 0},
    {SYS_pread64, 0, 0},
    {SYS_lseek, 0, 0},
    {SYS_write, 0, 0},
    {SYS_sendto, 0, 0},
    {SYS_recvfrom, 0, 0},
    {SYS_close, 0, 0},
    {SYS_fstat, 0, 0},
    {SYS_newfstatat, 0, 0},
    {SYS_flock, 0, 0},
    {SYS_brk, 0, 0},
    {SYS_mmap, 0, 0},
    {SYS_munmap, 0, 0},
    {SYS_mremap, 0, 0},
    {SYS_mprotect, 0, 0},
    {SYS_madvise, 0, 0},
    {SYS_futex, 0, 0},
    {SYS_rt_sigaction, 0, 0},
    {SYS_getrandom, 0, 0},
    {SYS_rt_sigprocmask, 0, 0},
    {SYS_rt_sigreturn, 0, 0},
    {SYS_getpid, 0, 0},
    {SYS_clock_gettime, 0, 0},
    {SYS_getrusage, 0, 0},
    {SYS_exit_group, 0, 0},
    {SYS_exit, 0, 0},
    {SYS_prlimit64, 0, ~0u}, /* of this process */
    {SYS_openat, 2, O_WRONLY | O_RDWR | O_CREAT | O_TRUNC},
};
enum { CALLS = sizeof calls / sizeof *calls };

/* Anything else fails as if it were not permitted. */
static void filter_calls(void)
{
    struct sock_filter f[6 * CALLS + 8];
    unsigned short n = 0;
    f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
    f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL);
    for (size_t i = 0; i < CALLS; i++) {
        const size_t argument =
            offsetof(struct seccomp_data, args) + 8 * (size_t)calls[i].argument; /* its lower half */
        f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
        f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i].call, 0, 4);
        f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)argument);
        f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, calls[i].not, 1, 0);
        f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
        f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
    }
    f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
    const struct sock_fprog program = {n, f};
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

#else
static void filter_calls(void) {}
#endif

void bm_sandbox_enter(int fd, int64_t memory, int64_t seconds)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++) signal(ignored[i], SIG_IGN);
    signal(SIGXCPU, SIG_DFL);
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
#endif
#ifndef SANITIZED
    limit(RLIMIT_AS, address_space() + (rlim_t)memory);
#else
    (void)memory;
#endif
    for (int i = 0; i < MOST_OPEN_FILES; i++)
        if (i != fd) close(i);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_FSIZE, 0);
    limit(RLIMIT_CPU, (rlim_t)seconds);
    filter_calls();
}

void bm_sandbox_close(int64_t seconds)
{
    limit(RLIMIT_NOFILE, 0);
    limit(RLIMIT_CPU, (rlim_t)seconds);
}

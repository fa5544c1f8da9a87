#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/test.h"
#include "tools/signals.h"

/* A command in a child: says it is ready, works until asked to stop, cleans up (or not), and exits as bmtool does. */
typedef struct child {
    pid_t pid;
    int out, err;
} child;

static child start(int heeds)
{
    int out[2], err[2];
    ck_assert_int_eq(pipe(out), 0);
    ck_assert_int_eq(pipe(err), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        dup2(err[1], 2);
        bm_signals_watch("stopping\n");
        if (bm_signals_stopped() || bm_signals_exit_code() != 0) _exit(99);
        if (write(out[1], "r", 1) != 1) _exit(98);
        while (!heeds || !bm_signals_stopped()) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        if (write(out[1], "c", 1) != 1) _exit(97);
        _exit(bm_signals_exit_code());
    }
    close(out[1]);
    close(err[1]);
    child c = {.pid = pid, .out = out[0], .err = err[0]};
    char ready;
    ck_assert_int_eq(read(c.out, &ready, 1), 1);
    ck_assert_int_eq(ready, 'r');
    return c;
}

/* The exit code; whether it had cleaned up. */
static int end(child c, int *cleaned)
{
    int status;
    char byte;
    ck_assert_int_eq(waitpid(c.pid, &status, 0), c.pid);
    ck_assert(WIFEXITED(status));
    *cleaned = read(c.out, &byte, 1) == 1 && byte == 'c';
    close(c.out);
    close(c.err);
    return WEXITSTATUS(status);
}

START_TEST(the_first_signal_asks)
{
    static const int signals[] = {SIGINT, SIGTERM}, codes[] = {130, 143};
    for (int i = 0; i < 2; i++) {
        int cleaned;
        char said[32] = "";
        child c = start(1);
        kill(c.pid, signals[i]);
        ck_assert_int_eq(read(c.err, said, sizeof said - 1), 9);
        ck_assert_str_eq(said, "stopping\n");
        ck_assert_int_eq(end(c, &cleaned), codes[i]);
        ck_assert_int_eq(cleaned, 1);
    }
}
END_TEST

START_TEST(the_second_stops_at_once)
{
    static const int second[] = {SIGINT, SIGTERM}, codes[] = {130, 143};
    for (int i = 0; i < 2; i++) {
        int cleaned;
        char said[32];
        child c = start(0);
        kill(c.pid, SIGINT);
        ck_assert_int_eq(read(c.err, said, 9), 9);
        kill(c.pid, second[i]);
        ck_assert_int_eq(end(c, &cleaned), codes[i]);
        ck_assert_int_eq(cleaned, 0);
    }
}
END_TEST

START_TEST(a_reader_that_goes_away_does_not_kill)
{
    int cleaned;
    child c = start(1);
    kill(c.pid, SIGPIPE);
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    kill(c.pid, SIGTERM);
    ck_assert_int_eq(end(c, &cleaned), 143);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tools/signals");
    TCase *t = tcase_create("signals");
    tcase_add_test(t, the_first_signal_asks);
    tcase_add_test(t, the_second_stops_at_once);
    tcase_add_test(t, a_reader_that_goes_away_does_not_kill);
    suite_add_tcase(s, t);
    return test_run(s);
}

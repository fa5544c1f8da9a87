#include "tools/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_int came; /* the first signal; lock-free, so that a handler may use it */
static const char *first_message;
static pid_t followed; /* 0: none */

static void on_signal(int number)
{
    int none = 0;
    if (!atomic_compare_exchange_strong(&came, &none, number)) _exit(128 + number);
    const int kept = errno;
    ssize_t written = write(STDERR_FILENO, first_message, strlen(first_message));
    (void)written;
    errno = kept;
}

void bm_signals_watch(const char *message)
{
    /* a line begun on a terminal, a progress line, is left first */
    first_message = message + (message[0] == '\n' && !isatty(STDERR_FILENO));
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

int bm_signals_stopped(void) { return atomic_load(&came) != 0 || (followed && getppid() != followed); }

void bm_signals_follow_parent(long parent) { followed = (pid_t)parent; }

int bm_signals_exit_code(void)
{
    int number = atomic_load(&came);
    return number ? 128 + number : 0;
}

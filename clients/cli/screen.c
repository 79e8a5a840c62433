#include "clients/cli/screen.h"

#include "clients/cli/cli.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

static struct termios before;
static volatile sig_atomic_t drawn_on;
static int stop_fd = -1;

#define BACK "\033[?25h\033[?1049l" /* shows the cursor, and restores the screen */

static void leave(void)
{
    if (!drawn_on)
        return;
    drawn_on = false;
    fputs(BACK, stdout);
    fflush(stdout);
    tcsetattr(0, TCSANOW, &before);
}

static void enter(void)
{
    struct termios raw;
    bool typed = tcgetattr(0, &before) == 0;
    drawn_on = true;
    if (typed) {
        raw = before;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        tcsetattr(0, TCSANOW, &raw);
    }
    fputs("\033[?1049h\033[?25l", stdout);
}

/* Ctrl-\ ends the program at any point, so the terminal is restored in the handler: everything here is
 * async-signal-safe. */
static void quit(int number)
{
    if (drawn_on && write(1, BACK, sizeof BACK - 1) > 0)
        tcsetattr(0, TCSANOW, &before);
    signal(number, SIG_DFL);
    raise(number);
}

void screen_enter(void)
{
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTSTP);
    sigprocmask(SIG_BLOCK, &stop, NULL);
    stop_fd = signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK);
    signal(SIGQUIT, quit);
    enter();
    atexit(leave);
    cli_before_message(leave);
}

void screen_begin(void)
{
    if (!drawn_on)
        enter();
    fputs("\033[H", stdout);
}

void screen_size(int *rows, int *columns)
{
    struct winsize w = { .ws_row = 0 };
    bool told = ioctl(1, TIOCGWINSZ, &w) == 0;
    *rows = told && w.ws_row ? w.ws_row : 24;
    *columns = told && w.ws_col ? w.ws_col : 80;
}

int screen_stop_fd(void)
{
    return stop_fd;
}

void screen_stop(void)
{
    struct signalfd_siginfo info;
    if (read(stop_fd, &info, sizeof info) != (ssize_t)sizeof info)
        return;
    leave();
    raise(SIGSTOP);
    enter();
}

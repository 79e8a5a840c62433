/* The terminal's alternate screen. The terminal is restored when the program ends, is stopped by Ctrl-Z, or prints a
 * message on stderr, which would otherwise vanish with the screen. */
#ifndef SLUICE_CLI_SCREEN_H
#define SLUICE_CLI_SCREEN_H

#include <stdbool.h>

/* Call once, after cli_catch_signals. From then on keys are read as they are typed, and not echoed. */
void screen_enter(void);
/* Begins drawing at the first line; enters the screen again after a message. */
void screen_begin(void);
/* Its size, or a default if the terminal does not report it. */
void screen_size(int *rows, int *columns);
/* Readable when Ctrl-Z was typed: then call screen_stop. -1 while there is no screen. */
int screen_stop_fd(void);
/* Stops the program; returns when it is continued, with an empty screen. */
void screen_stop(void);

#endif

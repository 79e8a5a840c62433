/* A screen of its own on the terminal, which is as it was again when the program ends, is stopped by Ctrl-Z, or says something
 * on stderr: that would be gone with the screen. */
#ifndef SLUICE_CLI_SCREEN_H
#define SLUICE_CLI_SCREEN_H

#include <stdbool.h>

/* Once, after cli_catch_signals. Keys come as they are typed from then on, and are not shown. */
void screen_enter(void);
/* To draw from its first line on. After something was said it is there again. */
void screen_begin(void);
/* Its size, or what a terminal has that does not tell. */
void screen_size(int *rows, int *columns);
/* Readable when Ctrl-Z was typed; -1 while there is no screen. Then: */
int screen_stop_fd(void);
void screen_stop(void); /* returns when the program goes on, with a screen that is empty */

#endif

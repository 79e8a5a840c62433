/* Descriptors 0, 1 and 2 are the standard streams' even where a program was started with one closed. */
#ifndef SLUICE_BASE_STANDARD_FDS_H
#define SLUICE_BASE_STANDARD_FDS_H

/* The first call of a program, before anything opens a descriptor: that would get the closed one's number, and what is printed or
 * logged would go into a socket or a file of the log, what is read come from it. Reading and writing fail with EBADF as before. */
void standard_fds_hold(void);

#endif

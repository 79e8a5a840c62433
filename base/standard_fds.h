/* Reserves descriptors 0, 1 and 2 for the standard streams, for programs started with one of them closed. */
#ifndef SLUICE_BASE_STANDARD_FDS_H
#define SLUICE_BASE_STANDARD_FDS_H

/* Opens closed ones on /dev/null in the unused direction, so that reading and writing still fail with EBADF. Must be
 * the first call of a program: otherwise the next descriptor opened would get the closed one's number, and what
 * is printed, logged or read would go through a socket or a file of the log. */
void standard_fds_reserve(void);

#endif

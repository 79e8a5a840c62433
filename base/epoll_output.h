/* Spares libzmq's I/O thread most of its calls of epoll_ctl. After every message that it wrote, libzmq asks epoll to
 * tell when the socket has room again, is told so at once, and takes the request back: two calls of epoll_ctl and an
 * extra round of the thread's loop. So requests are held back until the thread would sleep. A socket from which libzmq
 * once took such a request back is then reported to have room without asking: it is connected (connecters never take
 * theirs back), and its engine handles a write that finds no room (libzmq 4.3.4, stream_engine_base.cpp). Only if it
 * still wants to hear of room after that does the request go to the kernel.
 *
 * One thread uses one of these, for one epoll. */
#ifndef SLUICE_BASE_EPOLL_OUTPUT_H
#define SLUICE_BASE_EPOLL_OUTPUT_H

struct epoll_event;

/* Call when an I/O thread begins to use it. */
void epoll_output_begin(void);
/* Does epoll_ctl, or holds it back. */
int epoll_output_ctl(int epoll_fd, int op, int fd, struct epoll_event *event);
/* Call before the thread sleeps. Returns how many reports it made, at most `most`; if any, they are to be handled
 * first. */
int epoll_output_report(int epoll_fd, struct epoll_event *events, int most);

#endif

/* Stubs for libraries that the archive of libzmq refers to and Sluice never uses: see archives.cmake.
 *
 * Why they cannot be reached: Sluice's sockets are PUSH, PULL, ROUTER, DEALER and PAIR, which libzmq refuses to open on
 * pgm, epgm and norm endpoints (EPROTONOSUPPORT, ENOCOMPATPROTO). A peer cannot choose GSSAPI, because the listener's
 * own mechanism decides.
 *
 * Functions called at start-up do nothing and report success; every other stub prints its name and aborts the process.
 * All are hidden: a program may have the real library as well. */
#include "base/library_stub.h"

#include <netinet/in.h>
#include <stdio.h>

#pragma GCC visibility push(hidden)

/* ------------------------------------------------------------------ data of libc and the C++ runtime */

/* The archive's code may be part of a shared library, but is not made for that: it can refer to data of its own only.
 * In the copy of the archive these are the names of libc's (archives.cmake). */
extern FILE *library_stderr;
extern const struct in6_addr library_in6addr_any;
extern char library_single_threaded;

FILE *library_stderr;
const struct in6_addr library_in6addr_any = IN6ADDR_ANY_INIT;
char library_single_threaded; /* 0, "perhaps there are several", is always true */

__attribute__((constructor)) static void find_stderr(void)
{
    library_stderr = stderr;
}

/* ------------------------------------------------------------------ of libbsd */

/* libzmq takes it from there for file names. The archive of libbsd would replace functions of libc as well. */
size_t library_strlcpy(char *to, const char *from, size_t room);
size_t library_strlcpy(char *to, const char *from, size_t room)
{
    return (size_t)snprintf(to, room, "%s", from);
}

/* ------------------------------------------------------------------ called by zmq_ctx_new */

int pgm_init(void **error);
int pgm_init(void **error)
{
    (void)error;
    return 1;
}

int pgm_shutdown(void);
int pgm_shutdown(void)
{
    return 1;
}

/* ------------------------------------------------------------------ never called */

/* Data that the functions below would be given. */
extern const void *const NORM_INSTANCE_INVALID, *const NORM_SESSION_INVALID, *const NORM_OBJECT_INVALID;
extern const unsigned NORM_NODE_ANY;
extern const void *const GSS_C_NT_USER_NAME, *const GSS_C_NT_HOSTBASED_SERVICE;

const void *const NORM_INSTANCE_INVALID = NULL, *const NORM_SESSION_INVALID = NULL, *const NORM_OBJECT_INVALID = NULL;
const unsigned NORM_NODE_ANY = 0xffffffff;
const void *const GSS_C_NT_USER_NAME = NULL, *const GSS_C_NT_HOSTBASED_SERVICE = NULL;

/* clang-format off */
STUB(pgm_bind3) STUB(pgm_close) STUB(pgm_connect) STUB(pgm_error_free) STUB(pgm_free)
STUB(pgm_freeaddrinfo) STUB(pgm_getaddrinfo) STUB(pgm_getsockopt) STUB(pgm_gsi_create_from_data)
STUB(pgm_recvmsgv) STUB(pgm_send) STUB(pgm_setsockopt) STUB(pgm_socket)

STUB(NormCreateInstance) STUB(NormCreateSession) STUB(NormDestroyInstance) STUB(NormDestroySession)
STUB(NormGetDescriptor) STUB(NormGetNextEvent) STUB(NormGetRandomSessionId) STUB(NormIsUnicastAddress)
STUB(NormNodeDelete) STUB(NormObjectGetType) STUB(NormObjectGetUserData) STUB(NormObjectSetUserData)
STUB(NormSetCongestionControl) STUB(NormSetDefaultSyncPolicy) STUB(NormSetDefaultUnicastNack)
STUB(NormSetLoopback) STUB(NormSetMulticastInterface) STUB(NormSetRxPortReuse) STUB(NormSetTTL)
STUB(NormStartReceiver) STUB(NormStartSender) STUB(NormStopInstance) STUB(NormStopReceiver)
STUB(NormStopSender) STUB(NormStreamFlush) STUB(NormStreamOpen) STUB(NormStreamRead)
STUB(NormStreamSeekMsgStart) STUB(NormStreamWrite)

STUB(gss_accept_sec_context) STUB(gss_acquire_cred) STUB(gss_delete_sec_context)
STUB(gss_display_name) STUB(gss_import_name) STUB(gss_init_sec_context) STUB(gss_release_buffer)
STUB(gss_release_cred) STUB(gss_release_name) STUB(gss_unwrap) STUB(gss_wrap)

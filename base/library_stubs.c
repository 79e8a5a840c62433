/* Stubs for libraries that the archives of libzmq and libmicrohttpd refer to and Sluice never uses: see archives.cmake.
 *
 * Why they cannot be reached: Sluice's sockets are PUSH, PULL, ROUTER, DEALER and PAIR, which libzmq refuses to open on
 * pgm, epgm and norm endpoints (EPROTONOSUPPORT, ENOCOMPATPROTO). A peer cannot choose GSSAPI, because the listener's
 * own mechanism decides. No HTTP listener is started with MHD_USE_TLS.
 *
 * Functions called at start-up do nothing and report success; every other stub prints its name and aborts the
 * process. */
#include <stdio.h>
#include <stdlib.h>

/* ------------------------------------------------------------------ called by zmq_ctx_new and MHD_start_daemon */

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

int gnutls_global_init(void);
int gnutls_global_init(void)
{
    return 0;
}

void gnutls_global_deinit(void);
void gnutls_global_deinit(void)
{
}

/* ------------------------------------------------------------------ never called */

/* Data that the functions below would be given. */
extern const void *const NORM_INSTANCE_INVALID, *const NORM_SESSION_INVALID, *const NORM_OBJECT_INVALID;
extern const unsigned NORM_NODE_ANY;
extern const void *const GSS_C_NT_USER_NAME, *const GSS_C_NT_HOSTBASED_SERVICE;
extern void *(*const gnutls_malloc)(size_t size);

const void *const NORM_INSTANCE_INVALID = NULL, *const NORM_SESSION_INVALID = NULL, *const NORM_OBJECT_INVALID = NULL;
const unsigned NORM_NODE_ANY = 0xffffffff;
const void *const GSS_C_NT_USER_NAME = NULL, *const GSS_C_NT_HOSTBASED_SERVICE = NULL;
void *(*const gnutls_malloc)(size_t size) = malloc;

static _Noreturn void end(const char *name)
{
    fprintf(stderr, "%s was called, but this program has only a stub of it (base/library_stubs.c)\n", name);
    abort();
}

#define STUB(name)                                                                                                     \
    _Noreturn void name(void);                                                                                         \
    _Noreturn void name(void)                                                                                          \
    {                                                                                                                  \
        end(#name);                                                                                                    \
    }

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

STUB(gnutls_alpn_set_protocols) STUB(gnutls_bye) STUB(gnutls_certificate_allocate_credentials)
STUB(gnutls_certificate_free_credentials) STUB(gnutls_certificate_server_set_request)
STUB(gnutls_certificate_set_dh_params) STUB(gnutls_certificate_set_retrieve_function2)
STUB(gnutls_certificate_set_retrieve_function3) STUB(gnutls_certificate_set_x509_key_mem)
STUB(gnutls_certificate_set_x509_key_mem2) STUB(gnutls_certificate_set_x509_trust_mem)
STUB(gnutls_cipher_get) STUB(gnutls_credentials_set) STUB(gnutls_deinit) STUB(gnutls_dh_params_deinit)
STUB(gnutls_dh_params_import_pkcs3) STUB(gnutls_dh_params_init) STUB(gnutls_handshake)
STUB(gnutls_init) STUB(gnutls_priority_deinit) STUB(gnutls_priority_init) STUB(gnutls_priority_set)
STUB(gnutls_protocol_get_version) STUB(gnutls_psk_allocate_server_credentials)
STUB(gnutls_psk_free_server_credentials) STUB(gnutls_psk_set_server_credentials_function)
STUB(gnutls_record_check_pending) STUB(gnutls_record_get_direction) STUB(gnutls_record_recv)
STUB(gnutls_record_send) STUB(gnutls_session_get_ptr) STUB(gnutls_session_set_ptr)
STUB(gnutls_strerror) STUB(gnutls_transport_set_int2)

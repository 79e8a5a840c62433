/* Stands in for the libraries that the archives of libzmq and libmicrohttpd name and Sluice never calls: see
 * archives.cmake. Sluice's sockets are PUSH, PULL, ROUTER, DEALER and PAIR, which libzmq refuses to open on pgm, epgm and
 * norm endpoints (EPROTONOSUPPORT, ENOCOMPATPROTO); a peer cannot choose GSSAPI, for the listener's own mechanism decides;
 * and no HTTP listener is started with MHD_USE_TLS. What their start-up calls does nothing and says that it went well; the
 * rest ends the process and says its name. */
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

/* Data that the calls below would have been given. */
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
    fprintf(stderr, "%s was called, and is left out of this program (base/left_out.c)\n", name);
    abort();
}

#define LEFT_OUT(name)                                                                                                 \
    _Noreturn void name(void);                                                                                         \
    _Noreturn void name(void)                                                                                          \
    {                                                                                                                  \
        end(#name);                                                                                                    \
    }

/* clang-format off */
LEFT_OUT(pgm_bind3) LEFT_OUT(pgm_close) LEFT_OUT(pgm_connect) LEFT_OUT(pgm_error_free) LEFT_OUT(pgm_free)
LEFT_OUT(pgm_freeaddrinfo) LEFT_OUT(pgm_getaddrinfo) LEFT_OUT(pgm_getsockopt) LEFT_OUT(pgm_gsi_create_from_data)
LEFT_OUT(pgm_recvmsgv) LEFT_OUT(pgm_send) LEFT_OUT(pgm_setsockopt) LEFT_OUT(pgm_socket)

LEFT_OUT(NormCreateInstance) LEFT_OUT(NormCreateSession) LEFT_OUT(NormDestroyInstance) LEFT_OUT(NormDestroySession)
LEFT_OUT(NormGetDescriptor) LEFT_OUT(NormGetNextEvent) LEFT_OUT(NormGetRandomSessionId) LEFT_OUT(NormIsUnicastAddress)
LEFT_OUT(NormNodeDelete) LEFT_OUT(NormObjectGetType) LEFT_OUT(NormObjectGetUserData) LEFT_OUT(NormObjectSetUserData)
LEFT_OUT(NormSetCongestionControl) LEFT_OUT(NormSetDefaultSyncPolicy) LEFT_OUT(NormSetDefaultUnicastNack)
LEFT_OUT(NormSetLoopback) LEFT_OUT(NormSetMulticastInterface) LEFT_OUT(NormSetRxPortReuse) LEFT_OUT(NormSetTTL)
LEFT_OUT(NormStartReceiver) LEFT_OUT(NormStartSender) LEFT_OUT(NormStopInstance) LEFT_OUT(NormStopReceiver)
LEFT_OUT(NormStopSender) LEFT_OUT(NormStreamFlush) LEFT_OUT(NormStreamOpen) LEFT_OUT(NormStreamRead)
LEFT_OUT(NormStreamSeekMsgStart) LEFT_OUT(NormStreamWrite)

LEFT_OUT(gss_accept_sec_context) LEFT_OUT(gss_acquire_cred) LEFT_OUT(gss_delete_sec_context)
LEFT_OUT(gss_display_name) LEFT_OUT(gss_import_name) LEFT_OUT(gss_init_sec_context) LEFT_OUT(gss_release_buffer)
LEFT_OUT(gss_release_cred) LEFT_OUT(gss_release_name) LEFT_OUT(gss_unwrap) LEFT_OUT(gss_wrap)

LEFT_OUT(gnutls_alpn_set_protocols) LEFT_OUT(gnutls_bye) LEFT_OUT(gnutls_certificate_allocate_credentials)
LEFT_OUT(gnutls_certificate_free_credentials) LEFT_OUT(gnutls_certificate_server_set_request)
LEFT_OUT(gnutls_certificate_set_dh_params) LEFT_OUT(gnutls_certificate_set_retrieve_function2)
LEFT_OUT(gnutls_certificate_set_retrieve_function3) LEFT_OUT(gnutls_certificate_set_x509_key_mem)
LEFT_OUT(gnutls_certificate_set_x509_key_mem2) LEFT_OUT(gnutls_certificate_set_x509_trust_mem)
LEFT_OUT(gnutls_cipher_get) LEFT_OUT(gnutls_credentials_set) LEFT_OUT(gnutls_deinit) LEFT_OUT(gnutls_dh_params_deinit)
LEFT_OUT(gnutls_dh_params_import_pkcs3) LEFT_OUT(gnutls_dh_params_init) LEFT_OUT(gnutls_handshake)
LEFT_OUT(gnutls_init) LEFT_OUT(gnutls_priority_deinit) LEFT_OUT(gnutls_priority_init) LEFT_OUT(gnutls_priority_set)
LEFT_OUT(gnutls_protocol_get_version) LEFT_OUT(gnutls_psk_allocate_server_credentials)
LEFT_OUT(gnutls_psk_free_server_credentials) LEFT_OUT(gnutls_psk_set_server_credentials_function)
LEFT_OUT(gnutls_record_check_pending) LEFT_OUT(gnutls_record_get_direction) LEFT_OUT(gnutls_record_recv)
LEFT_OUT(gnutls_record_send) LEFT_OUT(gnutls_session_get_ptr) LEFT_OUT(gnutls_session_set_ptr)
LEFT_OUT(gnutls_strerror) LEFT_OUT(gnutls_transport_set_int2)

/* Stubs as in library_stubs.c, for the archive of libcurl. The sidecar pushes with it over plain HTTP/1.1 only
 * (sidecar/push), so TLS, HTTP/2, SSH, LDAP, RTMP, GSSAPI, international names, cookies' public suffixes and compressed
 * answers are linked but never used.
 *
 * Functions called at start-up do nothing and report success. A peer can reach only the decoders, by a
 * Transfer-Encoding that it was not offered: their initialisation fails, and libcurl treats the answer as broken.
 * Every other stub prints its name and aborts the process. */
#include "base/library_stub.h"

#include <stddef.h>

/* ------------------------------------------------------------------ called by curl_global_init, curl_global_cleanup */

int OPENSSL_init_ssl(unsigned long long options, const void *settings);
int OPENSSL_init_ssl(unsigned long long options, const void *settings)
{
    (void)options, (void)settings;
    return 1;
}

int libssh2_init(int flags);
int libssh2_init(int flags)
{
    (void)flags;
    return 0;
}

void libssh2_exit(void);
void libssh2_exit(void)
{
}

/* ------------------------------------------------------------------ called for an answer's Transfer-Encoding */

void *BrotliDecoderCreateInstance(void *allocate, void *release, void *context);
void *BrotliDecoderCreateInstance(void *allocate, void *release, void *context)
{
    (void)allocate, (void)release, (void)context;
    return NULL;
}

void *ZSTD_createDStream(void);
void *ZSTD_createDStream(void)
{
    return NULL;
}

const char *zlibVersion(void);
const char *zlibVersion(void)
{
    return "0";
}

#define NO_MEMORY (-4) /* Z_MEM_ERROR */

int inflateInit_(void *stream, const char *version, int size);
int inflateInit_(void *stream, const char *version, int size)
{
    (void)stream, (void)version, (void)size;
    return NO_MEMORY;
}

int inflateInit2_(void *stream, int bits, const char *version, int size);
int inflateInit2_(void *stream, int bits, const char *version, int size)
{
    (void)stream, (void)bits, (void)version, (void)size;
    return NO_MEMORY;
}

/* ------------------------------------------------------------------ never called */

/* clang-format off */
STUB(ASN1_STRING_get0_data) STUB(ASN1_STRING_length) STUB(ASN1_STRING_print) STUB(ASN1_STRING_to_UTF8)
STUB(ASN1_STRING_type) STUB(ASN1_TIME_print) STUB(BN_clear_free) STUB(BN_num_bits) STUB(BN_print)
STUB(CRYPTO_free) STUB(CRYPTO_malloc) STUB(DES_ecb_encrypt) STUB(DES_set_key_unchecked)
STUB(DES_set_odd_parity) STUB(ERR_clear_error) STUB(ERR_error_string_n) STUB(ERR_get_error)
STUB(ERR_peek_error) STUB(ERR_peek_last_error) STUB(EVP_DigestFinal_ex) STUB(EVP_DigestInit)
STUB(EVP_DigestInit_ex) STUB(EVP_DigestUpdate) STUB(EVP_MD_CTX_free) STUB(EVP_MD_CTX_new)
STUB(EVP_PKEY_copy_parameters) STUB(EVP_PKEY_free) STUB(EVP_PKEY_get1_RSA) STUB(EVP_PKEY_get_bn_param)
STUB(EVP_PKEY_get_id) STUB(EVP_sha1) STUB(EVP_sha256) STUB(GENERAL_NAMES_free) STUB(MD5_Final)
STUB(MD5_Init) STUB(MD5_Update) STUB(OPENSSL_sk_num) STUB(OPENSSL_sk_pop) STUB(OPENSSL_sk_pop_free)
STUB(OPENSSL_sk_value) STUB(OpenSSL_version) STUB(PEM_X509_INFO_read_bio) STUB(PEM_read_bio_PrivateKey)
STUB(PEM_read_bio_X509) STUB(PEM_read_bio_X509_AUX) STUB(PEM_write_bio_X509) STUB(PKCS12_PBE_add)
STUB(PKCS12_free) STUB(PKCS12_parse) STUB(RAND_bytes) STUB(RAND_status) STUB(RSA_flags)
STUB(RSA_free) STUB(TLS_client_method) STUB(d2i_OCSP_RESPONSE) STUB(d2i_PKCS12_bio)
STUB(d2i_PrivateKey_bio) STUB(d2i_X509_bio) STUB(i2a_ASN1_OBJECT) STUB(i2d_X509_PUBKEY)
STUB(i2t_ASN1_OBJECT)

STUB(BIO_clear_flags) STUB(BIO_ctrl) STUB(BIO_free) STUB(BIO_get_data) STUB(BIO_get_shutdown)
STUB(BIO_meth_free) STUB(BIO_meth_new) STUB(BIO_meth_set_create) STUB(BIO_meth_set_ctrl)
STUB(BIO_meth_set_destroy) STUB(BIO_meth_set_read) STUB(BIO_meth_set_write) STUB(BIO_new)
STUB(BIO_new_mem_buf) STUB(BIO_printf) STUB(BIO_puts) STUB(BIO_s_file) STUB(BIO_s_mem)
STUB(BIO_set_data) STUB(BIO_set_flags) STUB(BIO_set_init) STUB(BIO_set_shutdown) STUB(BIO_up_ref)

STUB(BrotliDecoderDecompressStream) STUB(BrotliDecoderDestroyInstance) STUB(BrotliDecoderGetErrorCode)

STUB(ENGINE_by_id) STUB(ENGINE_ctrl) STUB(ENGINE_ctrl_cmd) STUB(ENGINE_finish) STUB(ENGINE_free)
STUB(ENGINE_get_first) STUB(ENGINE_get_id) STUB(ENGINE_get_next) STUB(ENGINE_init)
STUB(ENGINE_load_private_key) STUB(ENGINE_set_default)

STUB(OCSP_BASICRESP_free) STUB(OCSP_CERTID_free) STUB(OCSP_RESPONSE_free) STUB(OCSP_basic_verify)
STUB(OCSP_cert_status_str) STUB(OCSP_cert_to_id) STUB(OCSP_check_validity) STUB(OCSP_crl_reason_str)
STUB(OCSP_resp_find_status) STUB(OCSP_response_get1_basic) STUB(OCSP_response_status)
STUB(OCSP_response_status_str)

STUB(RTMP_Alloc) STUB(RTMP_Close) STUB(RTMP_Connect1) STUB(RTMP_ConnectStream) STUB(RTMP_Free)
STUB(RTMP_Init) STUB(RTMP_Read) STUB(RTMP_SetBufferMS) STUB(RTMP_SetupURL) STUB(RTMP_Write)

STUB(SSL_CIPHER_get_name) STUB(SSL_CTX_add_client_CA) STUB(SSL_CTX_check_private_key) STUB(SSL_CTX_ctrl)
STUB(SSL_CTX_free) STUB(SSL_CTX_get_cert_store) STUB(SSL_CTX_new) STUB(SSL_CTX_sess_set_new_cb)
STUB(SSL_CTX_set_alpn_protos) STUB(SSL_CTX_set_cert_store) STUB(SSL_CTX_set_cipher_list)
STUB(SSL_CTX_set_ciphersuites) STUB(SSL_CTX_set_default_passwd_cb)
STUB(SSL_CTX_set_default_passwd_cb_userdata) STUB(SSL_CTX_set_keylog_callback)
STUB(SSL_CTX_set_msg_callback) STUB(SSL_CTX_set_options) STUB(SSL_CTX_set_post_handshake_auth)
STUB(SSL_CTX_set_srp_password) STUB(SSL_CTX_set_srp_username) STUB(SSL_CTX_set_verify)
STUB(SSL_CTX_use_PrivateKey) STUB(SSL_CTX_use_PrivateKey_file) STUB(SSL_CTX_use_certificate)
STUB(SSL_CTX_use_certificate_chain_file) STUB(SSL_CTX_use_certificate_file) STUB(SSL_SESSION_free)
STUB(SSL_alert_desc_string_long) STUB(SSL_connect) STUB(SSL_ctrl) STUB(SSL_free)
STUB(SSL_get0_alpn_selected) STUB(SSL_get1_peer_certificate) STUB(SSL_get_certificate)
STUB(SSL_get_current_cipher) STUB(SSL_get_error) STUB(SSL_get_ex_data) STUB(SSL_get_peer_cert_chain)
STUB(SSL_get_privatekey) STUB(SSL_get_shutdown) STUB(SSL_get_verify_result) STUB(SSL_get_version)
STUB(SSL_new) STUB(SSL_pending) STUB(SSL_read) STUB(SSL_set0_rbio) STUB(SSL_set0_wbio)
STUB(SSL_set_connect_state) STUB(SSL_set_ex_data) STUB(SSL_set_session) STUB(SSL_shutdown)
STUB(SSL_write)

STUB(UI_OpenSSL) STUB(UI_create_method) STUB(UI_destroy_method) STUB(UI_get0_user_data)
STUB(UI_get_input_flags) STUB(UI_get_string_type) STUB(UI_method_get_closer) STUB(UI_method_get_opener)
STUB(UI_method_get_reader) STUB(UI_method_get_writer) STUB(UI_method_set_closer)
STUB(UI_method_set_opener) STUB(UI_method_set_reader) STUB(UI_method_set_writer) STUB(UI_set_result)

STUB(X509V3_EXT_print) STUB(X509_EXTENSION_get_data) STUB(X509_EXTENSION_get_object)
STUB(X509_INFO_free) STUB(X509_LOOKUP_file) STUB(X509_NAME_ENTRY_get_data) STUB(X509_NAME_get_entry)
STUB(X509_NAME_get_index_by_NID) STUB(X509_NAME_print_ex) STUB(X509_PUBKEY_get0_param)
STUB(X509_STORE_add_cert) STUB(X509_STORE_add_crl) STUB(X509_STORE_add_lookup) STUB(X509_STORE_free)
STUB(X509_STORE_load_file) STUB(X509_STORE_load_path) STUB(X509_STORE_set_flags) STUB(X509_STORE_up_ref)
STUB(X509_check_issued) STUB(X509_free) STUB(X509_get0_extensions) STUB(X509_get0_notAfter)
STUB(X509_get0_notBefore) STUB(X509_get0_signature) STUB(X509_get_X509_PUBKEY) STUB(X509_get_ext_d2i)
STUB(X509_get_issuer_name) STUB(X509_get_pubkey) STUB(X509_get_serialNumber) STUB(X509_get_subject_name)
STUB(X509_get_version) STUB(X509_load_crl_file) STUB(X509_verify_cert_error_string)

STUB(ZSTD_decompressStream) STUB(ZSTD_freeDStream) STUB(ZSTD_isError)

STUB(ber_bvfree) STUB(ber_free) STUB(ber_memfree) STUB(ber_sockbuf_add_io)

STUB(gss_display_status) STUB(gss_inquire_context)

STUB(idn2_check_version) STUB(idn2_free) STUB(idn2_lookup_ul)

STUB(inflate) STUB(inflateEnd)

STUB(ldap_abandon_ext) STUB(ldap_err2string) STUB(ldap_free_urldesc) STUB(ldap_get_attribute_ber)
STUB(ldap_get_dn_ber) STUB(ldap_get_option) STUB(ldap_init_fd) STUB(ldap_memfree) STUB(ldap_msgfree)
STUB(ldap_msgtype) STUB(ldap_parse_result) STUB(ldap_parse_sasl_bind_result)
STUB(ldap_pvt_url_scheme2proto) STUB(ldap_result) STUB(ldap_sasl_bind) STUB(ldap_search_ext)
STUB(ldap_set_option) STUB(ldap_start_tls) STUB(ldap_unbind_ext) STUB(ldap_url_parse)

STUB(libssh2_agent_connect) STUB(libssh2_agent_disconnect) STUB(libssh2_agent_free)
STUB(libssh2_agent_get_identity) STUB(libssh2_agent_init) STUB(libssh2_agent_list_identities)
STUB(libssh2_agent_userauth) STUB(libssh2_channel_free) STUB(libssh2_channel_read_ex)
STUB(libssh2_channel_send_eof) STUB(libssh2_channel_wait_closed) STUB(libssh2_channel_wait_eof)
STUB(libssh2_channel_write_ex) STUB(libssh2_hostkey_hash) STUB(libssh2_knownhost_add)
STUB(libssh2_knownhost_checkp) STUB(libssh2_knownhost_del) STUB(libssh2_knownhost_free)
STUB(libssh2_knownhost_get) STUB(libssh2_knownhost_init) STUB(libssh2_knownhost_readfile)
STUB(libssh2_knownhost_writefile) STUB(libssh2_scp_recv2) STUB(libssh2_scp_send64)
STUB(libssh2_session_abstract) STUB(libssh2_session_block_directions) STUB(libssh2_session_callback_set)
STUB(libssh2_session_disconnect_ex) STUB(libssh2_session_flag) STUB(libssh2_session_free)
STUB(libssh2_session_handshake) STUB(libssh2_session_hostkey) STUB(libssh2_session_init_ex)
STUB(libssh2_session_last_errno) STUB(libssh2_session_last_error) STUB(libssh2_session_method_pref)
STUB(libssh2_session_set_blocking) STUB(libssh2_sftp_close_handle) STUB(libssh2_sftp_init)
STUB(libssh2_sftp_last_error) STUB(libssh2_sftp_mkdir_ex) STUB(libssh2_sftp_open_ex)
STUB(libssh2_sftp_read) STUB(libssh2_sftp_readdir_ex) STUB(libssh2_sftp_rename_ex)
STUB(libssh2_sftp_rmdir_ex) STUB(libssh2_sftp_seek64) STUB(libssh2_sftp_shutdown)
STUB(libssh2_sftp_stat_ex) STUB(libssh2_sftp_statvfs) STUB(libssh2_sftp_symlink_ex)
STUB(libssh2_sftp_unlink_ex) STUB(libssh2_sftp_write) STUB(libssh2_userauth_authenticated)
STUB(libssh2_userauth_keyboard_interactive_ex) STUB(libssh2_userauth_list)
STUB(libssh2_userauth_password_ex) STUB(libssh2_userauth_publickey_fromfile_ex) STUB(libssh2_version)

STUB(nghttp2_http2_strerror) STUB(nghttp2_is_fatal) STUB(nghttp2_option_del) STUB(nghttp2_option_new)
STUB(nghttp2_option_set_no_rfc9113_leading_and_trailing_ws_validation) STUB(nghttp2_pack_settings_payload)
STUB(nghttp2_priority_spec_init) STUB(nghttp2_session_callbacks_del) STUB(nghttp2_session_callbacks_new)
STUB(nghttp2_session_callbacks_set_error_callback) STUB(nghttp2_session_callbacks_set_on_begin_headers_callback)
STUB(nghttp2_session_callbacks_set_on_data_chunk_recv_callback)
STUB(nghttp2_session_callbacks_set_on_frame_recv_callback)
STUB(nghttp2_session_callbacks_set_on_header_callback)
STUB(nghttp2_session_callbacks_set_on_stream_close_callback) STUB(nghttp2_session_callbacks_set_send_callback)
STUB(nghttp2_session_check_request_allowed) STUB(nghttp2_session_client_new2) STUB(nghttp2_session_del)
STUB(nghttp2_session_get_remote_settings) STUB(nghttp2_session_get_remote_window_size)
STUB(nghttp2_session_get_stream_remote_window_size) STUB(nghttp2_session_get_stream_user_data)
STUB(nghttp2_session_mem_recv) STUB(nghttp2_session_resume_data) STUB(nghttp2_session_send)
STUB(nghttp2_session_set_local_window_size) STUB(nghttp2_session_set_stream_user_data)
STUB(nghttp2_session_upgrade2) STUB(nghttp2_session_want_read) STUB(nghttp2_session_want_write)
STUB(nghttp2_strerror) STUB(nghttp2_submit_ping) STUB(nghttp2_submit_priority)
STUB(nghttp2_submit_request) STUB(nghttp2_submit_rst_stream) STUB(nghttp2_submit_settings)
STUB(nghttp2_version)

STUB(psl_builtin) STUB(psl_free) STUB(psl_is_cookie_domain_acceptable) STUB(psl_latest)

/* The same as left_out.c for the archive of libcurl, which the sidecar pushes with, by plain HTTP/1.1 and nothing else
 * (sidecar/push): TLS, HTTP/2, SSH, LDAP, RTMP, GSSAPI, international names, cookies' public suffixes and compressed answers
 * are names that it links with and never calls. What starts them when libcurl does does nothing and says that it went well.
 * A peer can ask for one of them only by a Transfer-Encoding that nobody offered it: beginning to decode it fails, which
 * ends that answer as broken. The rest ends the process and says its name. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

/* ------------------------------------------------------------------ called by curl_global_init and curl_global_cleanup */

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

/* ------------------------------------------------------------------ called by an answer's Transfer-Encoding: br, zstd, gzip */

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

static _Noreturn void end(const char *name)
{
    fprintf(stderr, "%s was called, and is left out of this program (base/left_out_curl.c)\n", name);
    abort();
}

#define LEFT_OUT(name)                                                                                                 \
    _Noreturn void name(void);                                                                                         \
    _Noreturn void name(void)                                                                                          \
    {                                                                                                                  \
        end(#name);                                                                                                    \
    }

/* clang-format off */
LEFT_OUT(ASN1_STRING_get0_data) LEFT_OUT(ASN1_STRING_length) LEFT_OUT(ASN1_STRING_print) LEFT_OUT(ASN1_STRING_to_UTF8)
LEFT_OUT(ASN1_STRING_type) LEFT_OUT(ASN1_TIME_print) LEFT_OUT(BN_clear_free) LEFT_OUT(BN_num_bits) LEFT_OUT(BN_print)
LEFT_OUT(CRYPTO_free) LEFT_OUT(CRYPTO_malloc) LEFT_OUT(DES_ecb_encrypt) LEFT_OUT(DES_set_key_unchecked)
LEFT_OUT(DES_set_odd_parity) LEFT_OUT(ERR_clear_error) LEFT_OUT(ERR_error_string_n) LEFT_OUT(ERR_get_error)
LEFT_OUT(ERR_peek_error) LEFT_OUT(ERR_peek_last_error) LEFT_OUT(EVP_DigestFinal_ex) LEFT_OUT(EVP_DigestInit)
LEFT_OUT(EVP_DigestInit_ex) LEFT_OUT(EVP_DigestUpdate) LEFT_OUT(EVP_MD_CTX_free) LEFT_OUT(EVP_MD_CTX_new)
LEFT_OUT(EVP_PKEY_copy_parameters) LEFT_OUT(EVP_PKEY_free) LEFT_OUT(EVP_PKEY_get1_RSA) LEFT_OUT(EVP_PKEY_get_bn_param)
LEFT_OUT(EVP_PKEY_get_id) LEFT_OUT(EVP_sha1) LEFT_OUT(EVP_sha256) LEFT_OUT(GENERAL_NAMES_free) LEFT_OUT(MD5_Final)
LEFT_OUT(MD5_Init) LEFT_OUT(MD5_Update) LEFT_OUT(OPENSSL_sk_num) LEFT_OUT(OPENSSL_sk_pop) LEFT_OUT(OPENSSL_sk_pop_free)
LEFT_OUT(OPENSSL_sk_value) LEFT_OUT(OpenSSL_version) LEFT_OUT(PEM_X509_INFO_read_bio) LEFT_OUT(PEM_read_bio_PrivateKey)
LEFT_OUT(PEM_read_bio_X509) LEFT_OUT(PEM_read_bio_X509_AUX) LEFT_OUT(PEM_write_bio_X509) LEFT_OUT(PKCS12_PBE_add)
LEFT_OUT(PKCS12_free) LEFT_OUT(PKCS12_parse) LEFT_OUT(RAND_bytes) LEFT_OUT(RAND_status) LEFT_OUT(RSA_flags)
LEFT_OUT(RSA_free) LEFT_OUT(TLS_client_method) LEFT_OUT(d2i_OCSP_RESPONSE) LEFT_OUT(d2i_PKCS12_bio)
LEFT_OUT(d2i_PrivateKey_bio) LEFT_OUT(d2i_X509_bio) LEFT_OUT(i2a_ASN1_OBJECT) LEFT_OUT(i2d_X509_PUBKEY)
LEFT_OUT(i2t_ASN1_OBJECT)

LEFT_OUT(BIO_clear_flags) LEFT_OUT(BIO_ctrl) LEFT_OUT(BIO_free) LEFT_OUT(BIO_get_data) LEFT_OUT(BIO_get_shutdown)
LEFT_OUT(BIO_meth_free) LEFT_OUT(BIO_meth_new) LEFT_OUT(BIO_meth_set_create) LEFT_OUT(BIO_meth_set_ctrl)
LEFT_OUT(BIO_meth_set_destroy) LEFT_OUT(BIO_meth_set_read) LEFT_OUT(BIO_meth_set_write) LEFT_OUT(BIO_new)
LEFT_OUT(BIO_new_mem_buf) LEFT_OUT(BIO_printf) LEFT_OUT(BIO_puts) LEFT_OUT(BIO_s_file) LEFT_OUT(BIO_s_mem)
LEFT_OUT(BIO_set_data) LEFT_OUT(BIO_set_flags) LEFT_OUT(BIO_set_init) LEFT_OUT(BIO_set_shutdown) LEFT_OUT(BIO_up_ref)

LEFT_OUT(BrotliDecoderDecompressStream) LEFT_OUT(BrotliDecoderDestroyInstance) LEFT_OUT(BrotliDecoderGetErrorCode)

LEFT_OUT(ENGINE_by_id) LEFT_OUT(ENGINE_ctrl) LEFT_OUT(ENGINE_ctrl_cmd) LEFT_OUT(ENGINE_finish) LEFT_OUT(ENGINE_free)
LEFT_OUT(ENGINE_get_first) LEFT_OUT(ENGINE_get_id) LEFT_OUT(ENGINE_get_next) LEFT_OUT(ENGINE_init)
LEFT_OUT(ENGINE_load_private_key) LEFT_OUT(ENGINE_set_default)

LEFT_OUT(OCSP_BASICRESP_free) LEFT_OUT(OCSP_CERTID_free) LEFT_OUT(OCSP_RESPONSE_free) LEFT_OUT(OCSP_basic_verify)
LEFT_OUT(OCSP_cert_status_str) LEFT_OUT(OCSP_cert_to_id) LEFT_OUT(OCSP_check_validity) LEFT_OUT(OCSP_crl_reason_str)
LEFT_OUT(OCSP_resp_find_status) LEFT_OUT(OCSP_response_get1_basic) LEFT_OUT(OCSP_response_status)
LEFT_OUT(OCSP_response_status_str)

LEFT_OUT(RTMP_Alloc) LEFT_OUT(RTMP_Close) LEFT_OUT(RTMP_Connect1) LEFT_OUT(RTMP_ConnectStream) LEFT_OUT(RTMP_Free)
LEFT_OUT(RTMP_Init) LEFT_OUT(RTMP_Read) LEFT_OUT(RTMP_SetBufferMS) LEFT_OUT(RTMP_SetupURL) LEFT_OUT(RTMP_Write)

LEFT_OUT(SSL_CIPHER_get_name) LEFT_OUT(SSL_CTX_add_client_CA) LEFT_OUT(SSL_CTX_check_private_key) LEFT_OUT(SSL_CTX_ctrl)
LEFT_OUT(SSL_CTX_free) LEFT_OUT(SSL_CTX_get_cert_store) LEFT_OUT(SSL_CTX_new) LEFT_OUT(SSL_CTX_sess_set_new_cb)
LEFT_OUT(SSL_CTX_set_alpn_protos) LEFT_OUT(SSL_CTX_set_cert_store) LEFT_OUT(SSL_CTX_set_cipher_list)
LEFT_OUT(SSL_CTX_set_ciphersuites) LEFT_OUT(SSL_CTX_set_default_passwd_cb)
LEFT_OUT(SSL_CTX_set_default_passwd_cb_userdata) LEFT_OUT(SSL_CTX_set_keylog_callback)
LEFT_OUT(SSL_CTX_set_msg_callback) LEFT_OUT(SSL_CTX_set_options) LEFT_OUT(SSL_CTX_set_post_handshake_auth)
LEFT_OUT(SSL_CTX_set_srp_password) LEFT_OUT(SSL_CTX_set_srp_username) LEFT_OUT(SSL_CTX_set_verify)
LEFT_OUT(SSL_CTX_use_PrivateKey) LEFT_OUT(SSL_CTX_use_PrivateKey_file) LEFT_OUT(SSL_CTX_use_certificate)
LEFT_OUT(SSL_CTX_use_certificate_chain_file) LEFT_OUT(SSL_CTX_use_certificate_file) LEFT_OUT(SSL_SESSION_free)
LEFT_OUT(SSL_alert_desc_string_long) LEFT_OUT(SSL_connect) LEFT_OUT(SSL_ctrl) LEFT_OUT(SSL_free)
LEFT_OUT(SSL_get0_alpn_selected) LEFT_OUT(SSL_get1_peer_certificate) LEFT_OUT(SSL_get_certificate)
LEFT_OUT(SSL_get_current_cipher) LEFT_OUT(SSL_get_error) LEFT_OUT(SSL_get_ex_data) LEFT_OUT(SSL_get_peer_cert_chain)
LEFT_OUT(SSL_get_privatekey) LEFT_OUT(SSL_get_shutdown) LEFT_OUT(SSL_get_verify_result) LEFT_OUT(SSL_get_version)
LEFT_OUT(SSL_new) LEFT_OUT(SSL_pending) LEFT_OUT(SSL_read) LEFT_OUT(SSL_set0_rbio) LEFT_OUT(SSL_set0_wbio)
LEFT_OUT(SSL_set_connect_state) LEFT_OUT(SSL_set_ex_data) LEFT_OUT(SSL_set_session) LEFT_OUT(SSL_shutdown)
LEFT_OUT(SSL_write)

LEFT_OUT(UI_OpenSSL) LEFT_OUT(UI_create_method) LEFT_OUT(UI_destroy_method) LEFT_OUT(UI_get0_user_data)
LEFT_OUT(UI_get_input_flags) LEFT_OUT(UI_get_string_type) LEFT_OUT(UI_method_get_closer) LEFT_OUT(UI_method_get_opener)
LEFT_OUT(UI_method_get_reader) LEFT_OUT(UI_method_get_writer) LEFT_OUT(UI_method_set_closer)
LEFT_OUT(UI_method_set_opener) LEFT_OUT(UI_method_set_reader) LEFT_OUT(UI_method_set_writer) LEFT_OUT(UI_set_result)

LEFT_OUT(X509V3_EXT_print) LEFT_OUT(X509_EXTENSION_get_data) LEFT_OUT(X509_EXTENSION_get_object)
LEFT_OUT(X509_INFO_free) LEFT_OUT(X509_LOOKUP_file) LEFT_OUT(X509_NAME_ENTRY_get_data) LEFT_OUT(X509_NAME_get_entry)
LEFT_OUT(X509_NAME_get_index_by_NID) LEFT_OUT(X509_NAME_print_ex) LEFT_OUT(X509_PUBKEY_get0_param)
LEFT_OUT(X509_STORE_add_cert) LEFT_OUT(X509_STORE_add_crl) LEFT_OUT(X509_STORE_add_lookup) LEFT_OUT(X509_STORE_free)
LEFT_OUT(X509_STORE_load_file) LEFT_OUT(X509_STORE_load_path) LEFT_OUT(X509_STORE_set_flags) LEFT_OUT(X509_STORE_up_ref)
LEFT_OUT(X509_check_issued) LEFT_OUT(X509_free) LEFT_OUT(X509_get0_extensions) LEFT_OUT(X509_get0_notAfter)
LEFT_OUT(X509_get0_notBefore) LEFT_OUT(X509_get0_signature) LEFT_OUT(X509_get_X509_PUBKEY) LEFT_OUT(X509_get_ext_d2i)
LEFT_OUT(X509_get_issuer_name) LEFT_OUT(X509_get_pubkey) LEFT_OUT(X509_get_serialNumber) LEFT_OUT(X509_get_subject_name)
LEFT_OUT(X509_get_version) LEFT_OUT(X509_load_crl_file) LEFT_OUT(X509_verify_cert_error_string)

LEFT_OUT(ZSTD_decompressStream) LEFT_OUT(ZSTD_freeDStream) LEFT_OUT(ZSTD_isError)

LEFT_OUT(ber_bvfree) LEFT_OUT(ber_free) LEFT_OUT(ber_memfree) LEFT_OUT(ber_sockbuf_add_io)

LEFT_OUT(gss_display_status) LEFT_OUT(gss_inquire_context)

LEFT_OUT(idn2_check_version) LEFT_OUT(idn2_free) LEFT_OUT(idn2_lookup_ul)

LEFT_OUT(inflate) LEFT_OUT(inflateEnd)

LEFT_OUT(ldap_abandon_ext) LEFT_OUT(ldap_err2string) LEFT_OUT(ldap_free_urldesc) LEFT_OUT(ldap_get_attribute_ber)
LEFT_OUT(ldap_get_dn_ber) LEFT_OUT(ldap_get_option) LEFT_OUT(ldap_init_fd) LEFT_OUT(ldap_memfree) LEFT_OUT(ldap_msgfree)
LEFT_OUT(ldap_msgtype) LEFT_OUT(ldap_parse_result) LEFT_OUT(ldap_parse_sasl_bind_result)
LEFT_OUT(ldap_pvt_url_scheme2proto) LEFT_OUT(ldap_result) LEFT_OUT(ldap_sasl_bind) LEFT_OUT(ldap_search_ext)
LEFT_OUT(ldap_set_option) LEFT_OUT(ldap_start_tls) LEFT_OUT(ldap_unbind_ext) LEFT_OUT(ldap_url_parse)

LEFT_OUT(libssh2_agent_connect) LEFT_OUT(libssh2_agent_disconnect) LEFT_OUT(libssh2_agent_free)
LEFT_OUT(libssh2_agent_get_identity) LEFT_OUT(libssh2_agent_init) LEFT_OUT(libssh2_agent_list_identities)
LEFT_OUT(libssh2_agent_userauth) LEFT_OUT(libssh2_channel_free) LEFT_OUT(libssh2_channel_read_ex)
LEFT_OUT(libssh2_channel_send_eof) LEFT_OUT(libssh2_channel_wait_closed) LEFT_OUT(libssh2_channel_wait_eof)
LEFT_OUT(libssh2_channel_write_ex) LEFT_OUT(libssh2_hostkey_hash) LEFT_OUT(libssh2_knownhost_add)
LEFT_OUT(libssh2_knownhost_checkp) LEFT_OUT(libssh2_knownhost_del) LEFT_OUT(libssh2_knownhost_free)
LEFT_OUT(libssh2_knownhost_get) LEFT_OUT(libssh2_knownhost_init) LEFT_OUT(libssh2_knownhost_readfile)
LEFT_OUT(libssh2_knownhost_writefile) LEFT_OUT(libssh2_scp_recv2) LEFT_OUT(libssh2_scp_send64)
LEFT_OUT(libssh2_session_abstract) LEFT_OUT(libssh2_session_block_directions) LEFT_OUT(libssh2_session_callback_set)
LEFT_OUT(libssh2_session_disconnect_ex) LEFT_OUT(libssh2_session_flag) LEFT_OUT(libssh2_session_free)
LEFT_OUT(libssh2_session_handshake) LEFT_OUT(libssh2_session_hostkey) LEFT_OUT(libssh2_session_init_ex)
LEFT_OUT(libssh2_session_last_errno) LEFT_OUT(libssh2_session_last_error) LEFT_OUT(libssh2_session_method_pref)
LEFT_OUT(libssh2_session_set_blocking) LEFT_OUT(libssh2_sftp_close_handle) LEFT_OUT(libssh2_sftp_init)
LEFT_OUT(libssh2_sftp_last_error) LEFT_OUT(libssh2_sftp_mkdir_ex) LEFT_OUT(libssh2_sftp_open_ex)
LEFT_OUT(libssh2_sftp_read) LEFT_OUT(libssh2_sftp_readdir_ex) LEFT_OUT(libssh2_sftp_rename_ex)
LEFT_OUT(libssh2_sftp_rmdir_ex) LEFT_OUT(libssh2_sftp_seek64) LEFT_OUT(libssh2_sftp_shutdown)
LEFT_OUT(libssh2_sftp_stat_ex) LEFT_OUT(libssh2_sftp_statvfs) LEFT_OUT(libssh2_sftp_symlink_ex)
LEFT_OUT(libssh2_sftp_unlink_ex) LEFT_OUT(libssh2_sftp_write) LEFT_OUT(libssh2_userauth_authenticated)
LEFT_OUT(libssh2_userauth_keyboard_interactive_ex) LEFT_OUT(libssh2_userauth_list)
LEFT_OUT(libssh2_userauth_password_ex) LEFT_OUT(libssh2_userauth_publickey_fromfile_ex) LEFT_OUT(libssh2_version)

LEFT_OUT(nghttp2_http2_strerror) LEFT_OUT(nghttp2_is_fatal) LEFT_OUT(nghttp2_option_del) LEFT_OUT(nghttp2_option_new)
LEFT_OUT(nghttp2_option_set_no_rfc9113_leading_and_trailing_ws_validation) LEFT_OUT(nghttp2_pack_settings_payload)
LEFT_OUT(nghttp2_priority_spec_init) LEFT_OUT(nghttp2_session_callbacks_del) LEFT_OUT(nghttp2_session_callbacks_new)
LEFT_OUT(nghttp2_session_callbacks_set_error_callback) LEFT_OUT(nghttp2_session_callbacks_set_on_begin_headers_callback)
LEFT_OUT(nghttp2_session_callbacks_set_on_data_chunk_recv_callback)
LEFT_OUT(nghttp2_session_callbacks_set_on_frame_recv_callback)
LEFT_OUT(nghttp2_session_callbacks_set_on_header_callback)
LEFT_OUT(nghttp2_session_callbacks_set_on_stream_close_callback) LEFT_OUT(nghttp2_session_callbacks_set_send_callback)
LEFT_OUT(nghttp2_session_check_request_allowed) LEFT_OUT(nghttp2_session_client_new2) LEFT_OUT(nghttp2_session_del)
LEFT_OUT(nghttp2_session_get_remote_settings) LEFT_OUT(nghttp2_session_get_remote_window_size)
LEFT_OUT(nghttp2_session_get_stream_remote_window_size) LEFT_OUT(nghttp2_session_get_stream_user_data)
LEFT_OUT(nghttp2_session_mem_recv) LEFT_OUT(nghttp2_session_resume_data) LEFT_OUT(nghttp2_session_send)
LEFT_OUT(nghttp2_session_set_local_window_size) LEFT_OUT(nghttp2_session_set_stream_user_data)
LEFT_OUT(nghttp2_session_upgrade2) LEFT_OUT(nghttp2_session_want_read) LEFT_OUT(nghttp2_session_want_write)
LEFT_OUT(nghttp2_strerror) LEFT_OUT(nghttp2_submit_ping) LEFT_OUT(nghttp2_submit_priority)
LEFT_OUT(nghttp2_submit_request) LEFT_OUT(nghttp2_submit_rst_stream) LEFT_OUT(nghttp2_submit_settings)
LEFT_OUT(nghttp2_version)

LEFT_OUT(psl_builtin) LEFT_OUT(psl_free) LEFT_OUT(psl_is_cookie_domain_acceptable) LEFT_OUT(psl_latest)

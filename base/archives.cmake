# Libraries of a distribution, linked as archives, for two reasons.
#
# Memory. As shared objects libzmq and libmicrohttpd load Kerberos, PGM, NORM, GnuTLS and their dependencies: 30
# libraries and two thirds of a sidecar's resident memory, for code that is never called. libcurl, which the sidecar
# pushes with, would load more. So the archives are linked, and base/library_stubs*.c instead of those libraries' entry
# points.
#
# Calls. A copy of libzmq's archive calls functions of ours where libzmq calls libc: base/io_thread.h and
# base/io_signal.h, so that an event loop can run on libzmq's I/O thread, which saves time; and base/accept.h, so that a
# lack of descriptors does not end the process. Nobody else in the program has these calls replaced, as a library
# requires.
#
# If an archive needs anything else, a probe below fails, never a running program. Then, and if an archive is missing or
# a sanitizer is on, the shared objects are linked as usual, and programs (not libraries) replace epoll_wait for all.

option(SLUICE_ARCHIVES "link archives of libraries, for less memory and fewer threads" ON)

# sluice_find_archives(OUT MISSING name...): the paths of libNAME.a; the names of those that are missing
function(sluice_find_archives OUT MISSING)
    set(FOUND)
    set(ABSENT)
    foreach(NAME ${ARGN})
        find_library(SLUICE_ARCHIVE_${NAME} NAMES lib${NAME}.a HINTS ${zmq_LIBRARY_DIRS} ${zmq_LIBDIR})
        mark_as_advanced(SLUICE_ARCHIVE_${NAME})
        if(SLUICE_ARCHIVE_${NAME})
            list(APPEND FOUND ${SLUICE_ARCHIVE_${NAME}})
        else()
            list(APPEND ABSENT lib${NAME}.a)
        endif()
    endforeach()
    # libzmq's C++ runtime is in the compiler's own folder.
    execute_process(COMMAND ${CMAKE_C_COMPILER} -print-file-name=libstdc++.a OUTPUT_VARIABLE RUNTIME
        OUTPUT_STRIP_TRAILING_WHITESPACE)
    if(IS_ABSOLUTE "${RUNTIME}")
        list(APPEND FOUND ${RUNTIME})
    else()
        list(APPEND ABSENT libstdc++.a)
    endif()
    set(${OUT} ${FOUND} PARENT_SCOPE)
    set(${MISSING} ${ABSENT} PARENT_SCOPE)
endfunction()

# ---- libzmq

# libzmq's calls of libc, and what the copy calls instead. All are renamed, or the archive is not used.
set(SLUICE_ZMQ_CALLS getpid=io_signal_getpid poll=io_signal_poll read=io_signal_read write=io_signal_write
    epoll_wait=io_thread_epoll_wait epoll_ctl=io_thread_epoll_ctl accept4=accept_connection)
# What the copy refers to instead of libc's data, because code that is not made for a shared library cannot refer to
# that from one, and instead of a function of libbsd's (library_stubs.c). Which of them it does refer to depends on the
# processor and the version.
set(SLUICE_ZMQ_OTHERS stderr=library_stderr in6addr_any=library_in6addr_any
    __libc_single_threaded=library_single_threaded strlcpy=library_strlcpy)

# As part of a shared library, the most that is asked of the copy.
set(SLUICE_ZMQ_PROBE [[
#define CALL(name) void name(void); void name(void) {}
CALL(io_signal_getpid) CALL(io_signal_poll) CALL(io_signal_read) CALL(io_signal_write)
CALL(io_thread_epoll_wait) CALL(io_thread_epoll_ctl) CALL(accept_connection)
void *zmq_ctx_new(void);
void *probe(void);
void *probe(void)
{
    return zmq_ctx_new();
}
]])

set(SLUICE_ZMQ_COPY ${PROJECT_BINARY_DIR}/libzmq-hooked.a)

# Makes the copy, anew only if it differs from the one that is there. Sets SLUICE_ZMQ_HOOKED.
function(sluice_hook_zmq)
    set(RENAMES)
    foreach(RENAME ${SLUICE_ZMQ_CALLS} ${SLUICE_ZMQ_OTHERS})
        list(APPEND RENAMES --redefine-sym ${RENAME})
    endforeach()
    execute_process(COMMAND ${CMAKE_OBJCOPY} ${RENAMES} ${SLUICE_ARCHIVE_zmq} ${SLUICE_ZMQ_COPY}.new
        RESULT_VARIABLE FAILED)
    if(NOT FAILED)
        file(COPY_FILE ${SLUICE_ZMQ_COPY}.new ${SLUICE_ZMQ_COPY} ONLY_IF_DIFFERENT)
    endif()
    execute_process(COMMAND ${CMAKE_NM} -u ${SLUICE_ZMQ_COPY} OUTPUT_VARIABLE UNDEFINED ERROR_QUIET)
    foreach(RENAME ${SLUICE_ZMQ_CALLS})
        string(REGEX REPLACE ".*=" "" NAME ${RENAME})
        if(FAILED OR NOT UNDEFINED MATCHES "U ${NAME}\n")
            message(STATUS "libzmq as a shared library, which costs time and memory: its archive lacks ${RENAME}")
            return()
        endif()
    endforeach()
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${SLUICE_ARCHIVE_zmq}) # copied again when updated
    set(SLUICE_ZMQ_HOOKED ON PARENT_SCOPE)
endfunction()

# Sets SLUICE_ZMQ_WORKS and SLUICE_ZMQ_LIBS.
macro(sluice_check_zmq)
    set(SLUICE_ZMQ_WORKS OFF)
    sluice_find_archives(SLUICE_ZMQ_FOUND SLUICE_ZMQ_MISSING zmq)
    if(SLUICE_ZMQ_MISSING)
        message(STATUS "libzmq as a shared library, which costs time and memory: ${SLUICE_ZMQ_MISSING} missing")
    else()
        sluice_hook_zmq()
    endif()
    if(SLUICE_ZMQ_HOOKED)
        string(REPLACE "${SLUICE_ARCHIVE_zmq}" "${SLUICE_ZMQ_COPY}" SLUICE_ZMQ_LIBS "${SLUICE_ZMQ_FOUND}")
        try_compile(SLUICE_ZMQ_LINK
            SOURCE_FROM_CONTENT probe.c "${SLUICE_ZMQ_PROBE}"
            SOURCES ${PROJECT_SOURCE_DIR}/base/library_stubs.c
            CMAKE_FLAGS -DINCLUDE_DIRECTORIES=${PROJECT_SOURCE_DIR}
            COMPILE_DEFINITIONS -fPIC
            LINK_OPTIONS -shared -Wl,--exclude-libs,ALL -Wl,-z,defs -Wl,-z,text
            LINK_LIBRARIES ${SLUICE_ZMQ_LIBS} PkgConfig::sodium -static-libgcc m Threads::Threads)
        set(SLUICE_ZMQ_WORKS ${SLUICE_ZMQ_LINK})
        if(NOT SLUICE_ZMQ_LINK)
            message(STATUS "libzmq as a shared library, which costs time and memory: its archive needs more than "
                "base/library_stubs.c provides "
                "(the linker says more: CMakeFiles/CMakeError.log, or CMakeConfigureLog.yaml)")
        endif()
    endif()
endmacro()

# ---- all of them, for the daemons

# One call into each archive, which pulls in everything that the daemons use and what that needs.
set(SLUICE_ARCHIVES_PROBE [[
#define CALL(name) void name(void); name();
int main(void)
{
    CALL(MHD_start_daemon) CALL(protobuf_c_message_unpack) CALL(json_dumps)
    CALL(yaml_parser_initialize) CALL(sodium_init) CALL(curl_multi_socket_action) CALL(curl_easy_setopt)
    return 0;
}
]])

# Sets SLUICE_ARCHIVES_WORK and SLUICE_ARCHIVE_LIBS.
macro(sluice_check_archives)
    set(SLUICE_ARCHIVES_WORK OFF)
    sluice_find_archives(SLUICE_ARCHIVE_LIBS SLUICE_ARCHIVES_MISSING
        microhttpd protobuf-c jansson yaml sodium curl)
    if(SLUICE_ARCHIVES_MISSING)
        message(STATUS "shared libraries for the daemons, which costs memory: ${SLUICE_ARCHIVES_MISSING} missing")
    else()
        try_compile(SLUICE_ARCHIVES_LINK
            SOURCE_FROM_CONTENT probe.c "${SLUICE_ARCHIVES_PROBE}"
            SOURCES ${PROJECT_SOURCE_DIR}/base/library_stubs.c ${PROJECT_SOURCE_DIR}/base/library_stubs_http.c
                ${PROJECT_SOURCE_DIR}/base/library_stubs_curl.c
            CMAKE_FLAGS -DINCLUDE_DIRECTORIES=${PROJECT_SOURCE_DIR}
            LINK_LIBRARIES ${SLUICE_ARCHIVE_LIBS} -static-libgcc m Threads::Threads)
        set(SLUICE_ARCHIVES_WORK ${SLUICE_ARCHIVES_LINK})
        if(NOT SLUICE_ARCHIVES_LINK)
            message(STATUS "shared libraries for the daemons, which costs memory: these archives need more than "
                "base/library_stubs*.c provide "
                "(the linker says more: CMakeFiles/CMakeError.log, or CMakeConfigureLog.yaml)")
        endif()
    endif()
endmacro()

# ---- which target links what

# The property SLUICE_ARCHIVES of a target: `all`, `zmq`, or nothing. From here on PkgConfig::NAME is the archive in
# targets that ask for it, and the shared object elsewhere.
function(sluice_offer_archive NAME LIBRARY ASKS)
    get_target_property(SHARED PkgConfig::${NAME} INTERFACE_LINK_LIBRARIES)
    set_target_properties(PkgConfig::${NAME} PROPERTIES INTERFACE_LINK_LIBRARIES
        "$<IF:$<IN_LIST:$<TARGET_PROPERTY:SLUICE_ARCHIVES>,${ASKS}>,${LIBRARY},${SHARED}>")
endfunction()

function(sluice_offer_zmq)
    add_library(sluice_zmq_stubs STATIC base/library_stubs.c)
    target_link_libraries(sluice_zmq_stubs PRIVATE sluice_warnings)
    list(REMOVE_ITEM SLUICE_ZMQ_LIBS ${SLUICE_ZMQ_COPY})
    add_library(sluice_zmq STATIC IMPORTED GLOBAL)
    set_target_properties(sluice_zmq PROPERTIES IMPORTED_LOCATION ${SLUICE_ZMQ_COPY})
    # sluice_base: the functions that the copy calls
    target_link_libraries(sluice_zmq INTERFACE ${SLUICE_ZMQ_LIBS} sluice_zmq_stubs sluice_base PkgConfig::sodium
        -static-libgcc m Threads::Threads)
    target_link_options(sluice_zmq INTERFACE -Wl,--gc-sections)
    sluice_offer_archive(zmq sluice_zmq "zmq$<SEMICOLON>all")
endfunction()

function(sluice_offer_archives)
    foreach(NAME microhttpd protobuf_c jansson yaml sodium curl)
        sluice_offer_archive(${NAME} sluice_archives all)
    endforeach()
    add_library(sluice_library_stubs STATIC base/library_stubs_http.c base/library_stubs_curl.c)
    target_link_libraries(sluice_library_stubs PRIVATE sluice_warnings)
    add_library(sluice_archives INTERFACE)
    target_link_libraries(sluice_archives INTERFACE ${SLUICE_ARCHIVE_LIBS} sluice_library_stubs sluice_zmq_stubs
        -static-libgcc m Threads::Threads)
    target_link_options(sluice_archives INTERFACE -Wl,--gc-sections)
endfunction()

# Links libzmq's archive.
function(sluice_link_zmq_archive TARGET)
    set_target_properties(${TARGET} PROPERTIES SLUICE_ARCHIVES zmq)
endfunction()

# A program whose loop is to run on libzmq's I/O thread: links libzmq's archive, or replaces epoll_wait.
function(sluice_host_loop TARGET)
    if(SLUICE_ZMQ_WORKS)
        sluice_link_zmq_archive(${TARGET})
    else()
        target_link_libraries(${TARGET} PRIVATE sluice_epoll_replace)
    endif()
endfunction()

# A daemon: the same, with the archives of all libraries.
function(sluice_link_archives TARGET)
    sluice_host_loop(${TARGET})
    set_target_properties(${TARGET} PROPERTIES SLUICE_ARCHIVES all)
endfunction()

if(SLUICE_ARCHIVES AND NOT SLUICE_SANITIZE AND NOT SLUICE_FUZZ)
    sluice_check_zmq()
endif()
if(SLUICE_ZMQ_WORKS)
    sluice_offer_zmq()
    sluice_check_archives()
endif()
if(SLUICE_ARCHIVES_WORK)
    sluice_offer_archives()
endif()

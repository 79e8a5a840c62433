# The daemons should be small. As shared objects libzmq and libmicrohttpd load Kerberos, PGM, NORM, GnuTLS and their
# dependencies: 30 libraries and two thirds of a sidecar's resident memory, for code that is never called. libcurl,
# which the sidecar pushes with, would load more.
# So programs named by sluice_link_archives() link the static archives of the same packages, and base/library_stubs.c
# and base/library_stubs_curl.c instead of those libraries' entry points. If an archive needs anything else, the probe
# below fails, never a running program. Then, and if an archive is missing or a sanitizer is on, the shared objects are
# linked as usual.

option(SLUICE_ARCHIVES "link the daemons with the archives of their libraries, for less memory" ON)

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

# One call into each archive, which pulls in everything that the daemons use and what that needs.
set(SLUICE_ARCHIVES_PROBE [[
#define CALL(name) void name(void); name();
int main(void)
{
    CALL(zmq_ctx_new) CALL(MHD_start_daemon) CALL(protobuf_c_message_unpack) CALL(json_dumps)
    CALL(yaml_parser_initialize) CALL(sodium_init) CALL(curl_multi_socket_action) CALL(curl_easy_setopt)
    return 0;
}
]])

# sluice_redirect_signals(LIBS): puts a copy of libzmq's archive, whose signals go through base/io_signal.h, in place of
# the archive. Sets SLUICE_SIGNALS_REDIRECTED. All of poll, read and write must be redirected, or none.
function(sluice_redirect_signals LIBS)
    set(COPY ${PROJECT_BINARY_DIR}/libzmq-signals.a)
    set(RENAMES)
    foreach(CALL getpid poll read write)
        list(APPEND RENAMES --redefine-sym ${CALL}=io_signal_${CALL})
    endforeach()
    execute_process(COMMAND ${CMAKE_OBJCOPY} ${RENAMES} ${SLUICE_ARCHIVE_zmq} ${COPY} RESULT_VARIABLE FAILED)
    execute_process(COMMAND ${CMAKE_NM} -u ${COPY} OUTPUT_VARIABLE UNDEFINED ERROR_QUIET)
    foreach(CALL poll read write)
        if(FAILED OR NOT UNDEFINED MATCHES "U io_signal_${CALL}\n")
            message(STATUS "libzmq's signals go through the kernel, which costs time: its ${CALL} cannot be redirected")
            return()
        endif()
    endforeach()
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${SLUICE_ARCHIVE_zmq}) # copied again when updated
    string(REPLACE "${SLUICE_ARCHIVE_zmq}" "${COPY}" CHANGED "${${LIBS}}")
    set(${LIBS} ${CHANGED} PARENT_SCOPE)
    set(SLUICE_SIGNALS_REDIRECTED ON PARENT_SCOPE)
endfunction()

# Sets SLUICE_ARCHIVES_WORK and SLUICE_ARCHIVE_LIBS.
macro(sluice_check_archives)
    set(SLUICE_ARCHIVES_WORK OFF)
    if(SLUICE_ARCHIVES AND NOT SLUICE_SANITIZE AND NOT SLUICE_FUZZ)
        sluice_find_archives(SLUICE_ARCHIVE_LIBS SLUICE_ARCHIVES_MISSING
            zmq microhttpd protobuf-c jansson yaml sodium bsd curl)
        if(SLUICE_ARCHIVES_MISSING)
            message(STATUS "shared libraries for the daemons, which costs memory: ${SLUICE_ARCHIVES_MISSING} missing")
        else()
            try_compile(SLUICE_ARCHIVES_LINK
                SOURCE_FROM_CONTENT probe.c "${SLUICE_ARCHIVES_PROBE}"
                SOURCES ${PROJECT_SOURCE_DIR}/base/library_stubs.c ${PROJECT_SOURCE_DIR}/base/library_stubs_curl.c
                LINK_LIBRARIES ${SLUICE_ARCHIVE_LIBS} -static-libgcc m Threads::Threads)
            set(SLUICE_ARCHIVES_WORK ${SLUICE_ARCHIVES_LINK})
            if(NOT SLUICE_ARCHIVES_LINK)
                message(STATUS "shared libraries for the daemons, which costs memory: these archives need more than "
                    "base/library_stubs.c and library_stubs_curl.c provide "
                    "(the linker's output is in CMakeFiles/CMakeError.log)")
            endif()
        endif()
    endif()
endmacro()

# From here on PkgConfig::NAME is the archive in programs that asked for it, and the shared object elsewhere.
function(sluice_offer_archives)
    foreach(NAME zmq microhttpd protobuf_c jansson yaml sodium curl)
        get_target_property(SHARED PkgConfig::${NAME} INTERFACE_LINK_LIBRARIES)
        set_target_properties(PkgConfig::${NAME} PROPERTIES INTERFACE_LINK_LIBRARIES
            "$<IF:$<BOOL:$<TARGET_PROPERTY:SLUICE_ARCHIVES>>,sluice_archives,${SHARED}>")
    endforeach()
    add_library(sluice_library_stubs STATIC base/library_stubs.c base/library_stubs_curl.c)
    target_link_libraries(sluice_library_stubs PRIVATE sluice_warnings)
    add_library(sluice_archives INTERFACE)
    target_link_libraries(sluice_archives INTERFACE ${SLUICE_ARCHIVE_LIBS} sluice_library_stubs -static-libgcc m
        Threads::Threads)
    target_link_options(sluice_archives INTERFACE -Wl,--gc-sections)
endfunction()

function(sluice_link_archives TARGET)
    set_target_properties(${TARGET} PROPERTIES SLUICE_ARCHIVES ${SLUICE_ARCHIVES_WORK})
endfunction()

sluice_check_archives()
if(SLUICE_ARCHIVES_WORK)
    sluice_redirect_signals(SLUICE_ARCHIVE_LIBS)
    sluice_offer_archives()
endif()

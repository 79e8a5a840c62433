/* What the client does, as text; see script.h. */
#ifndef SLUICE_TESTS_CLIENTS_CORE_SCRIPT_TRACE_H
#define SLUICE_TESTS_CLIENTS_CORE_SCRIPT_TRACE_H

#include "tests/clients/core/script.h"

/* Its ctx is the script. */
extern const struct client_handler script_handler;

#endif

/* The only place that reads the system's clocks. Loops call it once a turn; pure layers never. */
#ifndef SLUICE_BASE_CLOCK_H
#define SLUICE_BASE_CLOCK_H

#include "base/mono.h"

/* CLOCK_MONOTONIC and CLOCK_REALTIME. Never fails. */
struct now clock_now(void);

#endif

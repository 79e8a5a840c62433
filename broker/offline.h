/* What sluice-broker does with a data directory while no broker runs: --check DIR, --repair DIR TO. */
#ifndef SLUICE_BROKER_OFFLINE_H
#define SLUICE_BROKER_OFFLINE_H

/* The exit status: 0 whole or salvaged, 1 damaged or impossible, 2 wrong arguments; -1 when neither was asked for. */
int offline_main(int argc, char **argv);

#endif

/* What sluice-broker does with a data directory that no broker uses: --check DIR, --repair DIR TO. */
#ifndef SLUICE_BROKER_OFFLINE_H
#define SLUICE_BROKER_OFFLINE_H

/* Returns the exit status: 0 undamaged or repaired, 1 damaged or failed, 2 wrong arguments; -1: the arguments ask for
 * neither. */
int offline_main(int argc, char **argv);

#endif

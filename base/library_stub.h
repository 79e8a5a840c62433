/* STUB(name): a function of a library that is linked but never called; see archives.cmake. Should it be called all the
 * same, it prints its name and aborts the process. Only for the library_stubs files. */
#ifndef SLUICE_BASE_LIBRARY_STUB_H
#define SLUICE_BASE_LIBRARY_STUB_H

#include <stdio.h>
#include <stdlib.h>

static _Noreturn void library_stub_called(const char *name)
{
    fprintf(stderr, "%s was called, but this program has only a stub of it (base/library_stubs*.c)\n", name);
    abort();
}

#define STUB(name)                                                                                                     \
    _Noreturn void name(void);                                                                                         \
    _Noreturn void name(void)                                                                                          \
    {                                                                                                                  \
        library_stub_called(#name);                                                                                    \
    }

#endif

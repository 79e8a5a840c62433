/* A preloaded library that simulates a slow name server. Resolving slow.test blocks until the file named by
 * SLOW_RESOLVER exists, and then fails with EAI_AGAIN. Other names resolve as usual. */
#include <dlfcn.h>
#include <netdb.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int resolve_fn(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found);

int getaddrinfo(const char *restrict node, const char *restrict service, const struct addrinfo *restrict hints,
                struct addrinfo **restrict found)
{
    const char *name = getenv("SLOW_RESOLVER");
    resolve_fn *real = (resolve_fn *)(intptr_t)dlsym(RTLD_NEXT, "getaddrinfo");
    if (!name || !node || strcmp(node, "slow.test") != 0)
        return real(node, service, hints, found);
    while (access(name, F_OK) != 0)
        usleep(1000);
    return EAI_AGAIN;
}

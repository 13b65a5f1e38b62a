/* A module of the name service switch that knows one host, "probe.example": 127.0.0.1. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <nss.h>
#include <string.h>

enum nss_status _nss_probe_gethostbyname4_r(const char *name, struct gaih_addrtuple **found,
                                            char *buffer, size_t size, int *error, int *trouble,
                                            int32_t *ttl);

enum nss_status _nss_probe_gethostbyname4_r(const char *name, struct gaih_addrtuple **found,
                                            char *buffer, size_t size, int *error, int *trouble,
                                            int32_t *ttl)
{
    struct gaih_addrtuple *tuple = *found ? *found : (struct gaih_addrtuple *)(void *)buffer;
    if (strcmp(name, "probe.example") != 0) {
        *error = ENOENT;
        *trouble = HOST_NOT_FOUND;
        return NSS_STATUS_NOTFOUND;
    }
    if (size < sizeof *tuple + sizeof "probe.example") {
        *error = ERANGE;
        *trouble = NETDB_INTERNAL;
        return NSS_STATUS_TRYAGAIN;
    }
    *tuple = (struct gaih_addrtuple){.name = strcpy(buffer + sizeof *tuple, name),
                                     .family = AF_INET,
                                     .addr = {htonl(INADDR_LOOPBACK)}};
    *found = tuple;
    if (ttl)
        *ttl = 0;
    return NSS_STATUS_SUCCESS;
}

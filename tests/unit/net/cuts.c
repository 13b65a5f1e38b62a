#include "cuts.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <dirent.h>
#include <stdlib.h>
#include <time.h>

#include "net/tls.h"
#include "pki.h"

const char *const cuts_names[] = {"ended", "reset", "frozen"};

void cuts_make_tls(struct net_tls **ret_server, struct net_tls **ret_client)
{
    static const struct pki_spec spec = {
        .file = "host.pem", .cn = "x", .san = "IP:127.0.0.1", .from_day = -1, .to_day = 10};
    struct pki *pki = pki_new();
    pki_make(pki, &spec);
    const struct net_tls_settings settings = {.ca_file = pki_path(pki, "ca.pem")};
    if (net_tls_client_new(&settings, ret_client, NULL) ||
        net_tls_server_new(pki_path(pki, spec.file), NULL, ret_server, NULL))
        abort();
    pki_free(pki);
}

void cuts_each_way(size_t ways, unsigned every,
                   void (*run)(size_t way, unsigned every, unsigned from))
{
    const char *wanted = getenv("CUT_EVERY");
    if (wanted)
        every = (unsigned)strtoul(wanted, NULL, 10);
    unsigned from = (unsigned)time(NULL) % every;
    for (size_t i = 0; i < ways; i++)
        run(i, every, (from + (unsigned)i) % every);
}

void cuts_each_byte(const char *name, const uint64_t length[2], unsigned every, unsigned from,
                    void (*cut)(const struct cutter_cut *cut))
{
    print_message("  %s: each %u. byte from %u on, of %llu and %llu\n", name, every, from,
                  (unsigned long long)length[0], (unsigned long long)length[1]);
    for (int side = CUTTER_TO_CLIENT; side <= CUTTER_TO_SERVER; side++)
        for (int how = CUTTER_END; how <= CUTTER_FREEZE; how++)
            for (uint64_t after = from; after <= length[side]; after += every)
                cut(&(struct cutter_cut){side, how, after});
}

unsigned cuts_open_files(void)
{
    unsigned count = 0;
    DIR *fds = opendir("/proc/self/fd");
    assert_non_null(fds);
    while (readdir(fds))
        count++;
    closedir(fds);
    return count;
}

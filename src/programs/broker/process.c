#include "programs/broker/process.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static void process_add(struct buf *out, const char *name, const char *type, const char *help,
                        double value)
{
    buf_printf(out, "# HELP process_%s %s\n# TYPE process_%s %s\nprocess_%s %.2f\n", name, help,
               name, type, name, value);
}

/* Pages, of all and resident; and when the process began, in ticks since the machine did. */
static void process_read(double *ret_virtual, double *ret_resident, double *ret_began)
{
    char line[1024];
    unsigned long long all = 0, resident = 0, began = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file) {
        if (fscanf(file, "%llu %llu", &all, &resident) != 2)
            all = resident = 0;
        fclose(file);
    }
    file = fopen("/proc/self/stat", "re");
    if (file) {
        /* proc(5): field 22; the name in the second may hold blanks, but not behind its ")". */
        char *behind = fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL;
        if (!behind || sscanf(behind + 1,
                              " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
                              "%*s %*s %*s %llu",
                              &began) != 1)
            began = 0;
        fclose(file);
    }
    double page = (double)sysconf(_SC_PAGESIZE);
    *ret_virtual = (double)all * page;
    *ret_resident = (double)resident * page;
    *ret_began = (double)began / (double)sysconf(_SC_CLK_TCK);
}

static unsigned process_count_descriptors(void)
{
    unsigned count = 0;
    DIR *directory = opendir("/proc/self/fd");
    if (!directory)
        return 0;
    while (readdir(directory))
        count++;
    closedir(directory);
    return count < 3 ? 0 : count - 3; /* ".", ".." and the one that was just open */
}

void daemon_render_process(struct buf *out)
{
    double all, resident, began;
    struct rusage usage;
    struct rlimit limit;
    struct timespec now, up;
    process_read(&all, &resident, &began);
    getrusage(RUSAGE_SELF, &usage);
    getrlimit(RLIMIT_NOFILE, &limit);
    clock_gettime(CLOCK_REALTIME, &now);
    clock_gettime(CLOCK_BOOTTIME, &up);
    process_add(out, "virtual_memory_bytes", "gauge", "Virtual memory size in bytes.", all);
    process_add(out, "resident_memory_bytes", "gauge", "Resident memory size in bytes.", resident);
    process_add(out, "start_time_seconds", "gauge",
                "Start time of the process since unix epoch in seconds.",
                (double)(now.tv_sec - up.tv_sec) + began);
    process_add(out, "cpu_seconds_total", "counter",
                "Total user and system CPU time spent in seconds.",
                (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                    (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    process_add(out, "open_fds", "gauge", "Number of open file descriptors.",
                process_count_descriptors());
    process_add(out, "max_fds", "gauge", "Maximum number of open file descriptors.",
                (double)limit.rlim_cur);
}

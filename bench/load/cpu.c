#include "cpu.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int64_t read_schedstat(pid_t pid, const char *thread)
{
	char path[320];
	unsigned long long ns = 0;

	snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", (int)pid, thread);
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return 0;
	if (fscanf(file, "%llu", &ns) != 1)
		ns = 0;
	fclose(file);
	return (int64_t)ns;
}

static int64_t read_stat(pid_t pid)
{
	char path[64];
	char line[1024];
	unsigned long utime = 0;
	unsigned long stime = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return 0;
	char *got = fgets(line, sizeof(line), file);
	fclose(file);
	/* The name, in brackets, may hold anything. */
	char *after = got == NULL ? NULL : strrchr(line, ')');
	if (after == NULL ||
	    sscanf(after + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &utime,
		   &stime) != 2)
		return 0;
	return (int64_t)(utime + stime) * (1000000000 / sysconf(_SC_CLK_TCK));
}

static int64_t process_ns(pid_t pid)
{
	char path[64];
	int64_t ns = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *folder = opendir(path);
	if (folder == NULL)
		return 0;
	for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
		if (entry->d_name[0] != '.')
			ns += read_schedstat(pid, entry->d_name);
	}
	closedir(folder);
	return ns > 0 ? ns : read_stat(pid);
}

int64_t cpu_ns(const pid_t *pids, int count)
{
	int64_t ns = 0;

	for (int i = 0; i < count; i++)
		ns += process_ns(pids[i]);
	return ns;
}

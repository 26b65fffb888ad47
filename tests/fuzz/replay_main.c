/* Runs a fuzz target over every file of the directories given: the corpus as a
 * regression test, with any compiler. Fails if there was no file at all. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "fuzz_target.h"

/* The input in a block of exactly its size, so that sanitizers see overruns. */
static int replay_file(const char *path)
{
	struct stat info;
	FILE *file = fopen(path, "re");

	if (file == NULL || fstat(fileno(file), &info) < 0 || !S_ISREG(info.st_mode)) {
		if (file != NULL)
			fclose(file);
		return -1;
	}
	size_t size = (size_t)info.st_size;
	AUTO_FREE uint8_t *data = malloc(size);
	size_t got = data == NULL ? 0 : fread(data, 1, size, file);
	fclose(file);
	if (got != size)
		return -1;
	LLVMFuzzerTestOneInput(data, size);
	return 0;
}

static int replay_directory(const char *directory, size_t *files)
{
	char path[4096];
	struct dirent *entry;
	DIR *dir = opendir(directory);

	if (dir == NULL) {
		perror(directory);
		return -1;
	}
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
		if (replay_file(path) < 0) {
			fprintf(stderr, "cannot read %s\n", path);
			closedir(dir);
			return -1;
		}
		(*files)++;
	}
	closedir(dir);
	return 0;
}

int main(int argc, char **argv)
{
	size_t files = 0;

	for (int i = 1; i < argc; i++) {
		if (replay_directory(argv[i], &files) < 0)
			return EXIT_FAILURE;
	}
	printf("%zu files\n", files);
	return files > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

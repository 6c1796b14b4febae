/* SPDX-License-Identifier: MIT */
/*
 * Throws damaged files at everything that reads the store: a record, plain and compressed pages, the agent's record. The
 * input is a program of edits; whatever they are, the library has to answer with an error or with the right content.
 * With -fsanitize=fuzzer libFuzzer brings the inputs; else main() makes as many as its argument says, each from a seed.
 */
#include <agentmem.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE	9000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char text[2 * SIZE], place[64];
static char names[16][512];
static size_t nr_names;

static void list(void)
{
	char path[128];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/agentmem", place);
	dir = opendir(path);
	nr_names = 0;
	while (dir && (entry = readdir(dir)) && nr_names < 16)
		if (entry->d_name[0] != '.')
			snprintf(names[nr_names++], sizeof(names[0]), "%s/%s", path, entry->d_name);
	if (dir)
		closedir(dir);
}

/* Five bytes: which file, where (two), what to do, with what. */
static void edit(const uint8_t *op)
{
	const char *name = names[op[0] % nr_names];
	struct stat st;
	off_t at;
	int fd;

	if (strstr(name, "totals") || strstr(name, "/a-")) /* mapped for writing; cutting them is the user's own SIGBUS */
		return;
	chmod(name, 0600);
	fd = open(name, O_RDWR | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) < 0)
		return;
	at = st.st_size ? (op[1] | op[2] << 8) % st.st_size : 0;
	switch (op[3] % 4) {
	case 0:
		if (pwrite(fd, &op[4], 1, at) < 0)
			abort();
		break;
	case 1:
		if (ftruncate(fd, at) < 0)
			abort();
		break;
	case 2:
		if (ftruncate(fd, st.st_size + op[4]) < 0)
			abort();
		break;
	default:
		unlink(name);
	}
	close(fd);
}

/* Plain pages are checked when they are found, not at each view: here nothing is said about the content. */
static void look(int fd)
{
	struct agentmem_smu_stats stats = {.size = sizeof(stats)};
	struct agentmem_view view;

	agentmem_smu_stats(fd, &stats);
	if (agentmem_map(fd, &view) == 0)
		agentmem_unmap(&view);
}

/* What is found by its digest is right, or not found. */
static void attach(const uint8_t *digest, size_t size)
{
	struct agentmem_view view;
	int fd = agentmem_attach(digest);

	if (fd < 0)
		return;
	if (agentmem_map(fd, &view) == 0) {
		if (view.size != size || memcmp(view.data, text, size))
			abort();
		agentmem_unmap(&view);
	}
	agentmem_close(fd);
}

static void mark(int fd, uint32_t temperature)
{
	struct agentmem_mark m = {.size = sizeof(m), .valid = AGENTMEM_MARK_TEMPERATURE, .temperature = temperature};

	agentmem_mark(fd, &m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct agentmem_stats stats = {.size = sizeof(stats)};
	struct agentmem_info a, b;
	int base, fd, again;

	if (!*place) {
		strcpy(place, "/dev/shm/agentmem-fuzz-XXXXXX");
		if (!mkdtemp(place))
			abort();
		setenv("XDG_RUNTIME_DIR", place, 1);
		setenv("AGENTMEM_BACKEND", "fallback", 1);
		for (size_t i = 0; i < sizeof(text); i++)
			text[i] = (char)('a' + i * i / 7 % 26);
	}
	base = agentmem_put(AGENTMEM_CONVERSATION, text, SIZE, NULL, &a);
	fd = agentmem_append(base, AGENTMEM_CONVERSATION, text + SIZE, SIZE, NULL, &b);
	if (base < 0 || fd < 0)
		abort();
	if (size && data[0] & 1)
		mark(base, AGENTMEM_WARM);
	if (size && data[0] & 2)
		mark(fd, AGENTMEM_COLD);
	list();
	for (size_t at = 1; at + 5 <= size && at < 40; at += 5)
		edit(data + at);
	look(fd);
	look(base);
	mark(fd, AGENTMEM_HOT);
	mark(base, AGENTMEM_COLD);
	attach(b.digest, 2 * SIZE);
	attach(a.digest, SIZE);
	agentmem_stats(AGENTMEM_SCOPE_DOMAIN, -1, &stats);
	again = agentmem_put(AGENTMEM_CONVERSATION, text, SIZE, NULL, NULL);
	if (again < 0)
		abort();
	agentmem_close(again);
	agentmem_close(fd);
	agentmem_close(base);
	return 0;
}

#ifndef LIBFUZZER
int main(int argc, char **argv)
{
	unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000, first = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
	uint8_t input[41];
	char command[128];

	for (unsigned long round = first; round < first + rounds; round++) {
		uint64_t x = round * 0x9e3779b97f4a7c15u | 1;

		for (size_t i = 0; i < sizeof(input); i++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			input[i] = (uint8_t)(x >> 24);
		}
		LLVMFuzzerTestOneInput(input, 1 + 5 * (1 + round % 8));
	}
	snprintf(command, sizeof(command), "rm -rf %s", place);
	if (system(command))
		return 1;
	printf("TAP version 13\n1..1\nok 1 %lu damaged stores\n", rounds);
	return 0;
}
#endif

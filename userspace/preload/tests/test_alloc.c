/* SPDX-License-Identifier: MIT */
/* Texts that are written and then sealed. SHIM=1: free() and realloc() know them, too. */
#include "agentmem-alloc.h"
#include "tap.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define SIZE	((size_t)300 * 1024 + 77)

/* Text that nobody else has. */
static void write_text(char *at, size_t size)
{
	static int number;
	int length = snprintf(at, size, "%d %d %p ", (int)getpid(), number++, (void *)&number);

	for (size_t i = (size_t)length; i < size; i++)
		at[i] = (char)('a' + (i * i + i / 77) % 26);
}

static char *copy_of(const char *at, size_t size)
{
	return memcpy(malloc(size), at, size);
}

/* Bytes of private memory that the mapping at this address has. */
static size_t private_at(const void *at)
{
	FILE *maps = fopen("/proc/self/smaps", "r");
	unsigned long begin, end, kilobytes = SIZE_MAX;
	bool inside = false;
	char line[512];

	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx ", &begin, &end) == 2)
			inside = begin <= (unsigned long)at && (unsigned long)at < end;
		else if (inside && sscanf(line, "Anonymous: %lu kB", &kilobytes) == 1)
			break;
	}
	fclose(maps);
	return kilobytes * 1024;
}

static bool write_is_a_fault(char *at)
{
	int status;
	pid_t child = fork();

	if (!child) {
		signal(SIGSEGV, SIG_DFL);
		*(volatile char *)at = 'x';
		_exit(0);
	}
	return waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

TEST(a_sealed_text_is_the_same_at_the_same_place_and_cannot_be_changed)
{
	char *text = agent_malloc(SIZE, AGENTMEM_TOOL_RESULT), *copy;

	CHECK(text && !((uintptr_t)text & 65535));
	write_text(text, SIZE);
	copy = copy_of(text, SIZE);
	CHECK(private_at(text) >= SIZE);
	CHECK(agent_seal(text) == 0 && agent_seal(text) == 0);
	CHECK(!memcmp(text, copy, SIZE) && private_at(text) == 0);
	CHECK(write_is_a_fault(text) && write_is_a_fault(text + SIZE - 1));
	errno = 5;
	agent_free(text);
	CHECK(errno == 5 && madvise(text, 4096, MADV_NORMAL) < 0);
	free(copy);
}

TEST(it_is_the_object_of_its_content_and_type)
{
	char *text = agent_malloc(SIZE, AGENTMEM_TOOL_DEF), *again = agent_malloc(SIZE, AGENTMEM_TOOL_DEF);
	struct agentmem_smu_stats stats = {.size = sizeof(stats)};
	struct agentmem_info info;
	int fd;

	write_text(text, SIZE);
	memcpy(again, text, SIZE);
	CHECK(agent_seal(text) == 0 && agent_seal(again) == 0);
	fd = agentmem_put(AGENTMEM_CONVERSATION, text, SIZE, NULL, &info);
	CHECK(fd >= 0 && info.result & AGENTMEM_R_DEDUP);
	CHECK(agentmem_smu_stats(fd, &stats) == 0 && stats.type == AGENTMEM_TOOL_DEF && stats.length == SIZE);
	CHECK(agentmem_close(fd) == 0 && agentmem_attach(info.digest) >= 0);
	agent_free(text);
	CHECK(again[SIZE - 1] && private_at(again) == 0);
	agent_free(again);
}

TEST(a_text_grows_and_shrinks_until_it_is_sealed_and_after)
{
	char *text = agent_malloc(10, AGENTMEM_CONVERSATION);
	size_t size;

	memset(text, 'a', 10);
	for (size = 11; size < 3u << 20; size = size * 3 / 2) {
		text = agent_realloc(text, size);
		CHECK(text && !((uintptr_t)text & 65535) && text[9] == 'a' && text[size - 1] == 0);
		write_text(text + 10, size - 10);
	}
	text = agent_realloc(text, SIZE);
	CHECK(text && agent_seal(text) == 0 && text[9] == 'a' && private_at(text) == 0);
	text = agent_realloc(text, SIZE + 5);
	CHECK(text && text[9] == 'a' && text[SIZE] == 0);
	memset(text + SIZE, 'b', 5);
	CHECK(agent_seal(text) == 0 && text[SIZE + 4] == 'b');
	agent_free(text);
}

TEST(sizes_around_a_page)
{
	static const size_t sizes[] = {1, 2, 4095, 4096, 4097, 8192, 65535, 65536, 65537};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		char *text = agent_malloc(sizes[i], AGENTMEM_CONVERSATION), *copy = malloc(sizes[i]);

		write_text(text, sizes[i]);
		memcpy(copy, text, sizes[i]);
		CHECK(agent_seal(text) == 0 && !memcmp(text, copy, sizes[i]));
		agent_free(text);
		free(copy);
	}
}

TEST(what_cannot_be_sealed_stays_writable_memory)
{
	char *empty = agent_malloc(0, AGENTMEM_CONVERSATION), *other = malloc(100), *text;
	char *whole = agent_malloc(2 * SIZE, AGENTMEM_CONVERSATION);
	int base, fd;

	CHECK(!agent_malloc(10, (enum agentmem_type)9) && errno == EINVAL);
	CHECK(empty && agent_seal(empty) == -1 && errno == EINVAL);
	CHECK(agent_seal(other) == -1 && errno == EINVAL && agent_seal(NULL) == -1 && errno == EINVAL);
	agent_free(empty);
	agent_free(other);
	agent_free(NULL);

	write_text(whole, 2 * SIZE);
	base = agentmem_put(AGENTMEM_CONVERSATION, whole, SIZE, NULL, NULL);
	fd = agentmem_append(base, AGENTMEM_CONVERSATION, whole + SIZE, SIZE, NULL, NULL);
	CHECK(base >= 0 && fd >= 0);
	if (!strcmp(agentmem_backend(), "fallback")) {
		CHECK(agent_seal(whole) == -1 && errno == EOPNOTSUPP);
		memset(whole, 1, 2 * SIZE);
	} else {
		CHECK(agent_seal(whole) == 0);
	}
	agent_free(whole);

	text = agent_malloc(SIZE, AGENTMEM_CONVERSATION);
	write_text(text, SIZE);
	for (int i = 0; i < 3; i++) { /* no descriptors are left */
		struct rlimit files, none;

		CHECK(getrlimit(RLIMIT_NOFILE, &files) == 0);
		none = (struct rlimit){0, files.rlim_max};
		CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0 && agent_seal(text) == -1 && errno == EMFILE);
		text[5] = 'x';
		CHECK(setrlimit(RLIMIT_NOFILE, &files) == 0);
	}
	CHECK(agent_seal(text) == 0 && text[5] == 'x');
	agent_free(text);
}

TEST(without_blocks_it_is_mallocs_memory)
{
	struct rlimit some = {(rlim_t)1 << 50, RLIM_INFINITY};
	char *text;

	CHECK(setrlimit(RLIMIT_AS, &some) == 0);
	text = agent_malloc(SIZE, AGENTMEM_CONVERSATION);
	CHECK(text && text[SIZE - 1] == 0);
	write_text(text, SIZE);
	CHECK(agent_seal(text) == -1 && errno == EINVAL);
	text[0] = 'x';
	text = agent_realloc(text, 2 * SIZE);
	CHECK(text && text[0] == 'x');
	agent_free(text);
}

static char *_Atomic shown;
static char *expected;
static _Atomic bool over;

/* To ThreadSanitizer a new mapping is a write, whatever it shows. */
__attribute__((no_sanitize("thread"))) static void *reader(void *unused)
{
	(void)unused;
	while (!over) {
		const volatile char *at = shown;

		for (size_t i = 0; i < SIZE; i++)
			CHECK(at[i] == expected[i]);
	}
	return NULL;
}

TEST(readers_do_not_notice)
{
	pthread_t threads[2];
	char *texts[100];

	for (int i = 0; i < 100; i++)
		texts[i] = agent_malloc(SIZE, AGENTMEM_CONVERSATION);
	write_text(texts[0], SIZE);
	expected = copy_of(texts[0], SIZE);
	for (int i = 0; i < 100; i++)
		memcpy(texts[i], expected, SIZE);
	shown = texts[0];
	for (int i = 0; i < 2; i++)
		CHECK(pthread_create(&threads[i], NULL, reader, NULL) == 0);
	for (int i = 0; i < 100; i++) {
		shown = texts[i];
		CHECK(agent_seal(texts[i]) == 0);
	}
	over = true;
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 100; i++)
		agent_free(texts[i]);
}

TEST(a_child_has_what_its_parent_sealed_and_seals_its_own)
{
	char *sealed = agent_malloc(SIZE, AGENTMEM_CONVERSATION), *open = agent_malloc(SIZE, AGENTMEM_CONVERSATION);
	int status;
	pid_t child;

	write_text(sealed, SIZE);
	write_text(open, SIZE);
	CHECK(agent_seal(sealed) == 0);
	child = fork();
	if (!child) {
		CHECK(sealed[SIZE - 1] && agent_seal(open) == 0 && private_at(open) == 0);
		agent_free(sealed);
		agent_free(open);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	open[0] = 'x';
	CHECK(agent_seal(open) == 0 && sealed[SIZE - 1]);
}

TEST(under_the_shim_the_c_librarys_functions_know_it)
{
	char *text = agent_malloc(SIZE, AGENTMEM_CONVERSATION);
	volatile uintptr_t place;

	write_text(text, SIZE);
	if (getenv("SHIM")) {
		CHECK((text = realloc(text, 2 * SIZE)) && text[SIZE - 1]);
		CHECK(agent_seal(text) == 0);
		CHECK((text = realloc(text, SIZE)) && text[SIZE - 1]);
		text[0] = 'x';
		free(text);
		text = agent_malloc(SIZE, AGENTMEM_CONVERSATION);
		write_text(text, SIZE);
		CHECK(agent_seal(text) == 0);
		place = (uintptr_t)text;
		free(text);
		CHECK(madvise((void *)place, 4096, MADV_NORMAL) < 0);
		return;
	}
	agent_free(text);
}

int main(int argc, char **argv)
{
	return tap_main(argc > 1 ? argv[1] : NULL);
}

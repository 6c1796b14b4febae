/* SPDX-License-Identifier: MIT */
/* No call raises a signal, and none is kept from its end by one. */
#include "suite.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>

static void limit_files(rlim_t bytes)
{
	struct rlimit limit = {bytes, RLIM_INFINITY};

	CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

FALLBACK_TEST(a_limit_to_the_size_of_files_is_no_signal)
{
	const size_t size = 40000;
	char *text = unique(size), *other = unique(size);
	int fd = put(text, size);

	CHECK(set_temperature(fd, AGENTMEM_COLD) == 0);
	for (rlim_t bytes = 0; bytes <= 8192; bytes += 4096) {
		struct agentmem_view view;

		limit_files(bytes);
		FAILS(agentmem_put(AGENTMEM_CONVERSATION, other, size, NULL, NULL), ENOMEM);
		FAILS(agentmem_append(fd, AGENTMEM_CONVERSATION, "more", 4, NULL, NULL), ENOMEM);
		FAILS(agentmem_map(fd, &view), ENOMEM);
	}
	limit_files(RLIM_INFINITY);
	CHECK(holds(fd, text, size) && holds(put(other, size), other, size));
	limit_files(0);
	CHECK(holds(fd, text, size));
	free(text);
	free(other);
}

FALLBACK_TEST(an_agent_that_may_not_write_files)
{
	struct agentmem_stats stats = {.size = sizeof(stats)};

	limit_files(0);
	FAILS(agentmem_agent("writes nothing", 0, 0), ENOMEM);
	FAILS(agentmem_stats(AGENTMEM_SCOPE_DOMAIN, -1, &stats), ENOMEM);
}

static void tick(int number)
{
	(void)number;
}

FALLBACK_TEST(signals_all_the_time_keep_nothing_from_its_end)
{
	const size_t size = 24u << 20;
	const struct itimerval often = {{0, 500}, {0, 500}}, never = {0};
	struct sigaction action = {.sa_handler = tick}; /* without SA_RESTART */
	char *text = unique(size);
	int fd = put(text, size);

	CHECK(set_temperature(fd, AGENTMEM_WARM) == 0);
	CHECK(sigaction(SIGALRM, &action, NULL) == 0 && setitimer(ITIMER_REAL, &often, NULL) == 0);
	CHECK(holds(fd, text, size));
	CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
	free(text);
}
